// SPDX-License-Identifier: GPL-2.0
// Slick's echo (3.2.2) and Thrift forwarder (3.3) in the kernel: strparser frames what arrives, the
// verdict gives each frame to the socket that it is for. The loader attaches one service's
// programs.
//
// What the programs do not know, or must not do, goes up to the loader, and the connection with it:
// the loader goes on where the programs ended, and gives the connection back at the end of a frame.
#include "frames.bpf.h"
#include "thrift.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* One datagram at a time takes the detour: the loader writes where it goes, sends it, and reads
 * how that went; the verdict runs within the send. */
__u32 detour_slot = 0;
__u32 detour_result = DETOUR_NOTHING;

/* Whether all buffers that are whole make one frame. They go the same way, and to the client they
 * are a stream; but the paper's servers deal with one at a time. Set by the loader. */
const volatile __u32 batch = 0;

SEC("sk_skb/stream_parser")
int echo_parser(struct __sk_buff* skb) {
  const __u32 have = skb->len - message_offset(skb);
  __u32 slot = 0;
  struct flow* flow = flow_of(skb, &slot);
  if (!flow || flow->size == 0) return have; /* not one that the loader put there */
  if (flow->up & FLOW_TAKEN) {
    const int length = end_parser(skb, flow, slot, have);
    if (length != 0) return length;
  }
  __u32 whole = have < flow->size ? 0 : flow->size;
  if (batch) whole = have - have % flow->size;
  if (whole == 0) return wait_for_more(skb, flow, slot, have);
  return frame(skb, flow, slot, FRAME_WHOLE, whole);
}

SEC("sk_skb/stream_verdict")
int echo_verdict(struct __sk_buff* skb) {
  const __u32 slot = skb->priority;
  struct flow* flow = bpf_map_lookup_elem(&flows, &slot);
  if (!flow) return SK_DROP;
  if (flow->kind == FRAME_WHOLE && flow->size != 0)
    return send_on(skb, flow, slot, &clients, slot, flow->length / flow->size);
  return pass_up(skb, flow, slot);
}

SEC("sk_skb/stream_parser")
int forward_parser(struct __sk_buff* skb) {
  const __u32 offset = message_offset(skb);
  const __u32 have = skb->len - offset;
  __u32 slot = 0;
  struct flow* flow = flow_of(skb, &slot);
  if (!flow) return have; /* not one that the loader put there */
  if (flow->up & FLOW_TAKEN) {
    const int length = end_parser(skb, flow, slot, have);
    if (length != 0) return length;
  }
  struct msg_head head;
  const __u32 total = msg_length(skb, offset, have, &head);
  if (total == MSG_NOT) return frame(skb, flow, slot, FRAME_OTHER, have);
  if (total == MSG_PARTIAL || have < total) return wait_for_more(skb, flow, slot, have);
  if (!ends_msg(skb, offset + total)) return frame(skb, flow, slot, FRAME_OTHER, have);
  flow->key = head.key;
  return frame(skb, flow, slot, FRAME_WHOLE, total);
}

SEC("sk_skb/stream_verdict")
int forward_verdict(struct __sk_buff* skb) {
  const __u32 from = skb->priority;
  struct flow* flow = bpf_map_lookup_elem(&flows, &from);
  if (!flow) return SK_DROP;
  if (flow->kind != FRAME_WHOLE) return pass_up(skb, flow, from);
  const __u32 key = flow->key;
  const __u32* route = bpf_map_lookup_elem(&routes, &key);
  if (!route) {
    count(COUNT_DROPPED_NO_KEY, 1);
    return SK_DROP;
  }
  return send_on(skb, flow, from, &backends, *route, 1);
}

/* A frame that the loader has dealt with goes behind all that its backend was given before. */
SEC("sk_skb")
int detour_verdict(struct __sk_buff* skb) {
  const __u32 slot = detour_slot, length = skb->len;
  struct outlet* out = bpf_map_lookup_elem(&outlets, &slot);
  detour_result = DETOUR_GONE;
  if (!out) return SK_DROP;
  /* At half of what a verdict takes for full: there is room again when connections are given back.
   */
  if (!may_give(out, &backends, slot, 2)) {
    detour_result = DETOUR_FULL;
    return SK_DROP;
  }
  give(out, length);
  if (bpf_sk_redirect_map(skb, &backends, slot, 0) != SK_PASS) {
    take_back(out, length);
    return SK_DROP;
  }
  detour_result = DETOUR_SENT;
  count(COUNT_DETOURED_MESSAGES, 1);
  count(COUNT_DETOURED_BYTES, length);
  return SK_PASS;
}
