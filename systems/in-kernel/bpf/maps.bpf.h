/* SPDX-License-Identifier: GPL-2.0 */
/* The maps of both services, and what every verdict does with them. Sizes are set by the loader. */
#pragma once

#include "kernel.bpf.h"
#include "layout.h"

struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP); /* clients' sockets by slot: parser and verdict run on them */
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} clients SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP); /* where the loader reads what was handed up, by client's slot */
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

/* Given to a socket and not yet taken by its TCP: above, connections are handed up to the loader,
 * which leaves what follows in their receive queues. Set by the loader. */
const volatile __u32 most_waiting_bytes = 0, most_waiting_frames = 0;
/* Echo: what is not acknowledged waits, so that all that a socket is given fits its send buffer. */
const volatile __u32 until_acknowledged = 0;

static __always_inline void count(__u32 which, __u64 much) {
  __u64* counter = bpf_map_lookup_elem(&counters, &which);
  if (counter) *counter += much;
}

/* Asks an outlet's TCP how far it is. Races with it, and with itself on other cores: at worst what
 * waits is judged a moment late. */
static __always_inline void look(struct outlet* out, struct bpf_sock* sk) {
  struct tcp_sock* tcp = bpf_skc_to_tcp_sock(sk);
  if (!tcp) return;
  out->written_frames = out->queued_frames - frames_waiting(tcp);
  out->written = tcp->bytes_acked - out->base;
  if (!until_acknowledged) out->written += (__u32)(tcp->write_seq - tcp->snd_una);
}

static __always_inline int has_room(const struct outlet* out, __u32 part) {
  return (__s64)(out->queued - out->written) < most_waiting_bytes / part &&
         (__s64)(out->queued_frames - out->written_frames) < most_waiting_frames / part;
}

/* Whether an outlet may be given a frame: it is looked at only when what it had done by the last
 * look is not enough. `part` divides the limits. */
static __always_inline int may_give(struct outlet* out, void* sockets, __u32 slot, __u32 part) {
  if (has_room(out, part)) return 1;
  struct bpf_sock* sk = bpf_map_lookup_elem(sockets, &slot);
  if (!sk) return 1; /* on its way out: the redirect finds that too */
  look(out, sk);
  bpf_sk_release(sk);
  return has_room(out, part);
}

/* Before the outlet gets a frame: what it gets is counted first, so that `queued` is never behind. */
static __always_inline void give(struct outlet* out, __u32 length) {
  __sync_fetch_and_add(&out->queued, length);
  __sync_fetch_and_add(&out->queued_frames, 1);
}
static __always_inline void take_back(struct outlet* out, __u32 length) {
  __sync_fetch_and_sub(&out->queued, length);
  __sync_fetch_and_sub(&out->queued_frames, 1);
}
