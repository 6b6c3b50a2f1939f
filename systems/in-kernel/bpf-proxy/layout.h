/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What the BPF program and its loader share: the tables and who writes what in them.
 *
 * A client has an even slot, the backend connection that it is paired with the odd one after it. */
#pragma once

#include <linux/types.h>

/* What a socket receives. By slot, as the outlet that stands for sending on the same socket. */
struct inlet {
  __u64 seen;     /* bytes, each once. Program, as the next three */
  __u64 passed;   /* of those, what goes up to the loader */
  __u32 next_seq; /* TCP's number of the next byte, once something has been seen */
  __u32 unused;
  __u64 given_back; /* of `passed`, what the loader has sent on. Loader, as the next */
  __u64 open;       /* 1: the other end is in the map as well */
  __u64 unused_too[3];
};

/* Of the per-CPU counters. */
enum {
  PROXY_SEGMENTS,     /* sent on in the kernel */
  PROXY_BYTES,        /* of those */
  PROXY_UP_BYTES,     /* to the loader, any reason */
  PROXY_CONGESTED,    /* times that an outlet had enough waiting */
  PROXY_OVERLAPS,     /* segments that began with bytes that had been there */
  PROXY_FLATTENED,    /* that skb_send_sock() would not have found all of */
  PROXY_DROPPED_GONE, /* bytes whose outlet is on its way out */
  PROXY_COUNTERS
};
