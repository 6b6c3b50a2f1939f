// SPDX-License-Identifier: GPL-2.0
// The XDP program of an afxdp port.
#include "nmio/afxdp/steer.bpf.h"

SEC("xdp.frags")
int stackrig_port(struct xdp_md* ctx) {
  return steer(ctx);
}

char _license[] SEC("license") = "GPL";
