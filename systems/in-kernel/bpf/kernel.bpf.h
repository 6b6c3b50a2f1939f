/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's own structures, as far as they are read here; offsets are relocated at load (CO-RE).
 *
 * __sk_buff shows neither where strparser says that a message begins within its skb (strp_msg) nor
 * an skb's frag_list, and a message is not to be found or sent without them. */
#pragma once

#include <linux/bpf.h>
/* The order matters. */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

enum { TCP_DATA_OFFSET = 12 }; /* in a TCP header, of its length in the upper half of a byte */

#define RELOCATED __attribute__((preserve_access_index))

struct skb_shared_info {
  struct sk_buff* frag_list;
} RELOCATED;

struct sk_buff {
  struct sk_buff* next;
  struct sock* sk;
  char cb[48];
  unsigned char* head;
  unsigned int end;
} RELOCATED;

struct strp_msg {
  int full_len, offset;
} RELOCATED;

struct _strp_msg {
  struct strp_msg strp;
  int accum_len;
} RELOCATED;

struct sk_skb_cb {
  struct _strp_msg strp;
} RELOCATED;

struct tcp_sock {
  __u64 bytes_acked;
  __u32 write_seq, snd_una, copied_seq;
} RELOCATED;

struct tcp_skb_cb {
  __u32 seq;
} RELOCATED;

struct sock {
  void* sk_user_data;
} RELOCATED;

struct sk_buff_head {
  __u32 qlen;
} RELOCATED;

struct sk_psock {
  struct sk_buff_head ingress_skb;
} RELOCATED;

extern void* bpf_cast_to_kern_ctx(void*) __ksym;
extern void* bpf_rdonly_cast(const void*, __u32) __ksym;

static __always_inline struct skb_shared_info* shared_info(struct sk_buff* skb) {
  return bpf_rdonly_cast(skb->head + skb->end, bpf_core_type_id_kernel(struct skb_shared_info));
}

/* Bytes before the message in its skb. */
static __always_inline __u32 message_offset(struct __sk_buff* ctx) {
  struct sk_buff* skb = bpf_cast_to_kern_ctx(ctx);
  struct sk_skb_cb* cb = bpf_rdonly_cast(skb->cb, bpf_core_type_id_kernel(struct sk_skb_cb));
  return cb->strp.strp.offset;
}

/* Frames that wait for the worker that gives them to the socket's TCP, the one that it is at among
 * them. */
static __always_inline __u32 frames_waiting_on(struct sock* sk) {
  const __u64 user_data = (__u64)sk->sk_user_data & ~7ULL; /* flags in the low bits */
  struct sk_psock* psock =
      bpf_rdonly_cast((void*)user_data, bpf_core_type_id_kernel(struct sk_psock));
  return psock->ingress_skb.qlen;
}

static __always_inline __u32 frames_waiting(struct tcp_sock* tcp) {
  return frames_waiting_on(bpf_rdonly_cast(tcp, bpf_core_type_id_kernel(struct sock)));
}

/* The same for the socket that a parser runs on. */
static __always_inline __u32 own_frames_waiting(struct __sk_buff* ctx) {
  struct sk_buff* skb = bpf_cast_to_kern_ctx(ctx);
  return frames_waiting_on(bpf_rdonly_cast(skb->sk, bpf_core_type_id_kernel(struct sock)));
}

/* Whether a segment within the message's frag_list has one of its own: __skb_send_sock() walks the
 * first only, and would leave the rest out. */
static __always_inline int is_nested(struct __sk_buff* ctx, int most) {
  struct sk_buff* skb = bpf_cast_to_kern_ctx(ctx);
  struct sk_buff* part = shared_info(skb)->frag_list;
  for (int i = 0; i < most; ++i) {
    if (!part) return 0;
    part = bpf_rdonly_cast(part, bpf_core_type_id_kernel(struct sk_buff));
    if (shared_info(part)->frag_list) return 1;
    part = part->next;
  }
  return part != 0;
}
