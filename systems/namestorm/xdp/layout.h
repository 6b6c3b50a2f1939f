/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What lies in the BPF maps, as the XDP program and the server both see it. */
#pragma once

#include <linux/types.h>

enum {
  ANSWERS_MOST_NAME = 61, /* bytes of a name in wire form; longer ones are the server's */
  ANSWERS_MOST_TAIL =
      240, /* bytes of an answer behind its question; longer ones are the server's */
};

/* A question. The length tells names apart that would otherwise end in the same zeros. */
struct answer_key {
  __u8 name[ANSWERS_MOST_NAME]; /* wire form, letters in lower case, then zeros */
  __u8 length;
  __u8 type[2];
};

/* Its answer without OPT. Fields as they lie in the packet. */
struct answer_value {
  __u16 flags; /* of an answer to a query without RD */
  __u16 answers, authorities;
  __u16 additionals; /* host byte order */
  __u16 tail_len;    /* host byte order; at least 1 */
  __u16 tail_sum;    /* ones'-complement sum of the tail, in memory order */
  __u8 tail[ANSWERS_MOST_TAIL];
};

enum { ANSWERS_SENT, ANSWERS_COUNTERS };
