// SPDX-License-Identifier: GPL-2.0
// Which frames are an afxdp port's: those for its own IPv4 addresses, and ARP for them, go to the
// port's socket on the queue that they arrived on. Everything else goes on to the kernel: other
// addresses, IPv6, VLAN-tagged frames, multicast. So does a frame on a queue that has no socket.
//
// For the port's own XDP program, and for those that take its place (afxdp/port.h: XdpHook).
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __type(key, __u32);
  __type(value, __u32);
  __uint(max_entries, 64);
} sockets SEC(".maps");

// Set before loading: the first of `address_count` consecutive addresses, host byte order.
const volatile __u32 first_address = 0;
const volatile __u32 address_count = 1;

// ARP for IPv4 over Ethernet (RFC 826); the kernel's header leaves the addresses out.
struct arp_ipv4 {
  __be16 hardware, protocol;
  __u8 hardware_len, protocol_len;
  __be16 operation;
  __u8 sender_mac[6];
  __u8 sender_ip[4];
  __u8 target_mac[6];
  __u8 target_ip[4];
} __attribute__((packed));

static __always_inline int is_ours(__u32 address) {
  return address - first_address < address_count;
}

static __always_inline int steer(struct xdp_md* ctx) {
  void* data = (void*)(long)ctx->data;
  void* end = (void*)(long)ctx->data_end;
  struct ethhdr* eth = data;
  if ((void*)(eth + 1) > end) return XDP_PASS;

  if (eth->h_proto == bpf_htons(ETH_P_IP)) {
    struct iphdr* ip = (void*)(eth + 1);
    if ((void*)(ip + 1) > end || !is_ours(bpf_ntohl(ip->daddr))) return XDP_PASS;
  } else if (eth->h_proto == bpf_htons(ETH_P_ARP)) {
    // A request's target is who is asked; a reply's is who had asked.
    struct arp_ipv4* arp = (void*)(eth + 1);
    if ((void*)(arp + 1) > end) return XDP_PASS;
    __u32 target = (__u32)arp->target_ip[0] << 24 | (__u32)arp->target_ip[1] << 16 |
                   (__u32)arp->target_ip[2] << 8 | arp->target_ip[3];
    if (!is_ours(target)) return XDP_PASS;
  } else {
    return XDP_PASS;
  }
  return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
}
