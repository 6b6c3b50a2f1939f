/* SPDX-License-Identifier: GPL-2.0 */
/* How much a socket that is sent on may be given: no more than its TCP soon takes. */
#pragma once

#include "kernel.bpf.h"
#include "outlet.h"

/* Given to a socket and not yet taken by its TCP: above, what comes goes to the loader, which
 * leaves what follows in the receive queues. Set by the loader. */
const volatile __u32 most_waiting_bytes = 0, most_waiting_frames = 0;
/* Echo: what is not acknowledged waits, so that all that a socket is given fits its send buffer. */
const volatile __u32 until_acknowledged = 0;

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

/* Before the outlet gets a frame: what it gets is counted first, so that `queued` is never behind.
 */
static __always_inline void give(struct outlet* out, __u32 length) {
  __sync_fetch_and_add(&out->queued, length);
  __sync_fetch_and_add(&out->queued_frames, 1);
}
static __always_inline void take_back(struct outlet* out, __u32 length) {
  __sync_fetch_and_sub(&out->queued, length);
  __sync_fetch_and_sub(&out->queued_frames, 1);
}
