// SPDX-License-Identifier: Apache-2.0
// AF_XDP: a Linux interface, shared with the kernel. The port's XDP program takes frames for the
// port's own addresses and ARP for them; everything else goes on to the kernel. It is gone when the
// process is.
//
//   afxdp:IFNAME?address=10.77.0.2
//
// Keys besides the common ones (port.h):
//   address=A            required; an address that the kernel does not own
//   addresses=N          N consecutive addresses from `address` on (default 1)
//   take=address|all     all: every IPv4 and ARP frame, whoever it is for, as a box between two
//                        wires needs; `address` is not needed then
//   mode=auto|native|generic   where the XDP program runs; auto: native where the driver can
//   zerocopy=auto|off|on
//   sg=on|off            scatter-gather, where the kernel has it (Linux 6.6; default on)
//   csum=software|offload  offload: transmit checksums by metadata (Linux 6.11); frames then need
//                        24 free bytes before them in their chunk
//   rxcsum=check|trust   trust: every received checksum is called good; see below
//   pages=huge|plain
//
// Queues: the interface must have as many receive queues as the port, or frames on the others would
// reach the kernel. On veth, transmit queue i arrives on receive queue i of the peer.
//
// Checksums: AF_XDP says nothing about received checksums. A kernel peer on veth leaves them to the
// device: what arrives then carries the pseudo header's sum only. Switch the peer's offload off
// (ethtool -K PEER tx off), or use rxcsum=trust on a wire that cannot corrupt. The same goes for
// frames longer than the MTU: native mode switches the peer's TSO off, generic mode does not
// (ethtool -K PEER tso off gso off).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "nmio/port.h"
#include "nmio/uri.h"

namespace stackrig::nmio::afxdp {

std::unique_ptr<Port> open(const PortUri& uri);

/// What an application needs to put an XDP program of its own in the place of the port's
/// (bpf_link_update): one that hands on by steer() (steer.bpf.h) what it does not answer itself. It
/// is gone with the port, as the port's is.
struct XdpHook {
  int link_fd;                  ///< the port's
  int sockets_fd;               ///< the map `sockets`, the port's
  std::uint32_t first_address;  ///< host byte order
  std::uint32_t address_count;
};
/// Nothing where `port` is no afxdp port.
std::optional<XdpHook> xdp_hook(const Port& port);

}  // namespace stackrig::nmio::afxdp
