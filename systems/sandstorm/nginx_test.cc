// SPDX-License-Identifier: Apache-2.0
// The same requests to Sandstorm and to nginx, on the same document root: the same status, the same
// body, the same decision to stay or to close. nginx is started here, on a Unix socket in a folder
// of its own; where it is not installed the test is skipped.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>

#include "http/nginx_cases.h"
#include "test_world.h"

namespace stackrig::sandstorm::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNginx = "/usr/sbin/nginx";

struct Reply {
  unsigned status = 0;
  bool closes = false;
  std::string content_type, last_modified, location, body;
  std::uint64_t content_length = 0;
};

std::string field(const std::string& head, const std::string& name) {
  const std::size_t at = head.find("\r\n" + name + ": ");
  if (at == std::string::npos) return "";
  const std::size_t from = head.find_first_not_of(' ', at + name.size() + 4);
  return head.substr(from, head.find("\r\n", from) - from);
}

/// Takes the first reply off `stream`; nothing where it is not whole.
std::optional<Reply> take_reply(std::string& stream, bool head_only) {
  const std::size_t end = stream.find("\r\n\r\n");
  if (end == std::string::npos || stream.size() < 12) return std::nullopt;
  const std::string head = stream.substr(0, end + 2);
  Reply r;
  r.status = static_cast<unsigned>(std::atoi(head.c_str() + 9));
  r.closes = field(head, "Connection") == "close";
  r.content_type = field(head, "Content-Type");
  r.last_modified = field(head, "Last-Modified");
  r.location = field(head, "Location");
  r.content_length = std::strtoull(field(head, "Content-Length").c_str(), nullptr, 10);
  const std::size_t body = head_only ? 0 : r.content_length;
  if (stream.size() < end + 4 + body) return std::nullopt;
  r.body = stream.substr(end + 4, body);
  stream.erase(0, end + 4 + body);
  return r;
}

class Nginx {
 public:
  explicit Nginx(const fs::path& folder) : socket_(folder / "socket") {
    std::ofstream(folder / "nginx.conf")
        << "daemon off; master_process off; pid " << (folder / "pid") << "; error_log "
        << (folder / "error.log") << ";\nevents { worker_connections 64; }\nhttp {\n"
        << "  include /etc/nginx/mime.types; default_type application/octet-stream; access_log "
           "off;\n"
        << "  client_body_temp_path " << (folder / "t1") << "; proxy_temp_path " << (folder / "t2")
        << "; fastcgi_temp_path " << (folder / "t3") << "; uwsgi_temp_path " << (folder / "t4")
        << "; scgi_temp_path " << (folder / "t5") << ";\n  absolute_redirect off;\n"
        << "  server { listen unix:" << socket_.string() << "; root " << (folder / "root")
        << "; }\n}\n";
    pid_ = ::fork();
    if (pid_ == 0) {
      ::execl(kNginx, "nginx", "-p", folder.c_str(), "-c", (folder / "nginx.conf").c_str(), "-e",
              (folder / "start.log").c_str(), nullptr);
      ::_exit(127);
    }
  }
  ~Nginx() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  Nginx(const Nginx&) = delete;
  Nginx& operator=(const Nginx&) = delete;

