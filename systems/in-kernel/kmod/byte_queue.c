// SPDX-License-Identifier: GPL-2.0
/* A queue of bytes in one piece. */
#include "byte_queue.h"

int byte_queue_init(struct byte_queue* q, u32 capacity) {
  q->head = 0;
  q->tail = 0;
  q->capacity = 0;
  q->data = slick_alloc(capacity);
  if (!q->data) return -ENOMEM;
  q->capacity = capacity;
  return 0;
}

void byte_queue_free(struct byte_queue* q) {
  slick_free(q->data);
  q->data = NULL;
  q->capacity = 0;
  q->head = 0;
  q->tail = 0;
}

static void move_to_front(struct byte_queue* q) {
  u32 size = byte_queue_size(q);

  if (q->head == 0) return;
  memmove(q->data, q->data + q->head, size);
  q->head = 0;
  q->tail = size;
}

u8* byte_queue_space(struct byte_queue* q, u32* room) {
  if (q->head >= q->capacity - q->head) move_to_front(q);
  *room = q->capacity - q->tail;
  return q->data + q->tail;
}

void byte_queue_commit(struct byte_queue* q, u32 count) {
  q->tail += count;
}

int byte_queue_append(struct byte_queue* q, const void* bytes, u32 count) {
  u32 room;
  u8* space = byte_queue_space(q, &room);

  if (count > room) return -EAGAIN;
  memcpy(space, bytes, count);
  byte_queue_commit(q, count);
  return 0;
}

u32 byte_queue_consume(struct byte_queue* q, u32 count) {
  u32 size = byte_queue_size(q);

  if (count > size) count = size;
  q->head += count;
  if (q->head == q->tail) {
    q->head = 0;
    q->tail = 0;
  }
  return count;
}

int byte_queue_fit(struct byte_queue* q, u32 total) {
  u32 size = byte_queue_size(q);
  u8* larger;

  if (total <= q->capacity - q->head) return 0;
  if (total <= q->capacity) {
    move_to_front(q);
    return 0;
  }
  larger = slick_alloc(total);
  if (!larger) return -ENOMEM;
  memcpy(larger, byte_queue_front(q), size);
  slick_free(q->data);
  q->data = larger;
  q->capacity = total;
  q->head = 0;
  q->tail = size;
  return 0;
}
