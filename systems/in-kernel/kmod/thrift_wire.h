/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Thrift's binary protocol, strict and unframed, as ThriftSocket needs it: where a message ends,
 * what stands in its header, and stepping over fields. The protocol has no length in front, so a
 * message is walked over; without recursion, because a kernel stack is small, and within limits,
 * because the bytes come from anybody. The same limits, and the same answers, as the user-space
 * library systems/lib/thrift: a fuzzer holds one against the other.
 *
 * All integers on the wire are big-endian. Nothing is allocated; pointers lead into the bytes.
 */
#ifndef SLICK_THRIFT_WIRE_H
#define SLICK_THRIFT_WIRE_H

#include "portable.h"

enum thrift_message_type {
  THRIFT_CALL = 1,
  THRIFT_REPLY = 2,
  THRIFT_EXCEPTION = 3,
  THRIFT_ONEWAY = 4,
};

enum thrift_field_type {
  THRIFT_STOP = 0,
  THRIFT_BOOL = 2,
  THRIFT_BYTE = 3,
  THRIFT_DOUBLE = 4,
  THRIFT_I16 = 6,
  THRIFT_I32 = 8,
  THRIFT_I64 = 10,
  THRIFT_STRING = 11,
  THRIFT_STRUCT = 12,
  THRIFT_MAP = 13,
  THRIFT_SET = 14,
  THRIFT_LIST = 15,
};

enum {
  THRIFT_MAX_NAME = 256,    /* bytes of a method's name */
  THRIFT_MAX_DEPTH = 16,    /* containers within one another */
  THRIFT_MAX_VALUES = 1024, /* fields, and elements that are not of a fixed size: bounds the walk */
};

enum thrift_status {
  THRIFT_WHOLE,
  THRIFT_PARTIAL,   /* more bytes may make it whole */
  THRIFT_MALFORMED, /* none can */
};

typedef struct ThriftMessage {
  const u8* data;
  u32 length; /* of the whole message; where partial, bytes that it has at least */
  enum thrift_message_type type;
  s32 sequence;
  const u8* name;
  u32 name_length;
  u32 arguments; /* where the struct of arguments begins in `data` */
} ThriftMessage;

/* The message that `have` bytes begin with; longer than `limit` bytes is malformed. */
enum thrift_status thrift_next(const u8* bytes, u32 have, u32 limit, ThriftMessage* m);

/* A position in bytes, and how many values may still follow. */
struct thrift_cursor {
  const u8* bytes;
  u32 have;
  u32 limit;
  u32 at;
  u32 values_left;
  enum thrift_status status;
};

/* Over the arguments of a message that thrift_next() found whole. */
void thrift_arguments(struct thrift_cursor* c, const ThriftMessage* m);

/* Each of these returns whether it could; if not, c->status says why. */
bool thrift_read_field(struct thrift_cursor* c, u8* type, s16* id);
bool thrift_read_i32(struct thrift_cursor* c, s32* value);
bool thrift_read_string(struct thrift_cursor* c, const u8** text, u32* length);
bool thrift_skip(struct thrift_cursor* c, u8 type);

/* The largest message that thrift_write_*() make, bytes. */
#define THRIFT_MAX_REPLY (2 * THRIFT_MAX_NAME + 128)

/* A reply whose result is an i32. Writes into `out`; returns its length. */
u32 thrift_write_reply(u8* out, const u8* name, u32 name_length, s32 sequence, s32 value);
/* TApplicationException, unknown method. */
u32 thrift_write_unknown_method(u8* out, const u8* name, u32 name_length, s32 sequence);

#endif
