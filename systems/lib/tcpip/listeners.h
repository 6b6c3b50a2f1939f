// SPDX-License-Identifier: Apache-2.0
// The listeners of a stack: few, looked up once per SYN.
#pragma once

#include <cstdint>
#include <vector>

#include "wire/address.h"

namespace stackrig::tcpip {

class Listeners {
 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  /// False where the endpoint is taken (an unspecified address takes the port on all).
  bool add(wire::Endpoint at, std::uint32_t slot) {
    for (const Listener& l : all_) {
      if (l.at.port == at.port && (l.at.address == at.address || l.at.address.is_unspecified() ||
                                   at.address.is_unspecified())) {
        return false;
      }
    }
    all_.push_back({at, slot});
    return true;
  }
  void remove(std::uint32_t slot) {
    std::erase_if(all_, [slot](const Listener& l) { return l.slot == slot; });
  }
  [[nodiscard]] std::uint32_t find(wire::Endpoint at) const {
    for (const Listener& l : all_) {
      if (l.at.port == at.port && (l.at.address == at.address || l.at.address.is_unspecified())) {
        return l.slot;
      }
    }
    return kNone;
  }
  void clear() { all_.clear(); }

 private:
  struct Listener {
    wire::Endpoint at;
    std::uint32_t slot;
  };
  std::vector<Listener> all_;
};

}  // namespace stackrig::tcpip
