// SPDX-License-Identifier: GPL-2.0
/* Walking over Thrift messages, and writing the few that a server answers. */
#include "thrift_wire.h"

#define VERSION 0x80010000U

static bool fail(struct thrift_cursor* c) {
  c->status = THRIFT_MALFORMED;
  return false;
}

/* Whether `count` more bytes are there. 64 bits: a count times a size does not fit in less. */
static bool need(struct thrift_cursor* c, u64 count) {
  if (count > c->limit - c->at) return fail(c);
  if (count <= c->have - c->at) return true;
  c->status = THRIFT_PARTIAL;
  c->at += (u32)count;
  return false;
}

static bool skip_bytes(struct thrift_cursor* c, u64 count) {
  if (!need(c, count)) return false;
  c->at += (u32)count;
  return true;
}

static bool read_byte(struct thrift_cursor* c, u8* value) {
  if (!need(c, 1)) return false;
  *value = c->bytes[c->at++];
  return true;
}

bool thrift_read_i32(struct thrift_cursor* c, s32* value) {
  if (!need(c, 4)) return false;
  *value = (s32)slick_be32(c->bytes + c->at);
  c->at += 4;
  return true;
}

/* A length or a number of elements, which must not be negative. */
static bool read_count(struct thrift_cursor* c, u32* count) {
  s32 value;

  if (!thrift_read_i32(c, &value)) return false;
  if (value < 0) return fail(c);
  *count = (u32)value;
  return true;
}

bool thrift_read_string(struct thrift_cursor* c, const u8** text, u32* length) {
  if (!read_count(c, length) || !need(c, *length)) return false;
  *text = c->bytes + c->at;
  c->at += *length;
  return true;
}

static bool take_value(struct thrift_cursor* c) {
  if (c->values_left == 0) return fail(c);
  c->values_left--;
  return true;
}

bool thrift_read_field(struct thrift_cursor* c, u8* type, s16* id) {
  if (!read_byte(c, type)) return false;
  if (*type == THRIFT_STOP) return true;
  if (!take_value(c) || !need(c, 2)) return false;
  *id = (s16)((u16)c->bytes[c->at] << 8 | c->bytes[c->at + 1]);
  c->at += 2;
  return true;
}

/* Bytes of a value of this type; 0 where that depends on the value. */
static u32 fixed_size(u8 type) {
  switch (type) {
    case THRIFT_BOOL:
    case THRIFT_BYTE:
      return 1;
    case THRIFT_I16:
      return 2;
    case THRIFT_I32:
      return 4;
    case THRIFT_I64:
    case THRIFT_DOUBLE:
      return 8;
    default:
      return 0;
  }
}

/*
 * What one is in the middle of: a struct, or `left` elements whose types alternate between
 * types[0] and types[1] (a map's key and value; the same twice for a list).
 */
struct level {
  u32 left;
  bool is_struct;
  bool second; /* a map's value is next */
  u8 types[2];
};

static bool enter_container(struct thrift_cursor* c, u8 type, struct level* level) {
  u32 count;
  u64 size0;
  u64 size1;

  level->is_struct = type == THRIFT_STRUCT;
  level->second = false;
  level->left = 0;
  if (level->is_struct) return true;
  if (!read_byte(c, &level->types[0])) return false;
  level->types[1] = level->types[0];
  if (type == THRIFT_MAP && !read_byte(c, &level->types[1])) return false;
  if (!read_count(c, &count)) return false;
  size0 = fixed_size(level->types[0]);
  size1 = fixed_size(level->types[1]);
  if (type != THRIFT_MAP) {
    if (size0 != 0) return skip_bytes(c, count * size0);
  } else if (size0 != 0 && size1 != 0) {
    return skip_bytes(c, count * (size0 + size1));
  }
  level->left = count;
  return true;
}

/* The type of the value that comes next at this level; THRIFT_STOP at its end. */
static bool next_value(struct thrift_cursor* c, struct level* level, bool is_map, u8* type) {
  s16 id;

  if (level->is_struct) return thrift_read_field(c, type, &id);
  *type = THRIFT_STOP;
  if (level->second) {
    level->second = false;
    *type = level->types[1];
  } else if (level->left != 0) {
    if (!take_value(c)) return false;
    level->left--;
    level->second = is_map;
    *type = level->types[0];
  } else {
    return true;
  }
  return *type != THRIFT_STOP || fail(c); /* an element cannot be of that type */
}

