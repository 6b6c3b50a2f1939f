// SPDX-License-Identifier: GPL-2.0
// Lets everything through. A veth takes what the other end's XDP program sends in time only if it
// has a program of its own (veth_xdp_flush() of Linux): the harness puts this one there for clients
// that are the kernel's.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("xdp.frags")
int stackrig_pass(struct xdp_md* ctx) {
  (void)ctx;
  return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
