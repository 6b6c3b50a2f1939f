// SPDX-License-Identifier: Apache-2.0
// A TAP device with virtio-net headers: a wire to the kernel's stack of this network namespace,
// with TSO and checksum offload both ways. It is gone when the process is.
//
//   tap:NAME?kernel=10.77.0.1/24&queues=2
//
// NAME is the kernel's end, an interface. It is made where none is there; one that is (`ip tuntap
// add dev NAME mode tap vnet_hdr`, with multi_queue for more than one queue) is joined, and stays.
//
// Keys besides the common ones (port.h); `address` and `addresses` are accepted and not needed: all
// that the kernel sends into the interface arrives:
//   kernel=A.B.C.D/N     address and prefix that the kernel gets at its end; without it, `ip addr
//                        add` gives it one
//   mtu=1500             of the kernel's end; without it, as it is
//   tso=on|off           offer TSO (default on): large packets enter the kernel whole
//   lro=off|on           large receive: the kernel's large packets (TSO) arrive in pieces of up to
//                        15 KiB, whole segments each, as with shm; off: the kernel cuts them
//                        itself. Chunks are 16 KiB then; needs csum=on
//   csum=on|off          offer checksum offload, both ways (default on). A frame whose checksum was
//                        left to the device arrives as kChecksumGood with only the pseudo header's
//                        sum in it, as virtio has it
//   pages=huge|plain     huge (default): 2 MiB pages where the system has them
//
// Queues: the kernel sends a flow to the queue that the flow's frames last came from, else by hash.
// A system call per frame, each way.
#pragma once

#include <memory>

#include "nmio/port.h"
#include "nmio/uri.h"

namespace stackrig::nmio::tap {

std::unique_ptr<Port> open(const PortUri& uri);

}  // namespace stackrig::nmio::tap