  /// Waits for it to listen; false where it has ended instead.
  bool ready() {
    for (int i = 0; i < 3000; ++i) {
      if (const int fd = connect_once(); fd >= 0) {
        ::close(fd);
        return true;
      }
      if (::waitpid(pid_, nullptr, WNOHANG) == pid_) return false;
      ::usleep(10'000);
    }
    return false;
  }

  /// Sends `request` and reads `replies` replies (fewer where it closes before).
  std::vector<Reply> ask(const std::string& request, bool head_only, unsigned replies = 1) {
    const int fd = connect_once();
    EXPECT_GE(fd, 0);
    EXPECT_EQ(::send(fd, request.data(), request.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(request.size()));
    std::vector<Reply> got;
    std::string stream;
    char chunk[65536];
    while (got.size() < replies) {
      if (auto r = take_reply(stream, head_only)) {
        got.push_back(*r);
        continue;
      }
      const ssize_t n = ::recv(fd, chunk, sizeof chunk, 0);
      if (n <= 0) break;
      stream.append(chunk, static_cast<std::size_t>(n));
    }
    ::close(fd);
    return got;
  }

 private:
  int connect_once() {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_.c_str());
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
    ::close(fd);
    return -1;
  }

  fs::path socket_;
  pid_t pid_ = -1;
};

void write_file(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

class NginxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::access(kNginx, X_OK) != 0) GTEST_SKIP() << kNginx << " is not installed";
    char name[] = "/tmp/stackrig-nginx-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    const fs::path root = folder_ / "root";
    write_file(root / "f", "hello\n");
    write_file(root / "a b", "blank");
    write_file(root / "index.html", "<p>index</p>");
    write_file(root / "sub/index.html", "<p>sub</p>");
    write_file(root / "sub/deep/x.css", "p{}");
    write_file(root / "empty", "");
    write_file(root / "caf\xc3\xa9.txt", "coffee");
    write_file(root / "a+b&c.json", "{}");
    write_file(root / "large.bin", pattern(300'000));
    write_file(root / "frame.js", pattern(1448));
    write_file(root / ".hidden", "h");
    fs::create_directories(root / "dir");
    fs::create_symlink("f", root / "link");
    nginx_ = std::make_unique<Nginx>(folder_);
    if (!nginx_->ready()) {
      std::ifstream log(folder_ / "error.log");
      FAIL() << "nginx did not start: " << std::string(std::istreambuf_iterator<char>(log), {});
    }
    world_ = std::make_unique<World>(load_site(root));
  }
  void TearDown() override {
    nginx_.reset();
    if (!folder_.empty()) fs::remove_all(folder_);
  }

  void compare(const std::string& request, bool compare_status_only = false) {
    const bool head_only = request.starts_with("HEAD ") || request.starts_with("\r\nHEAD ");
    const auto theirs = nginx_->ask(request, head_only);
    std::string stream = world_->ask(request);
    const auto ours = take_reply(stream, head_only);
    const std::string what = ::testing::PrintToString(request.substr(0, 200));
    ASSERT_EQ(theirs.size(), 1U) << what;
    ASSERT_TRUE(ours) << what << " answered with " << stream;
    EXPECT_EQ(ours->status, theirs[0].status) << what;
    if (compare_status_only) return;
    EXPECT_EQ(ours->closes, theirs[0].closes) << what;
    // A redirect is cut at start-up too, and so does not carry the request's query on.
    EXPECT_EQ(ours->location, theirs[0].location.substr(0, theirs[0].location.find('?'))) << what;
    EXPECT_EQ(stream, "") << what << ": bytes behind the answer";
    if (theirs[0].status != 200) return;  // error pages have words of their own
    EXPECT_EQ(ours->body, theirs[0].body) << what;
    EXPECT_EQ(ours->content_length, theirs[0].content_length) << what;
    EXPECT_EQ(ours->content_type, theirs[0].content_type) << what;
    EXPECT_EQ(ours->last_modified, theirs[0].last_modified) << what;
  }

  fs::path folder_;
  std::unique_ptr<Nginx> nginx_;
  std::unique_ptr<World> world_;
};

TEST_F(NginxTest, TheRecordedAnswersAreItsAnswers) {
  for (const http::NginxCase& c : http::kNginxCases) {
    const std::string request{c.request};
    const auto reply = nginx_->ask(request, request.starts_with("HEAD "));
    ASSERT_EQ(reply.size(), 1U) << ::testing::PrintToString(request);
    EXPECT_EQ(reply[0].status, c.status) << ::testing::PrintToString(request);
    EXPECT_EQ(reply[0].closes, c.closes) << ::testing::PrintToString(request);
  }
}

TEST_F(NginxTest, EveryRecordedRequest) {
  for (const http::NginxCase& c : http::kNginxCases) {
    const bool deviates =
        std::any_of(std::begin(http::kDeviations), std::end(http::kDeviations),
                    [&](const http::Deviation& d) { return d.request == c.request; });
    if (!deviates) compare(std::string{c.request});
  }
}

TEST_F(NginxTest, EveryFileByEveryName) {
  for (const char* path : {"/",
                           "/f",
                           "/a%20b",
                           "/index.html",
                           "/sub",
                           "/sub/",
                           "/sub/index.html",
                           "/sub/deep/x.css",
                           "/sub/deep",
                           "/sub/deep/",
                           "/empty",
                           "/caf%c3%a9.txt",
                           "/caf%C3%A9.txt",
                           "/caf\xc3\xa9.txt",
                           "/a+b&c.json",
                           "/a%2Bb%26c.json",
                           "/large.bin",
                           "/frame.js",
                           "/.hidden",
                           "/dir",
                           "/dir/",
                           "/link",
                           "/F",
                           "/f.",
                           "/f%20",
                           "/sub//deep///x.css",
                           "/sub/./deep/../deep/x.css",
                           "/f?x=1&y=%zz",
                           "/%66",
                           "/none",
                           "/sub/none",
                           "/f/none",
                           "/large.bin?",
                           "/frame.js#top"}) {
    for (const char* method : {"GET ", "HEAD ", "POST ", "PUT "}) {
      compare(method + std::string{path} + " HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    compare("GET " + std::string{path} + " HTTP/1.0\r\n\r\n");
    compare("GET " + std::string{path} + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  }
}

TEST_F(NginxTest, APipeline) {
  std::string requests;
  for (const char* path : {"/f", "/none", "/large.bin", "/sub", "/empty", "/dir/", "/frame.js"}) {
    requests += "GET " + std::string{path} + " HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  const auto theirs = nginx_->ask(requests, false, 7);
  std::string stream = world_->ask(requests);
  ASSERT_EQ(theirs.size(), 7U);
  for (const Reply& r : theirs) {
    const auto ours = take_reply(stream, false);
    ASSERT_TRUE(ours);
    EXPECT_EQ(ours->status, r.status);
    if (r.status == 200) {
      EXPECT_EQ(ours->body, r.body);
    }
  }
  EXPECT_EQ(stream, "");
}

TEST_F(NginxTest, RequestsMutatedAtRandomHaveTheSameStatus) {
  std::mt19937_64 random(7);
  const std::vector<std::string> seeds = {
      "GET /sub/../f?q=1#x HTTP/1.1\r\nHost: a.b:80\r\nX-Y: z\r\n\r\n",
      "HEAD http://h.i:80/a%20b HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\n\r\n",
      "POST /f HTTP/1.0\r\nTransfer-Encoding: gzip\r\nHost: a\r\n\r\n",
      "GET /%66 HTTP/1.1\nHost:a\n\n"};
  constexpr std::string_view kBytes = ":/%. ?#@[]0159aGHx\x01\x7f\xff";
  for (int round = 0; round < 3000; ++round) {
    std::string request = seeds[random() % seeds.size()];
    const std::size_t head = request.size() - (request.ends_with("\r\n\r\n") ? 4 : 2);
    for (std::size_t i = 1 + random() % 2; i-- > 0;) {
      const std::size_t at = random() % head;
      if (request[at] == '\r' || request[at] == '\n') continue;
      request[at] = kBytes[random() % kBytes.size()];
    }
    // A body that never comes would keep nginx waiting; HTTP/0.9 has no status.
    if (request.find("Length: 0") == std::string::npos &&
        request.find("ength: ") != std::string::npos)
      continue;
    const auto theirs = nginx_->ask(request, request.starts_with("HEAD "));
    if (theirs.empty()) continue;
    compare(request, true);
  }
}

}  // namespace
}  // namespace stackrig::sandstorm::testing
