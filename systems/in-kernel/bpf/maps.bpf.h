/* SPDX-License-Identifier: GPL-2.0 */
/* The maps of both services, and what every verdict does with them. Sizes are set by the loader. */
#pragma once

#include "kernel.bpf.h"
#include "layout.h"
#include "outlet.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP); /* clients' sockets by slot: parser and verdict run on them */
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} clients SEC(".maps");

struct {
  __uint(type,
         BPF_MAP_TYPE_SOCKMAP); /* where the loader reads what was handed up, by client's slot */
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} ups SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP); /* backends' sockets by slot: no program runs on them */
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} backends SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP); /* the far end of the loader's pair of datagram sockets */
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} detour SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH); /* a client's slot by its socket's cookie */
  __uint(max_entries, 1);
  __type(key, __u64);
  __type(value, __u32);
} slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH); /* a backend's slot by the key of its messages */
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} routes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct flow);
} flows SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct outlet);
} outlets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF); /* slots of connections that were handed up */
  __uint(max_entries, 1 << 18);
} takings SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, COUNTERS);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 which, __u64 much) {
  __u64* counter = bpf_map_lookup_elem(&counters, &which);
  if (counter) *counter += much;
}
