// SPDX-License-Identifier: Apache-2.0
#include "tcpip/script/run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <stdexcept>

namespace stackrig::tcpip::script {
namespace {

/// A busy machine may let a script wait past the timers of the kernel that it is about.
constexpr unsigned kTries = 6;

// A verdict on its way through a pipe: fields, each with its length.
void put(std::string& out, const std::string& field) {
  out += std::to_string(field.size()) + ":" + field;
}
std::string get(const std::string& in, std::size_t& at) {
  const std::size_t colon = in.find(':', at);
  if (colon == std::string::npos) throw std::runtime_error("the script's process died");
  const std::size_t size = std::stoul(in.substr(at, colon - at));
  at = colon + 1 + size;
  return in.substr(colon + 1, size);
}
std::string packed(const Verdict& v) {
  std::string out;
  put(out, v.passed ? "1" : "0");
  put(out, v.skipped ? "1" : "0");
  put(out, std::to_string(v.line));
  put(out, v.message);
  put(out, v.trace);
  return out;
}
Verdict unpacked(const std::string& text) {
  std::size_t at = 0;
  Verdict v;
  v.passed = get(text, at) == "1";
  v.skipped = get(text, at) == "1";
  v.line = std::stoi(get(text, at));
  v.message = get(text, at);
  v.trace = get(text, at);
  return v;
}

struct Child {
  std::size_t index;
  pid_t pid;
  std::string text;
};

class Children {
 public:
  Children(const std::vector<std::string>& files, Side side) : files_(files), side_(side) {}

  [[nodiscard]] std::size_t running() const { return by_fd_.size(); }

  void start(std::size_t index) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) throw std::runtime_error("no pipe for a script's process");
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) throw std::runtime_error("no process for a script");
    if (pid == 0) {
      // Dies with the one that waits for it, however that goes.
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(1);
      const std::string text = packed(run_here(files_[index], side_));
      std::size_t done = 0;
      while (done < text.size()) {
        const ssize_t n = ::write(fds[1], text.data() + done, text.size() - done);
        if (n <= 0) _exit(1);
        done += static_cast<std::size_t>(n);
      }
      _exit(0);
    }
    ::close(fds[1]);
    by_fd_[fds[0]] = {index, pid, {}};
  }

  // Waits for something to happen; gives each that has ended to `done`.
  void wait(const std::function<void(std::size_t, Verdict)>& done) {
    std::vector<pollfd> fds;
    for (const auto& [fd, child] : by_fd_) fds.push_back({fd, POLLIN, 0});
    poll(fds.data(), fds.size(), 1000);
    for (const pollfd& p : fds) {
      if (p.revents == 0) continue;
      Child& child = by_fd_[p.fd];
      char buffer[65536];
      const ssize_t n = ::read(p.fd, buffer, sizeof buffer);
      if (n > 0) {
        child.text.append(buffer, static_cast<std::size_t>(n));
        continue;
      }
      ::close(p.fd);
      waitpid(child.pid, nullptr, 0);
      Verdict v;
      try {
        v = unpacked(child.text);
      } catch (const std::exception& e) {
        v.passed = false;
        v.message = files_[child.index] + ": " + e.what();
      }
      const std::size_t index = child.index;
      by_fd_.erase(p.fd);
      done(index, std::move(v));
    }
  }

 private:
  const std::vector<std::string>& files_;
  Side side_;
  std::map<int, Child> by_fd_;
};

}  // namespace

std::vector<std::string> find_scripts(const std::string& file_or_folder) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(file_or_folder)) return {file_or_folder};
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(file_or_folder)) {
    if (entry.path().extension() == ".tcp") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

Verdict run_here(const std::string& file, Side side) {
  Verdict v;
  try {
    const Script script = read_script(file);
    if (side == Side::linux && !script.only_ours.empty()) {
      v.skipped = true;
      v.message = file + ": not for Linux: " + script.only_ours;
      return v;
    }
    for (unsigned tries = 1;; ++tries) {
      const auto target = side == Side::linux ? make_linux_target(script.settings)
                                              : make_core_target(script.settings);
      Verdict verdict = play(script, *target, side);
      if (verdict.passed || !target->stalled() || tries == kTries) return verdict;
    }
  } catch (const ScriptError& e) {
    v.message = e.what();
  } catch (const std::exception& e) {
    v.message = file + ": " + e.what();
  }
  v.passed = false;
  return v;
}

std::vector<Verdict> run_all(const std::vector<std::string>& files, Side side, unsigned jobs,
                             const std::function<void(std::size_t, const Verdict&)>& told) {
  std::vector<Verdict> verdicts(files.size());
  if (side != Side::linux) {
    for (std::size_t i = 0; i < files.size(); ++i) {
      verdicts[i] = run_here(files[i], side);
      if (told) told(i, verdicts[i]);
    }
    return verdicts;
  }
  Children children(files, side);
  std::size_t next = 0;
  while (next < files.size() || children.running() != 0) {
    while (next < files.size() && children.running() < std::max(1U, jobs)) children.start(next++);
    children.wait([&](std::size_t i, Verdict v) {
      verdicts[i] = std::move(v);
      if (told) told(i, verdicts[i]);
    });
  }
  return verdicts;
}

}  // namespace stackrig::tcpip::script
