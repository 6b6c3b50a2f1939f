// SPDX-License-Identifier: Apache-2.0
// Reads a telemetry page. The file is another process's work: every offset in it is checked.
#include "page_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "telemetry/page.h"

namespace stackrig::core {
namespace {

using telemetry::Entry;
using telemetry::Header;
using telemetry::HistogramData;
using telemetry::Kind;

class Mapping {
 public:
  explicit Mapping(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw std::system_error(errno, std::generic_category(), path);
    struct stat status {};
    if (::fstat(fd, &status) == 0) size_ = static_cast<std::size_t>(status.st_size);
    if (size_ >= sizeof(Header)) data_ = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
    const int error = errno;
    ::close(fd);
    if (size_ < sizeof(Header))
      throw std::invalid_argument(path + ": too short for a telemetry page");
    if (data_ == MAP_FAILED) throw std::system_error(error, std::generic_category(), path);
  }
  ~Mapping() { ::munmap(data_, size_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  [[nodiscard]] std::size_t size() const { return size_; }
  /// The T at `offset`; nullptr where it would not lie in the file, or not aligned.
  template <class T>
  [[nodiscard]] const T* at(std::uint64_t offset, std::uint64_t count = 1) const {
    if (offset > size_ || (size_ - offset) / sizeof(T) < count || offset % alignof(T) != 0)
      return nullptr;
    return reinterpret_cast<const T*>(static_cast<const char*>(data_) + offset);
  }

 private:
  void* data_ = MAP_FAILED;
  std::size_t size_ = 0;
};

/// A value that its writer may be changing.
template <class T>
T load(const T& value, std::memory_order order = std::memory_order_relaxed) {
  return std::atomic_ref<T>(const_cast<T&>(value)).load(order);
}

template <std::size_t N>
std::string fixed_text(const char (&field)[N]) {
  return {field, ::strnlen(field, N)};
}

Histogram copy_histogram(const HistogramData& shared) {
  auto copy = std::make_unique<HistogramData>();
  copy->sum = load(shared.sum);
  copy->min = load(shared.min);
  copy->max = load(shared.max);
  // The writer counts a value in its bucket first: the sum of the buckets is the count that fits
  // them.
  for (unsigned b = 0; b < HistogramData::kBuckets; ++b) {
    copy->buckets[b] = load(shared.buckets[b]);
    copy->count += copy->buckets[b];
  }
  return Histogram(*copy);
}

void read_entry(const Mapping& file, const Entry& entry, const std::string& where,
                PageContents& page) {
  const std::string name = fixed_text(entry.name);
  const auto fail = [&](const char* why) {
    throw std::invalid_argument(where + ": entry '" + name + "' " + why);
  };
  page.units[name] = fixed_text(entry.unit);
  switch (static_cast<Kind>(entry.kind)) {
    case Kind::counter:
    case Kind::gauge: {
      const auto* value = file.at<std::uint64_t>(entry.offset);
      if (value == nullptr || entry.bytes != sizeof(*value))
        return fail("lies outside the file or has no 8 bytes");
      page.values[name] = load(*value);
      return;
    }
    case Kind::histogram: {
      const auto* data = file.at<HistogramData>(entry.offset);
      if (data == nullptr || entry.bytes != sizeof(*data)) {
        return fail("is a histogram of another layout than this reader's");
      }
      page.histograms.emplace(name, copy_histogram(*data));
      return;
    }
    case Kind::text: {
      const char* text = file.at<char>(entry.offset, entry.bytes);
      if (text == nullptr) return fail("lies outside the file");
      page.texts[name] = std::string(text, ::strnlen(text, entry.bytes));
      return;
    }
  }
  fail("is of a kind that this reader does not know");
}

}  // namespace

PageContents read_page(const std::string& path) {
  const Mapping file(path);
  const Header& header = *file.at<Header>(0);
  if (std::string_view(header.magic, sizeof header.magic) != "SRIGTEL1") {
    throw std::invalid_argument(path +
                                ": no telemetry page (its first eight bytes are not SRIGTEL1)");
  }
  PageContents page;
  page.pid = header.pid;
  page.finished = load(header.finished, std::memory_order_acquire) == 1;
  const std::uint32_t entries = load(header.entries, std::memory_order_acquire);
  const Entry* entry = file.at<Entry>(sizeof(Header), entries);
  if (entry == nullptr)
    throw std::invalid_argument(path + ": cut short: not all entries lie in the file");
  for (std::uint32_t i = 0; i < entries; ++i) read_entry(file, entry[i], path, page);
  return page;
}

}  // namespace stackrig::core
