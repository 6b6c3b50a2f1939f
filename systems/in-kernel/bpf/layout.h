/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What the BPF programs and their loader share: the tables and who writes what in them. */
#pragma once

#include <linux/types.h>

#include "outlet.h"

enum {
  /* A thrift msg beyond this is malformed here; 64 KiB of payload fit. */
  MOST_MESSAGE = 65536 + 1024,
  /* A frame that comes in more segments than this is put together by the loader: strparser would
   * keep a socket buffer per segment, which nobody accounts. */
  MOST_PIECES = 64,
  TAKEN_ERROR = 117, /* EUCLEAN: nothing in TCP gives it */
};

/* A client's connection. A slot is the same in `flows`, `clients`, `ups` and (echo)
 * `outlets`. The stream parser and the verdict program of one connection never run at once. */
struct flow {
  __u32 size;   /* of a buffer, in bytes (echo). Loader, before the socket is in the map */
  __u32 reason; /* COUNT_TAKEN_: why it was taken. Verdict program */
  __u32 kind;   /* FRAME_: what the parser found, for the verdict on it, as the next two */
  __u32 length; /* of the frame */
  __u32 key;    /* network byte order */
  __u32 pieces; /* segments of the frame under way. Parser, as the next two */
  __u32 held;   /* bytes of the frame under way */
  __u32 unused;
  __u64 framed; /* bytes of all frames */
  __u64 up;     /* FLOW_; by compare and swap only */
  __u64 before; /* bytes handed up before it was taken last. Verdict program */
  __u64 unused_too;
};

/* In `up`: how a connection stands, and how many bytes were handed up. */
#define FLOW_TAKEN (1ULL << 63) /* set by the verdict program, taken off by the loader */
#define FLOW_ENDED (1ULL << 62) /* set by the parser: it has ended itself */
#define FLOW_PASSED (FLOW_ENDED - 1)

/* Of the per-CPU counters. */
enum {
  COUNT_MESSAGES,          /* sent on in the kernel */
  COUNT_BYTES,             /* of those */
  COUNT_UP_BYTES,          /* handed up, any reason */
  COUNT_TAKEN_OTHER,       /* connections handed up: what came is no frame that the kernel knows */
  COUNT_TAKEN_CONGESTED,   /* the outlet has enough waiting */
  COUNT_TAKEN_PIECES,      /* a frame in more pieces than MOST_PIECES */
  COUNT_TAKEN_NESTED,      /* an skb that skb_send_sock() would not find all of, and no memory */
  COUNT_DROPPED_NO_KEY,    /* no backend for the key */
  COUNT_DROPPED_GONE,      /* the backend's socket is on its way out */
  COUNT_PUT_OFF,           /* segments of a client that is too far ahead: they come again */
  COUNT_DETOURED_MESSAGES, /* came back from the loader and were sent on */
  COUNT_DETOURED_BYTES,
  COUNTERS
};

/* How the detour's verdict program answers. */
enum { DETOUR_NOTHING, DETOUR_SENT, DETOUR_FULL, DETOUR_GONE };