bool thrift_skip(struct thrift_cursor* c, u8 type) {
  struct level levels[THRIFT_MAX_DEPTH];
  bool is_map[THRIFT_MAX_DEPTH];
  u32 depth = 0;
  u32 length;

  for (;;) {
    u32 size = fixed_size(type);

    if (size != 0) {
      if (!skip_bytes(c, size)) return false;
    } else if (type == THRIFT_STRING) {
      if (!read_count(c, &length) || !skip_bytes(c, length)) return false;
    } else if (type < THRIFT_STRUCT || type > THRIFT_LIST || depth == THRIFT_MAX_DEPTH) {
      return fail(c);
    } else {
      is_map[depth] = type == THRIFT_MAP;
      if (!enter_container(c, type, &levels[depth])) return false;
      depth++;
    }
    for (;;) {
      if (depth == 0) return true;
      if (!next_value(c, &levels[depth - 1], is_map[depth - 1], &type)) return false;
      if (type != THRIFT_STOP) break;
      depth--;
    }
  }
}

/* The byte between version and type is not used, and any will do, as in Apache's own libraries. */
static bool read_header(struct thrift_cursor* c, ThriftMessage* m) {
  s32 word;
  u32 type;

  if (!thrift_read_i32(c, &word)) return false;
  type = (u32)word & 0xff;
  if (((u32)word & 0xffff0000U) != VERSION || type < THRIFT_CALL || type > THRIFT_ONEWAY)
    return fail(c);
  m->type = (enum thrift_message_type)type;
  if (!read_count(c, &m->name_length)) return false;
  if (m->name_length > THRIFT_MAX_NAME) return fail(c);
  if (!need(c, m->name_length)) return false;
  m->name = c->bytes + c->at;
  c->at += m->name_length;
  return thrift_read_i32(c, &m->sequence);
}

static bool skip_arguments(struct thrift_cursor* c) {
  u8 type;
  s16 id;

  for (;;) {
    if (!thrift_read_field(c, &type, &id)) return false;
    if (type == THRIFT_STOP) return true;
    if (!thrift_skip(c, type)) return false;
  }
}

enum thrift_status thrift_next(const u8* bytes, u32 have, u32 limit, ThriftMessage* m) {
  struct thrift_cursor c = {
      .bytes = bytes,
      .have = have,
      .limit = limit,
      .values_left = THRIFT_MAX_VALUES,
      .status = THRIFT_WHOLE,
  };

  m->data = bytes;
  if (read_header(&c, m)) {
    m->arguments = c.at;
    skip_arguments(&c);
  }
  m->length = c.at;
  return c.status;
}

void thrift_arguments(struct thrift_cursor* c, const ThriftMessage* m) {
  c->bytes = m->data;
  c->have = m->length;
  c->limit = m->length;
  c->at = m->arguments;
  c->values_left = THRIFT_MAX_VALUES;
  c->status = THRIFT_WHOLE;
}

static u8* put_bytes(u8* out, const void* bytes, u32 count) {
  memcpy(out, bytes, count);
  return out + count;
}

static u8* put_i32(u8* out, s32 value) {
  slick_put_be32(out, (u32)value);
  return out + 4;
}

static u8* put_header(u8* out, u32 type, const u8* name, u32 name_length, s32 sequence) {
  out = put_i32(out, (s32)(VERSION | type));
  out = put_i32(out, (s32)name_length);
  out = put_bytes(out, name, name_length);
  return put_i32(out, sequence);
}

static u8* put_field(u8* out, u8 type, u8 id) {
  *out++ = type;
  *out++ = 0;
  *out++ = id;
  return out;
}

u32 thrift_write_reply(u8* out, const u8* name, u32 name_length, s32 sequence, s32 value) {
  u8* end = put_header(out, THRIFT_REPLY, name, name_length, sequence);

  end = put_i32(put_field(end, THRIFT_I32, 0), value);
  *end++ = THRIFT_STOP;
  return (u32)(end - out);
}

u32 thrift_write_unknown_method(u8* out, const u8* name, u32 name_length, s32 sequence) {
  static const char before[] = "Invalid method name: '";
  const s32 kUnknownMethod = 1;
  u32 said = sizeof(before) - 1;
  u8* end = put_header(out, THRIFT_EXCEPTION, name, name_length, sequence);

  end = put_i32(put_field(end, THRIFT_STRING, 1), (s32)(said + name_length + 1));
  end = put_bytes(put_bytes(end, before, said), name, name_length);
  *end++ = '\'';
  end = put_i32(put_field(end, THRIFT_I32, 2), kUnknownMethod);
  *end++ = THRIFT_STOP;
  return (u32)(end - out);
}
