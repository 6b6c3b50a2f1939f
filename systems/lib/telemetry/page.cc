// SPDX-License-Identifier: Apache-2.0
// The telemetry page's writer: a mapped file that grows by nothing once made.
#include "telemetry/page.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <system_error>

namespace stackrig::telemetry {
namespace {

// The directory of entries takes at most an eighth of the page; the rest is data.
std::size_t directory_bytes(std::size_t page) {
  return (page - sizeof(Header)) / 8 / sizeof(Entry) * sizeof(Entry);
}

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), "telemetry page " + what);
}

// A new file under a name of its own, renamed when whole: a reader never maps a half-made page, and
// one that still maps an older run's page keeps that one.
int make_file(const std::string& temporary, std::size_t bytes) {
  const int fd = ::open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) fail(temporary);
  if (::ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    const int saved = errno;
    ::close(fd);
    ::unlink(temporary.c_str());
    errno = saved;
    fail(temporary);
  }
  return fd;
}

void copy_name(char* to, std::size_t room, std::string_view text, const char* what) {
  if (text.size() >= room) {
    throw std::length_error("telemetry " + std::string(what) + " '" + std::string(text) +
                            "': longer than " + std::to_string(room - 1) + " bytes");
  }
  std::memcpy(to, text.data(), text.size());
}

}  // namespace

std::unique_ptr<Page> Page::create(const std::string& path, std::size_t bytes) {
  if (bytes < 4096) throw std::length_error("telemetry page: at least 4096 bytes");
  void* at;
  const std::string temporary = path + ".new";
  if (path.empty()) {
    at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  } else {
    const int fd = make_file(temporary, bytes);
    at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
  }
  if (at == MAP_FAILED) {
    if (!path.empty()) ::unlink(temporary.c_str());
    fail(path);
  }
  std::unique_ptr<Page> page(new Page);
  page->header_ = new (at) Header{};
  page->size_ = bytes;
  Header& h = *page->header_;
  h.data_start = static_cast<std::uint32_t>(sizeof(Header) + directory_bytes(bytes));
  h.data_start = (h.data_start + 63U) & ~63U;
  h.size = bytes;
  h.pid = static_cast<std::uint64_t>(::getpid());
  std::memcpy(h.magic, "SRIGTEL1", sizeof h.magic);
  page->used_ = h.data_start;
  if (!path.empty() && ::rename(temporary.c_str(), path.c_str()) != 0) {
    const int saved = errno;
    ::unlink(temporary.c_str());
    errno = saved;
    fail(path);
  }
  return page;
}

Page::~Page() {
  if (header_ != nullptr) ::munmap(header_, size_);
}

// Each allocation begins on a cache line of its own: writers of two queues share none.
void* Page::allocate(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const std::size_t rounded = (bytes + 63) & ~std::size_t{63};
  if (size_ - used_ < rounded) {
    throw std::length_error("telemetry page: full at " + std::to_string(size_) + " bytes");
  }
  std::byte* at = reinterpret_cast<std::byte*>(header_) + used_;
  used_ += rounded;
  return at;
}

void Page::describe(std::string_view name, std::string_view unit, Kind kind, const void* where,
                    std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  auto* directory = reinterpret_cast<Entry*>(header_ + 1);
  const std::uint32_t n = header_->entries;
  if (sizeof(Header) + (n + 1) * sizeof(Entry) > header_->data_start) {
    throw std::length_error("telemetry page: no room for entry '" + std::string(name) + "'");
  }
  Entry& e = directory[n];
  copy_name(e.name, sizeof e.name, name, "name");
  copy_name(e.unit, sizeof e.unit, unit, "unit");
  e.kind = static_cast<std::uint32_t>(kind);
  e.offset = static_cast<std::uint64_t>(static_cast<const std::byte*>(where) -
                                        reinterpret_cast<const std::byte*>(header_));
  e.bytes = bytes;
  std::atomic_ref(header_->entries).store(n + 1, std::memory_order_release);
}

std::uint64_t* Page::counter(std::string_view name, std::string_view unit) {
  auto* at = static_cast<std::uint64_t*>(allocate(sizeof(std::uint64_t)));
  describe(name, unit, Kind::counter, at);
  return at;
}

std::uint64_t* Page::gauge(std::string_view name, std::string_view unit) {
  auto* at = static_cast<std::uint64_t*>(allocate(sizeof(std::uint64_t)));
  describe(name, unit, Kind::gauge, at);
  return at;
}

HistogramData* Page::histogram(std::string_view name, std::string_view unit) {
  auto* at = static_cast<HistogramData*>(allocate(sizeof(HistogramData)));
  describe(name, unit, Kind::histogram, at, sizeof(HistogramData));
  return at;
}

void Page::text(std::string_view name, std::string_view value) {
  void* at = allocate(value.size() + 1);
  std::memcpy(at, value.data(), value.size());
  describe(name, "", Kind::text, at, value.size());
}

void Page::finish() {
  std::atomic_ref(header_->finished).store(1, std::memory_order_release);
}

}  // namespace stackrig::telemetry
