/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The few things that the pure parts (byte_queue, thrift_wire, forwarder_protocol) take from their
 * surroundings, in the kernel and in user space: there unit tests and a fuzzer run the same files.
 */
#ifndef SLICK_PORTABLE_H
#define SLICK_PORTABLE_H

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/types.h>

static inline void* slick_alloc(u32 bytes) {
  return kvmalloc(bytes, GFP_KERNEL);
}

static inline void slick_free(void* p) {
  kvfree(p);
}
#else
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int16_t s16;
typedef int32_t s32;

static inline void* slick_alloc(u32 bytes) {
  return malloc(bytes);
}

static inline void slick_free(void* p) {
  free(p);
}
#endif

static inline u32 slick_be32(const u8* p) {
  return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

static inline void slick_put_be32(u8* p, u32 v) {
  p[0] = (u8)(v >> 24);
  p[1] = (u8)(v >> 16);
  p[2] = (u8)(v >> 8);
  p[3] = (u8)v;
}

#endif
