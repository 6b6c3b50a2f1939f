// SPDX-License-Identifier: Apache-2.0
// The soft NIC: a wire of shared memory between two processes, with what a NIC has (RSS, TSO,
// checksum offload, scatter-gather, completions, a rate, tail drop) and no kernel in between.
//
//   shm:NAME?side=server        one side; the other is side=client. Either may start first.
//
// Keys besides the common ones (port.h); `address` and `addresses` are accepted and not needed:
//   side=server|client   required
//   rate=10G             bits per second each way, with Ethernet's 24 bytes per frame; the slower
//                        side counts; 0 (default): as fast as memory
//   mtu=1500             longest frame, less the Ethernet header; the receiver drops longer ones
//   tso=on|off           offer TSO (default on)
//   lro=off|on           large receive: what the peer sent as one large packet (TSO) arrives in
//                        pieces of up to 15 KiB, whole segments each, as with virtio's GUEST_TSO4,
//                        not cut into frames; chunks are 16 KiB then; needs csum=on. rx_packets
//                        counts pieces
//   csum=on|off|verify   offer checksum offload, both ways (default on). A frame whose checksum was
//                        left to the device arrives as kChecksumGood with only the pseudo header's
//                        sum in it, as with virtio. verify: the receiver computes every sum, as
//                        hardware does, at its cost
//   pause=off|on         on: a full receiver stops the sender (802.3x). off (default): it drops,
//                        and the sender's tx_dropped counts it
//   wait=10              client: seconds that open() waits for a server; 0: not at all
//   pages=huge|plain     huge (default): 2 MiB pages where the system has them
//
// The abstract UNIX socket that the two meet over lies in the network namespace: both must be in
// the same. A second client is refused while one is connected.
#pragma once

#include <memory>

#include "nmio/port.h"
#include "nmio/uri.h"

namespace stackrig::nmio::shm {

std::unique_ptr<Port> open(const PortUri& uri);

}  // namespace stackrig::nmio::shm
