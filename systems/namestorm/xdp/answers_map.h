// SPDX-License-Identifier: Apache-2.0
// The answers of one edition in a BPF map, for the XDP programs of any number of ports: made whole
// first, exchanged for the one before then.
//
// In the map: what fits (layout.h), for queries without DO, as far as the kernel gives memory. What
// it gives none for is left out, logged and counted: the server answers that itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dns/answer_table.h"

namespace stackrig::namestorm {

class AnswersMap {
 public:
  /// Makes a map of so many entries: its descriptor, or -1 and errno. Another than the kernel's is
  /// for tests.
  using Create = std::function<int(std::uint32_t entries)>;
  static int create_in_kernel(std::uint32_t entries);

  template <class Key>
  explicit AnswersMap(const dns::AnswerTable<Key>& table, const Create& create = create_in_kernel) {
    std::vector<const dns::CutAnswer*> answers;
    table.for_each([&](const dns::CutAnswer& cut) {
      if (fits(cut)) answers.push_back(&cut);
    });
    fill(answers, create);
  }
  ~AnswersMap();
  AnswersMap(const AnswersMap&) = delete;
  AnswersMap& operator=(const AnswersMap&) = delete;

  [[nodiscard]] int fd() const { return fd_; }  ///< -1: the kernel gave no memory at all
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t left_out() const { return left_out_; }  ///< for want of memory

 private:
  static bool fits(const dns::CutAnswer& cut);
  void fill(const std::vector<const dns::CutAnswer*>& answers, const Create& create);
  bool add(const dns::CutAnswer& cut);

  int fd_ = -1;
  std::size_t size_ = 0, left_out_ = 0;
};

}  // namespace stackrig::namestorm
