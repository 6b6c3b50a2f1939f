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
    /* No error while the worker sends: what was given before fits the send buffer and is gone soon.
     */
    if (own_frames_waiting(skb) != 0) return frame(skb, flow, slot, FRAME_OTHER, have);
    if (end_parser(flow, slot)) return -TAKEN_ERROR;
  }
  __u32 whole = have < flow->size ? 0 : flow->size;
  if (batch) whole = have - have % flow->size;
  if (whole == 0) return wait_for_more(skb, flow, slot, have);
  return frame(skb, flow, slot, FRAME_WHOLE, whole);
}

/* Handed up of a connection until its segments are dropped. Set by the loader. */
const volatile __u32 most_handed_up_bytes = 0;

/* Before TCP sees a segment, and without the socket's lock. The parser of a connection that was
 * taken cannot end while the worker still has frames to send, and the worker may wait long for the
 * lock where a client sends without a pause: then what more comes is lost, as on a wire, and comes
 * again. */
SEC("socket")
int echo_filter(struct __sk_buff* skb) {
  const int keep = -1;
  __u8 header;
  __u32 slot = 0;
  const struct flow* flow = flow_of(skb, &slot);
  if (!flow || !(flow->up & FLOW_TAKEN)) return keep;
  if ((flow->up & FLOW_PASSED) - flow->before < most_handed_up_bytes) return keep;
  if (own_frames_waiting(skb) == 0) return keep;
  if (bpf_skb_load_bytes(skb, TCP_DATA_OFFSET, &header, 1)) return keep;
  if (skb->len <= (header >> 4) * 4U) return keep; /* an ACK says how far the client is */
  count(COUNT_PUT_OFF, 1);
  return 0;
}

SEC("sk_skb/stream_verdict")
int echo_verdict(struct __sk_buff* skb) {
  const __u32 slot = skb->priority;
  struct flow* flow = bpf_map_lookup_elem(&flows, &slot);
  if (!flow) return SK_DROP;
  if (flow->kind == FRAME_WHOLE && flow->size != 0)
    return send_on(skb, flow, slot, &clients, slot, flow->length / flow->size);
  return hand_up(skb, flow, slot,
                 flow->kind == FRAME_PIECES ? COUNT_TAKEN_PIECES : COUNT_TAKEN_OTHER);
}

SEC("sk_skb/stream_parser")
int forward_parser(struct __sk_buff* skb) {
  const __u32 offset = message_offset(skb);
  const __u32 have = skb->len - offset;
  __u32 slot = 0;
  struct flow* flow = flow_of(skb, &slot);
  if (!flow) return have; /* not one that the loader put there */
  if ((flow->up & FLOW_TAKEN) && end_parser(flow, slot)) return -TAKEN_ERROR;
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
  if (flow->kind != FRAME_WHOLE) {
    return hand_up(skb, flow, from,
                   flow->kind == FRAME_PIECES ? COUNT_TAKEN_PIECES : COUNT_TAKEN_OTHER);
  }
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
