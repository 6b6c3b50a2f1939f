// SPDX-License-Identifier: Apache-2.0
// The XDP variant: answers that were cut at start-up lie in a BPF map too, and the port's XDP
// program sends them back without waking the server (Slick's idea, carried to the wire). No paper
// has it.
//
// In the map: what fits (layout.h), for queries without DO. All else comes up to the server, which
// serves beside it as always. The program and its maps are gone when the process is, however it
// went. Thread: any one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "dns/answer_table.h"
#include "nmio/port.h"
#include "wire/address.h"

namespace stackrig::namestorm {

class XdpAnswers {
 public:
  /// Loads the program beside the port's; it answers nothing yet. Throws nmio::SetupError: no
  /// afxdp port, not permitted, not taken by the kernel.
  XdpAnswers(const nmio::Port& port, wire::Ipv4Cidr address, std::uint16_t dns_port);
  ~XdpAnswers();
  XdpAnswers(const XdpAnswers&) = delete;
  XdpAnswers& operator=(const XdpAnswers&) = delete;

  /// Answers from `table` from now on, in place of what was there; queries that are under way are
  /// answered from the one or the other. Throws std::system_error; what was there stays then.
  template <class Key>
  void publish(const dns::AnswerTable<Key>& table) {
    const int map = make_map(table.size());
    table.for_each([&](const dns::CutAnswer& cut) { add(map, cut); });
    exchange(map);
  }

  [[nodiscard]] std::size_t size() const { return size_; }  ///< answers in the map
  [[nodiscard]] std::uint64_t answers_sent() const;         ///< by the program, on all cores

 private:
  struct Skeleton;
  int make_map(std::size_t answers);
  void add(int map, const dns::CutAnswer& cut);
  void exchange(int map);

  std::unique_ptr<Skeleton> skeleton_;
  std::size_t size_ = 0, adding_ = 0;
};

}  // namespace stackrig::namestorm
