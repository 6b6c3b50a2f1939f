// SPDX-License-Identifier: Apache-2.0
// All of Namestorm that lives on one queue: the stacks and the server on them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "edition.h"
#include "runtime/threads.h"
#include "server.h"
#include "tcpip/stack.h"

namespace stackrig::namestorm {

struct Settings {
  tcpip::Config tcp;  ///< address, MAC, offload, secret are the place's
  ServerConfig server;
};

template <class Key>
class Instance {
 public:
  /// Throws nmio::SetupError, std::invalid_argument, std::bad_alloc.
  Instance(runtime::QueuePlace& place, const Publisher<Key>& publisher, const Settings& settings);

  void on_burst(std::span<const nmio::RxPacket> burst, nmio::Time now) {
    server_->on_burst(burst, now);
  }
  void on_idle(nmio::Time now) { server_->on_idle(now); }
  [[nodiscard]] nmio::Time next_deadline() const { return server_->next_deadline(); }

 private:
  std::unique_ptr<tcpip::Stack> stack_;
  std::unique_ptr<Server<Key>> server_;
};

extern template class Instance<dns::WireKey>;
extern template class Instance<dns::FqdnKey>;

/// Packet chunks that a queue needs: rings and what is between them, and for precopy a copy of each
/// of `answers` and room for the copies that circulate.
[[nodiscard]] std::uint64_t chunks_needed(const UdpConfig& config, std::uint64_t answers);

}  // namespace stackrig::namestorm
