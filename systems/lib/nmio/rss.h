// SPDX-License-Identifier: Apache-2.0
// Receive-side scaling: which queue a frame goes to. The Toeplitz hash over the addresses and ports
// of IPv4 TCP and UDP (addresses only for other IPv4 and for fragments), with the key that most
// drivers and Microsoft's specification use, and an indirection table of 128 entries filled round
// robin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace stackrig::nmio {

/// Addresses and ports in host byte order, as the receiver of the frame sees source and
/// destination.
std::uint32_t rss_hash_ipv4(std::uint32_t source, std::uint32_t destination);
std::uint32_t rss_hash_tcp_ipv4(std::uint32_t source, std::uint32_t destination,
                                std::uint16_t source_port, std::uint16_t destination_port);

/// Hash of an Ethernet frame; 0 where it is not IPv4. Needs no more than its first 38 bytes.
std::uint32_t rss_hash_frame(std::span<const std::byte> frame);

/// The queue of `queues` that a hash goes to.
inline unsigned rss_queue(std::uint32_t hash, unsigned queues) {
  return (hash & 127U) % queues;
}

}  // namespace stackrig::nmio
