/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* A socket that BPF programs send on, as they and their loader see it. */
#pragma once

#include <linux/types.h>

/* By slot: backends (forward), clients (echo), both ends (proxy). */
struct outlet {
  __u64 queued;         /* bytes given to it. BPF programs, on any core */
  __u64 queued_frames;  /* the same in frames */
  __u64 written;        /* of `queued`, what its TCP had when last looked. BPF programs */
  __u64 written_frames; /* the same of `queued_frames` */
  __u64 base;           /* what its TCP counted that is not of `queued`. Loader */
  __u64 unused[3];
};
