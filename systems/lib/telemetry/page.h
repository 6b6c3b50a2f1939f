// SPDX-License-Identifier: Apache-2.0
// The telemetry page: counters and histograms in a file that another process maps and reads while
// we run. Self-describing: a reader needs this header's layout and nothing about the system.
//
// File: Header, then `entries` Entry records, then the data that they point to. All little endian,
// all 64-bit values naturally aligned. A counter has one writer; readers see it late, never torn.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "telemetry/histogram.h"

namespace stackrig::telemetry {

struct Header {
  char magic[8];             ///< "SRIGTEL1"
  std::uint32_t entries;     ///< written last, after the entry itself: a reader sees whole entries
  std::uint32_t data_start;  ///< bytes from the file's start
  std::uint64_t size;        ///< bytes of the file
  std::uint64_t pid;
  std::uint64_t finished;  ///< 1 once the writer has stopped cleanly and all values are final
};

enum class Kind : std::uint32_t { counter = 1, gauge = 2, histogram = 3, text = 4 };

struct Entry {
  char name[64];  ///< "q0.tcp.segs_in"
  char unit[24];  ///< "segments", "ns", "cycles", "bytes"
  std::uint32_t kind;
  std::uint32_t reserved;
  std::uint64_t offset;  ///< bytes from the file's start
  std::uint64_t bytes;
};

/// Writer's side. Set-up calls throw std::system_error or std::length_error (page full), and may
/// come from several threads. A name is at most 63 bytes, a unit 23.
class Page {
 public:
  /// `path` empty: an anonymous page, for programs that nobody watches. A file is made anew.
  static std::unique_ptr<Page> create(const std::string& path,
                                      std::size_t bytes = std::size_t{1} << 20);
  ~Page();
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;

  std::uint64_t* counter(std::string_view name, std::string_view unit);
  std::uint64_t* gauge(std::string_view name, std::string_view unit);
  HistogramData* histogram(std::string_view name, std::string_view unit);
  void text(std::string_view name, std::string_view value);
  /// Room for a struct of counters; describe each field with describe(). Zeroed.
  template <class T>
  T* place() {
    return static_cast<T*>(allocate(sizeof(T)));
  }
  void describe(std::string_view name, std::string_view unit, Kind kind, const void* where,
                std::size_t bytes = 8);
  /// All values are final.
  void finish();

 private:
  Page() = default;
  void* allocate(std::size_t bytes);
  std::mutex mutex_;  ///< set-up calls come from the queues' threads
  Header* header_ = nullptr;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
};

}  // namespace stackrig::telemetry
