// SPDX-License-Identifier: Apache-2.0
// For tests: a program in a process of its own, with what it says and how it ends. Dies with the
// test.
#pragma once

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace stackrig::rigload::fake {

/// A folder that is gone with its owner.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "rigt-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  /// A server that was told to end may still be taking away its own files.
  ~Folder() {
    std::error_code error;
    for (int i = 0; i < 100; ++i) {
      std::filesystem::remove_all(path_, error);
      if (!error) return;
      ::usleep(20'000);
    }
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] std::string operator/(const std::string& name) const {
    return (path_ / name).string();
  }
  [[nodiscard]] std::string path() const { return path_.string(); }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name) << content;
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_whole(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Process {
 public:
  /// With `ready_word`, " --ready-fd N" is added to the words and wait_until_ready() may be called.
  explicit Process(std::vector<std::string> words, bool ready_word = false) {
    int pipe_fds[2] = {-1, -1};
    if (ready_word) {
      if (::pipe(pipe_fds) != 0) throw std::runtime_error("no pipe");
      ::fcntl(pipe_fds[0], F_SETFD, FD_CLOEXEC);
      words.insert(words.end(), {"--ready-fd", std::to_string(pipe_fds[1])});
      ready_fd_ = pipe_fds[0];
    }
    pid_ = ::fork();
    if (pid_ == 0) become(words);
    if (ready_word) ::close(pipe_fds[1]);
    if (pid_ < 0) throw std::runtime_error("no process");
  }
  ~Process() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    if (ready_fd_ >= 0) ::close(ready_fd_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// False where it ended without a word.
  bool wait_until_ready() {
    char c = 0;
    return ::read(ready_fd_, &c, 1) == 1;
  }
  void signal(int s) const { ::kill(pid_, s); }
  /// Its exit code, or minus the signal that ended it.
  int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  [[nodiscard]] std::string said() const { return read_whole(folder_ / "stdout"); }
  [[nodiscard]] std::string complained() const { return read_whole(folder_ / "stderr"); }

 private:
  [[noreturn]] void become(std::vector<std::string>& words) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const auto into = [&](const char* name, int fd) {
      ::dup2(::open((folder_ / name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), fd);
    };
    into("stdout", 1);
    into("stderr", 2);
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }

  Folder folder_;
  pid_t pid_ = -1;
  int ready_fd_ = -1;
};

}  // namespace stackrig::rigload::fake
