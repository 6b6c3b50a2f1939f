// SPDX-License-Identifier: Apache-2.0
// One direction of a pair: what comes on one socket goes out on the other. In the kernel as a rule;
// what the program passes up, and all of it where a socket is not in its map, by recv() and send().
// The end (FIN) is always the loader's to pass on, behind the last byte. Thread: the poller's.
#pragma once

#include <cstdint>

#include "../bpf/byte_queue.h"
#include "relay.h"

namespace stackrig::in_kernel::proxy {

class Stream {
 public:
  enum class Next : std::uint8_t {
    wait,    ///< for an event
    later,   ///< no event will tell; in a moment
    again,   ///< there is more, others come first
    broken,  ///< a socket does not work any more
  };
  struct End {
    int fd;
    std::uint32_t slot;
  };

  Stream(Relay& relay, End from, End to, bool in_kernel, std::uint64_t& counted)
      : relay_(relay), from_(from), to_(to), in_kernel_(in_kernel), counted_(counted) {}

  /// Does what can be done now.
  Next advance();

  /// The sender has ended its side.
  void half_closed() { half_closed_ = true; }
  /// Nothing more of it is wanted.
  void abandon() { ended_ = true; }
  /// The end was passed on.
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] bool wants_in() const { return wants_in_; }    ///< of `from`
  [[nodiscard]] bool wants_out() const { return wants_out_; }  ///< of `to`
  /// Bytes that went by so far.
  [[nodiscard]] std::uint64_t bytes() const { return in_kernel_ ? relay_.seen(from_.slot) : read_; }
  /// Whether all that was received from the sender is acknowledged by the receiver.
  [[nodiscard]] bool delivered() const;

 private:
  Next send_unsent();
  bool all_read();
  Next end();

  Relay& relay_;
  End from_, to_;
  bool in_kernel_;
  bool half_closed_ = false, eof_ = false, ended_ = false;
  bool wants_in_ = false, wants_out_ = false;
  std::uint64_t read_ = 0;  ///< bytes that the loader has received
  ByteQueue unsent_;
  std::uint64_t& counted_;  ///< bytes that the loader has sent
};

}  // namespace stackrig::in_kernel::proxy
