/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A queue of bytes whose content always lies in one piece, so that a message can be looked at where
 * it is (BufferedSocket_peek). Bytes are moved to the beginning only when half of the queue has
 * been consumed, so each byte moves at most once on average; until then the room in front does not
 * count. For a queue of outgoing bytes that is a low-water mark.
 *
 * Ownership: the queue owns its memory. No lock: the caller's context is the only one.
 */
#ifndef SLICK_BYTE_QUEUE_H
#define SLICK_BYTE_QUEUE_H

#include "portable.h"

struct byte_queue {
  u8* data;
  u32 capacity;
  u32 head; /* the first byte that is held */
  u32 tail; /* behind the last one */
};

/* Zero, or -ENOMEM. */
int byte_queue_init(struct byte_queue* q, u32 capacity);
void byte_queue_free(struct byte_queue* q);

static inline u32 byte_queue_size(const struct byte_queue* q) {
  return q->tail - q->head;
}

static inline u8* byte_queue_front(const struct byte_queue* q) {
  return q->data + q->head;
}

/* Where bytes may be put, and how many; byte_queue_commit() then says how many were. */
u8* byte_queue_space(struct byte_queue* q, u32* room);
void byte_queue_commit(struct byte_queue* q, u32 count);

/* All of the bytes, or none and -EAGAIN where there is no room for them. */
int byte_queue_append(struct byte_queue* q, const void* bytes, u32 count);

/* Takes the first `count` bytes away; no more than there are. Returns how many. */
u32 byte_queue_consume(struct byte_queue* q, u32 count);

/*
 * Sees to it that `total` bytes, those held among them, fit in one piece: moves them, or takes a
 * larger piece of memory. Zero, or -ENOMEM with the queue as it was.
 */
int byte_queue_fit(struct byte_queue* q, u32 total);

#endif
