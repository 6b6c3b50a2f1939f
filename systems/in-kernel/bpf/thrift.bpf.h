/* SPDX-License-Identifier: GPL-2.0 */
/* msg(1: i32 key, 2: string payload) as Thrift's own code writes it: arguments in their order and
 * nothing else. All other messages, and msg in other forms, are the loader's to read.
 *
 *   0 version and type, 4 length of the name, 8 "msg", 11 sequence, 15 field 1: i32, 18 key,
 *   22 field 2: string, 25 length of the payload, 29 payload, then a byte 0 */
#pragma once

#include <bpf/bpf_endian.h>

#include "frames.bpf.h"

enum {
  MSG_HEAD = 29,
  MSG_AROUND = 30,  /* bytes besides the payload */
  MSG_NOT = ~0U,    /* not that form, or longer than MOST_MESSAGE */
  MSG_PARTIAL = 0U, /* may become one */
};

struct msg_head {
  __u32 version, name_length;
  __u8 name[3];
  __u8 sequence[4];
  __u8 key_field[3];
  __u32 key; /* network byte order, as in `routes` */
  __u8 payload_field[3];
  __u32 payload_length;
} __attribute__((packed));

static __always_inline int is_version(__u32 version) {
  /* call or oneway: clients of the paper's time sent oneway methods as calls */
  return version == bpf_htonl(0x80010004) || version == bpf_htonl(0x80010001);
}

static __always_inline int is_msg_head(const struct msg_head* h) {
  return is_version(h->version) && h->name_length == bpf_htonl(3) && h->name[0] == 'm' &&
         h->name[1] == 's' && h->name[2] == 'g' && h->key_field[0] == 8 && h->key_field[1] == 0 &&
         h->key_field[2] == 1 && h->payload_field[0] == 11 && h->payload_field[1] == 0 &&
         h->payload_field[2] == 2;
}

/* Of a head of which `have` bytes are there: whether they are as they must be. */
static __always_inline int may_be_msg(struct __sk_buff* skb, __u32 offset, __u32 have) {
  static const __u8 wanted[MSG_HEAD] = {0x80, 1, 0, 4, 0, 0, 0, 3, 'm', 's', 'g', 0, 0,
                                        0,    0, 8, 0, 1, 0, 0, 0, 0,   11,  0,   2};
  static const __u8 matters[MSG_HEAD] = {1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0,
                                         0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1};
  for (__u32 i = 0; i < MSG_HEAD; ++i) {
    __u8 byte;
    if (i >= have) return 1;
    if (bpf_skb_load_bytes(skb, offset + i, &byte, 1)) return 0;
    if (matters[i] && byte != wanted[i]) return 0;
    if (i == 3 && byte != 4 && byte != 1) return 0;
  }
  return 1;
}

/* Bytes of the msg that begins at `offset`, of which `have` bytes are there; MSG_NOT, MSG_PARTIAL.
 */
static __always_inline __u32 msg_length(struct __sk_buff* skb, __u32 offset, __u32 have,
                                        struct msg_head* head) {
  if (have < MSG_HEAD) return may_be_msg(skb, offset, have) ? MSG_PARTIAL : MSG_NOT;
  if (bpf_skb_load_bytes(skb, offset, head, sizeof *head)) return MSG_NOT;
  if (!is_msg_head(head)) return MSG_NOT;
  const __u32 payload = bpf_ntohl(head->payload_length);
  return payload <= MOST_MESSAGE - MSG_AROUND ? payload + MSG_AROUND : MSG_NOT;
}

/* Whether the byte before `end` ends a struct: other fields may follow those two. */
static __always_inline int ends_msg(struct __sk_buff* skb, __u32 end) {
  __u8 byte;
  return bpf_skb_load_bytes(skb, end - 1, &byte, 1) == 0 && byte == 0;
}
