/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What the BPF programs and their loader share: the tables and who writes what in them. */
#pragma once

#include <linux/types.h>

enum {
  /* A thrift msg beyond this is the loader's to refuse; 64 KiB of payload fit. */
  MOST_MESSAGE = 65536 + 1024,
  /* A frame that comes in more segments than this is put together by the loader: strparser would
   * keep a socket buffer per segment, which nobody accounts. */
  MOST_PIECES = 64,
  /* Given to a socket and not yet taken by its TCP. Above, frames take the detour through the
   * loader, whose queue is accounted to their sender. */
  MOST_WAITING_BYTES = 2 << 20,
  MOST_WAITING_FRAMES = 8192,
};

/* A client's connection. A slot is the same in `flows`, `clients` and (echo) `outlets`. */
struct flow {
  __u32 size;     /* of a buffer, in bytes (echo). Loader, before the socket is in the map */
  __u32 pieces;   /* segments of the frame under way. Stream parser, as the next two */
  __u32 left;     /* bytes until a frame's end, of one that is handed up in parts */
  __u32 kind;     /* FRAME_: what the parser found, for the verdict on it, as the next two */
  __u32 length;   /* of the frame */
  __u32 key;      /* network byte order */
  __u64 passed;   /* bytes handed up to the loader. Verdict program */
  __u64 consumed; /* of those, dealt with by the loader. Loader */
  __u64 unused[3];
};

/* A socket that frames are sent on: backends by slot (forward), clients by slot (echo). */
struct outlet {
  __u64 queued;         /* bytes given to it. BPF programs, on any core */
  __u64 queued_frames;  /* the same in frames */
  __u64 written;        /* of `queued`, what its TCP had when last looked. BPF programs */
  __u64 written_frames; /* the same of `queued_frames` */
  __u64 base;           /* what its TCP counted before. Loader, before the socket is in the map */
  __u64 unused[3];
};

/* Of the per-CPU counters. */
enum {
  COUNT_FRAMES,            /* sent on in the kernel */
  COUNT_BYTES,             /* of those */
  COUNT_UP_FRAMES,         /* handed up, any reason */
  COUNT_UP_BYTES,          /* of those */
  COUNT_UP_OTHER,          /* because it is no frame that the kernel knows */
  COUNT_UP_CONGESTED,      /* because the outlet has enough waiting */
  COUNT_UP_PIECES,         /* because of MOST_PIECES */
  COUNT_UP_NESTED,         /* because skb_send_sock() would not find all of it */
  COUNT_DROPPED_NO_KEY,    /* no backend for the key */
  COUNT_DROPPED_GONE,      /* the backend's socket is on its way out */
  COUNT_DETOURED_FRAMES,   /* came back from the loader and were sent on */
  COUNT_DETOURED_BYTES,
  COUNTERS
};

/* How the detour's verdict program answers. */
enum { DETOUR_NOTHING, DETOUR_SENT, DETOUR_FULL, DETOUR_GONE };
