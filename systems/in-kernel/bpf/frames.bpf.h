/* SPDX-License-Identifier: GPL-2.0 */
/* What a stream parser tells the verdict program about the frame that it found, and the two ways a
 * frame can go: on, or up to the loader. */
#pragma once

#include "maps.bpf.h"

enum { FRAME_RAW, FRAME_WHOLE };

static __always_inline struct flow* flow_of(struct __sk_buff* skb, __u32* slot) {
  const __u64 cookie = bpf_get_socket_cookie(skb);
  const __u32* found = bpf_map_lookup_elem(&slots, &cookie);
  if (!found) return 0;
  *slot = *found;
  return bpf_map_lookup_elem(&flows, slot);
}

/* The verdict on a frame runs at once after the parser has found it, so it is described in its flow;
 * the slot goes with the skb in a field that nothing uses here, which saves a second lookup. */
static __always_inline int frame(struct __sk_buff* skb, struct flow* flow, __u32 slot, __u32 kind,
                                 __u32 length) {
  skb->priority = slot;
  flow->kind = kind;
  flow->length = length;
  return length;
}

/* Hands up what is there of a frame that will be `total` bytes long. */
static __always_inline int frame_in_parts(struct __sk_buff* skb, struct flow* flow, __u32 slot,
                                          __u32 have, __u32 total) {
  flow->left = total - have;
  flow->pieces = 0;
  return frame(skb, flow, slot, FRAME_RAW, have);
}

/* "More is needed" is said by 0, not by the length that the frame will have: strparser would wait
 * for all of it to be in the receive queue, which the window may not have room for. */
static __always_inline int wait_for_more(struct __sk_buff* skb, struct flow* flow, __u32 slot,
                                         __u32 have, __u32 total) {
  if (++flow->pieces < MOST_PIECES) return 0;
  count(COUNT_UP_PIECES, 1);
  return frame_in_parts(skb, flow, slot, have, total);
}

/* Whether the loader still has something of this connection: then all that follows goes up too, so
 * that nothing overtakes it. */
static __always_inline int is_up(const struct flow* flow) {
  return flow->passed != *(volatile const __u64*)&flow->consumed;
}

static __always_inline int hand_up(struct flow* flow, __u32 length) {
  flow->passed += length;
  count(COUNT_UP_FRAMES, 1);
  count(COUNT_UP_BYTES, length);
  return SK_PASS;
}

/* Makes a frame such that skb_send_sock() sends all of it. Costs a copy where it was not. */
static __always_inline int make_flat(struct __sk_buff* skb, __u32 length) {
  if (!is_nested(skb, MOST_PIECES)) return 1;
  return bpf_skb_pull_data(skb, message_offset(skb) + length) == 0;
}
