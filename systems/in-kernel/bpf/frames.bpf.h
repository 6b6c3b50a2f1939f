/* SPDX-License-Identifier: GPL-2.0 */
/* What a stream parser tells the verdict program about the frame that it found, and the two ways a
 * frame can go: on, or up to the loader. */
#pragma once

#include "maps.bpf.h"

enum { FRAME_WHOLE, FRAME_OTHER, FRAME_PIECES };

static __always_inline struct flow* flow_of(struct __sk_buff* skb, __u32* slot) {
  const __u64 cookie = bpf_get_socket_cookie(skb);
  const __u32* found = bpf_map_lookup_elem(&slots, &cookie);
  if (!found) return 0;
  *slot = *found;
  return bpf_map_lookup_elem(&flows, slot);
}

/* The verdict on a frame runs at once after the parser has found it, so it is described in its
 * flow; the slot goes with the skb in a field that nothing uses here, which saves a second lookup.
 */
static __always_inline int frame(struct __sk_buff* skb, struct flow* flow, __u32 slot, __u32 kind,
                                 __u32 length) {
  skb->priority = slot;
  flow->kind = kind;
  flow->length = length;
  flow->pieces = 0;
  flow->held = 0;
  flow->framed += length;
  return length;
}

/* "More is needed" is said by 0, not by the length that the frame will have: strparser would wait
 * for all of it to be in the receive queue, which the window may not have room for. */
static __always_inline int wait_for_more(struct __sk_buff* skb, struct flow* flow, __u32 slot,
                                         __u32 have) {
  if (++flow->pieces >= MOST_PIECES) return frame(skb, flow, slot, FRAME_PIECES, have);
  flow->held = have;
  return 0;
}

static __always_inline void tell(__u32 slot) {
  bpf_ringbuf_output(&takings, &slot, sizeof slot, BPF_RB_FORCE_WAKEUP);
}

/* Ends the parser of a connection that was taken, at the end of its last frame: what follows stays
 * in the receive queue, accounted. False: the loader has just given it back.
 *
 * The parser ends by returning an error. strparser gives the socket that error too: harmless as
 * long as nobody sends on it, and the loader takes it away (Programs::stop). */
static __always_inline int end_parser(struct flow* flow, __u32 slot) {
  const __u64 old = flow->up;
  if (!(old & FLOW_TAKEN)) return 0;
  if (old & FLOW_ENDED) return 1; /* asked again in the same run */
  if (__sync_val_compare_and_swap(&flow->up, old, old | FLOW_ENDED) != old) return 0;
  tell(slot);
  return 1;
}

/* Hands a frame, and with it the connection, up to the loader: what follows is its own, so that
 * nothing overtakes it.
 *
 * Not by SK_PASS: tcp_bpf_strp_read_sock() sets copied_seq as if all that was passed before had
 * been read, recvmsg() then moves it too far, and TCP reports no more data until as much has come
 * again (Linux 6.14 to 6.18). What goes to another socket is consumed for good, and copied_seq
 * stays true. */
static __always_inline int hand_up(struct __sk_buff* skb, struct flow* flow, __u32 slot,
                                   __u32 reason) {
  const __u32 length = flow->length;
  __u64 old = flow->up;
  if (!(old & FLOW_TAKEN)) {
    flow->reason = reason;
    flow->before = old & FLOW_PASSED;
  }
  /* The loader gives back what is taken, once; nobody else writes meanwhile. */
  __u64 found = __sync_val_compare_and_swap(&flow->up, old, (old + length) | FLOW_TAKEN);
  if (found != old) {
    flow->reason = reason;
    flow->before = found & FLOW_PASSED;
    old = found;
    __sync_val_compare_and_swap(&flow->up, old, (old + length) | FLOW_TAKEN);
  }
  if (!(old & FLOW_TAKEN)) {
    count(reason, 1);
    tell(slot);
  }
  count(COUNT_UP_BYTES, length);
  return bpf_sk_redirect_map(skb, &ups, slot, BPF_F_INGRESS);
}

/* Makes a frame such that skb_send_sock() sends all of it. Costs a copy where it was not. */
static __always_inline int make_flat(struct __sk_buff* skb, __u32 length) {
  if (!is_nested(skb, MOST_PIECES)) return 1;
  return bpf_skb_pull_data(skb, message_offset(skb) + length) == 0;
}

/* Gives a frame of so many messages to the socket that it is for. */
static __always_inline int send_on(struct __sk_buff* skb, struct flow* flow, __u32 from,
                                   void* sockets, __u32 to, __u32 messages) {
  struct outlet* out = bpf_map_lookup_elem(&outlets, &to);
  const __u32 length = flow->length;
  if (!out) return SK_DROP;
  if (!may_give(out, sockets, to, 1)) return hand_up(skb, flow, from, COUNT_TAKEN_CONGESTED);
  if (!make_flat(skb, length)) return hand_up(skb, flow, from, COUNT_TAKEN_NESTED);
  give(out, length);
  if (bpf_sk_redirect_map(skb, sockets, to, 0) != SK_PASS) {
    take_back(out, length);
    count(COUNT_DROPPED_GONE, 1);
    return SK_DROP;
  }
  count(COUNT_MESSAGES, messages);
  count(COUNT_BYTES, length);
  return SK_PASS;
}
