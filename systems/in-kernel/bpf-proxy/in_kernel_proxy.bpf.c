// SPDX-License-Identifier: GPL-2.0
// A reverse proxy's way of the bytes: what a socket receives is sent on the socket it is paired
// with, in both directions (Slick, future work).
//
// There is no stream parser: nothing is framed, and without one SK_PASS is whole (Linux 6.5 and
// newer): what is passed stays accounted to its socket, copied_seq moves when the loader reads it,
// and so the window closes when nobody does. That is the back-pressure. What was passed is the
// loader's to send; until it has, everything behind goes the same way, so that nothing overtakes.
#include "../bpf/outlet.bpf.h"
#include "layout.h"

char LICENSE[] SEC("license") = "GPL";

enum {
  MOST_PARTS = 64,             /* of a segment, looked at for parts of their own */
  MOST_TRIMMED_AT_ONCE = 4095, /* by bpf_skb_adjust_room() */
  MOST_TRIMS = 20,             /* enough for the longest segment */
};

struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP); /* by slot */
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} sockets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH); /* a slot by its socket's cookie */
  __uint(max_entries, 1);
  __type(key, __u64);
  __type(value, __u32);
} slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct inlet);
} inlets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct outlet);
} outlets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF); /* slots that something was passed of */
  __uint(max_entries, 1 << 18);
} notices SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, PROXY_COUNTERS);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 which, __u64 much) {
  __u64* counter = bpf_map_lookup_elem(&counters, &which);
  if (counter) *counter += much;
}

/* A segment that TCP queues may begin with bytes that came before (a retransmission cut otherwise).
 * Who reads by recvmsg() or by a stream parser is spared them; tcp_read_skb() gives the whole. */
static __always_inline int trim(struct __sk_buff* ctx, struct inlet* in) {
  struct sk_buff* skb = bpf_cast_to_kern_ctx(ctx);
  struct tcp_skb_cb* cb = bpf_rdonly_cast(skb->cb, bpf_core_type_id_kernel(struct tcp_skb_cb));
  struct tcp_sock* tcp = bpf_rdonly_cast(skb->sk, bpf_core_type_id_kernel(struct tcp_sock));
  const __u32 seq = cb->seq;
  __u32 next = *(volatile __u32*)&tcp->copied_seq; /* volatile: not one load from either pointer */
  if (in->seen) next = in->next_seq;
  __s32 before = next - seq;
  const __u32 length = ctx->len;
  in->next_seq = seq + length;
  if (before <= 0) return 1;
  count(PROXY_OVERLAPS, 1);
  for (int i = 0; i < MOST_TRIMS && before > 0; ++i) {
    const __s32 now = before < MOST_TRIMMED_AT_ONCE ? before : MOST_TRIMMED_AT_ONCE;
    if (bpf_skb_adjust_room(ctx, -now, 0, 0)) return 0;
    before -= now;
  }
  return before <= 0;
}

/* To the loader, which is told: of every segment, or the last one might go unnoticed. */
static __always_inline int pass(struct inlet* in, __u32 slot, __u32 length) {
  in->passed += length;
  count(PROXY_UP_BYTES, length);
  bpf_ringbuf_output(&notices, &slot, sizeof slot, BPF_RB_FORCE_WAKEUP);
  return SK_PASS;
}

SEC("sk_skb")
int relay(struct __sk_buff* skb) {
  const __u64 cookie = bpf_get_socket_cookie(skb);
  const __u32* found = bpf_map_lookup_elem(&slots, &cookie);
  if (!found) return SK_PASS; /* on its way out */
  const __u32 slot = *found, other = slot ^ 1;
  struct inlet* in = bpf_map_lookup_elem(&inlets, &slot);
  struct outlet* out = bpf_map_lookup_elem(&outlets, &other);
  if (!in || !out) return SK_PASS;
  /* A bare FIN. Sent on, it would break the other socket: the worker takes "0 bytes sent" for an
   * error. The loader sees it by itself. */
  if (skb->len == 0) return SK_DROP;
  if (!trim(skb, in)) return SK_DROP;
  const __u32 length = skb->len;
  in->seen += length;
  if (!*(volatile __u64*)&in->open || in->passed != *(volatile __u64*)&in->given_back)
    return pass(in, slot, length);
  if (!may_give(out, &sockets, other, 1)) {
    count(PROXY_CONGESTED, 1);
    return pass(in, slot, length);
  }
  if (is_nested(skb, MOST_PARTS)) {
    count(PROXY_FLATTENED, 1);
    if (bpf_skb_pull_data(skb, length)) return pass(in, slot, length);
  }
  give(out, length);
  if (bpf_sk_redirect_map(skb, &sockets, other, 0) != SK_PASS) {
    take_back(out, length);
    count(PROXY_DROPPED_GONE, length);
    return SK_DROP;
  }
  count(PROXY_SEGMENTS, 1);
  count(PROXY_BYTES, length);
  return SK_PASS;
}
