// SPDX-License-Identifier: GPL-2.0
// Slick's echo (3.2.2) and Thrift forwarder (3.3) in the kernel: strparser frames what arrives, the
// verdict gives each frame to the socket that it is for. The loader attaches one service's programs.
//
// What the programs do not know, or must not do, goes up to the loader, which does it and sends the
// result down the detour, in the order of the connection that it came from (layout.h, struct flow).
#include "frames.bpf.h"
#include "thrift.bpf.h"

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 redirect_to_clients = 0; /* echo: the detour's frames go to `clients` */

/* One datagram at a time takes the detour: the loader writes where it goes, sends it, and reads
 * how that went; the verdict runs within the send. */
__u32 detour_slot = 0;
__u32 detour_result = DETOUR_NOTHING;

/* Echo. */

SEC("sk_skb/stream_parser")
int echo_parser(struct __sk_buff* skb) {
  const __u32 have = skb->len - message_offset(skb);
  __u32 slot = 0;
  struct flow* flow = flow_of(skb, &slot);
  if (!flow || flow->size == 0) return have; /* not one that the loader put there */
  const __u32 size = flow->size;
  if (is_up(flow)) {
    if (flow->left != 0) {
      const __u32 part = have < flow->left ? have : flow->left;
      flow->left -= part;
      return frame(skb, flow, slot, FRAME_RAW, part);
    }
    if (have < size) return frame_in_parts(skb, flow, slot, have, size);
    flow->pieces = 0;
    return frame(skb, flow, slot, FRAME_RAW, have - have % size);
  }
  if (have < size) return wait_for_more(skb, flow, slot, have, size);
  flow->pieces = 0;
  return frame(skb, flow, slot, FRAME_WHOLE, size);
}

SEC("sk_skb/stream_verdict")
int echo_verdict(struct __sk_buff* skb) {
  const __u32 slot = skb->priority;
  struct flow* flow = bpf_map_lookup_elem(&flows, &slot);
  struct outlet* out = bpf_map_lookup_elem(&outlets, &slot);
  if (!flow || !out) return SK_DROP;
  const __u32 length = flow->length;
  if (flow->kind == FRAME_RAW) {
    count(COUNT_UP_OTHER, 1);
    return hand_up(flow, length);
  }
  if (!may_give(out, &clients, slot, 1)) {
    count(COUNT_UP_CONGESTED, 1);
    return hand_up(flow, length);
  }
  if (!make_flat(skb, length)) {
    count(COUNT_UP_NESTED, 1);
    return hand_up(flow, length);
  }
  give(out, length);
  if (bpf_sk_redirect_map(skb, &clients, slot, 0) != SK_PASS) {
    take_back(out, length);
    count(COUNT_DROPPED_GONE, 1);
    return SK_DROP;
  }
  count(COUNT_FRAMES, 1);
  count(COUNT_BYTES, length);
  return SK_PASS;
}

/* Forwarder. */

SEC("sk_skb/stream_parser")
int forward_parser(struct __sk_buff* skb) {
  const __u32 offset = message_offset(skb);
  const __u32 have = skb->len - offset;
  __u32 slot = 0;
  struct flow* flow = flow_of(skb, &slot);
  if (!flow) return have; /* not one that the loader put there */
  const int up = is_up(flow);
  if (up && flow->left != 0) {
    const __u32 part = have < flow->left ? have : flow->left;
    flow->left -= part;
    return frame(skb, flow, slot, FRAME_RAW, part);
  }
  struct msg_head head;
  const __u32 total = msg_length(skb, offset, have, &head);
  if (total == MSG_NOT) {
    flow->pieces = 0;
    flow->left = 0;
    return frame(skb, flow, slot, FRAME_RAW, have);
  }
  if (total == MSG_PARTIAL) {
    /* Its beginning only: its length is not known, and so not where it ends. */
    if (!up) return 0;
    flow->left = 0;
    return frame(skb, flow, slot, FRAME_RAW, have);
  }
  if (have < total) {
    return up ? frame_in_parts(skb, flow, slot, have, total)
              : wait_for_more(skb, flow, slot, have, total);
  }
  flow->pieces = 0;
  if (up) return frame(skb, flow, slot, FRAME_RAW, more_msgs(skb, offset, have, total));
  if (!ends_msg(skb, offset + total)) return frame(skb, flow, slot, FRAME_RAW, have);
  flow->key = head.key;
  return frame(skb, flow, slot, FRAME_WHOLE, total);
}

SEC("sk_skb/stream_verdict")
int forward_verdict(struct __sk_buff* skb) {
  const __u32 from = skb->priority;
  struct flow* flow = bpf_map_lookup_elem(&flows, &from);
  if (!flow) return SK_DROP;
  const __u32 length = flow->length, key = flow->key;
  if (flow->kind == FRAME_RAW) {
    count(COUNT_UP_OTHER, 1);
    return hand_up(flow, length);
  }
  const __u32* route = bpf_map_lookup_elem(&routes, &key);
  if (!route) {
    count(COUNT_DROPPED_NO_KEY, 1);
    return SK_DROP;
  }
  const __u32 to = *route;
  struct outlet* out = bpf_map_lookup_elem(&outlets, &to);
  if (!out) return SK_DROP;
  if (!may_give(out, &backends, to, 1)) {
    count(COUNT_UP_CONGESTED, 1);
    return hand_up(flow, length);
  }
  if (!make_flat(skb, length)) {
    count(COUNT_UP_NESTED, 1);
    return hand_up(flow, length);
  }
  give(out, length);
  if (bpf_sk_redirect_map(skb, &backends, to, 0) != SK_PASS) {
    take_back(out, length);
    count(COUNT_DROPPED_GONE, 1);
    return SK_DROP;
  }
  count(COUNT_FRAMES, 1);
  count(COUNT_BYTES, length);
  return SK_PASS;
}

/* Both. */

SEC("sk_skb")
int detour_verdict(struct __sk_buff* skb) {
  const __u32 slot = detour_slot, length = skb->len;
  struct outlet* out = bpf_map_lookup_elem(&outlets, &slot);
  detour_result = DETOUR_GONE;
  if (!out) return SK_DROP;
  /* At half of what a verdict takes for full: in between the frames take the short way again. */
  const int room = redirect_to_clients ? may_give(out, &clients, slot, 2)
                                       : may_give(out, &backends, slot, 2);
  if (!room) {
    detour_result = DETOUR_FULL;
    return SK_DROP;
  }
  give(out, length);
  const int result = redirect_to_clients ? bpf_sk_redirect_map(skb, &clients, slot, 0)
                                         : bpf_sk_redirect_map(skb, &backends, slot, 0);
  if (result != SK_PASS) {
    take_back(out, length);
    return SK_DROP;
  }
  detour_result = DETOUR_SENT;
  count(COUNT_DETOURED_FRAMES, 1);
  count(COUNT_DETOURED_BYTES, length);
  return SK_PASS;
}
