// SPDX-License-Identifier: Apache-2.0
#include "tcpip/isn.h"

#include "hash/siphash.h"

namespace stackrig::tcpip {

std::uint64_t siphash(const std::uint64_t (&key)[2], const std::uint64_t* words, unsigned count) {
  return hash::siphash<2, 4>(key, words, count);
}

FlowSecrets flow_secrets(const FlowKey& flow, const std::uint64_t (&key)[2]) {
  const std::uint64_t words[2] = {flow.addresses, flow.ports};
  const std::uint64_t h = siphash(key, words, 2);
  return {static_cast<std::uint32_t>(h), static_cast<std::uint32_t>(h >> 32)};
}

}  // namespace stackrig::tcpip
