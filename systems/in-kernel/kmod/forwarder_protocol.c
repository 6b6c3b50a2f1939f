// SPDX-License-Identifier: GPL-2.0
/* Reading requests to the forwarder out of whole Thrift messages. */
#include "forwarder_protocol.h"

struct method {
  const char* name;
  u32 length;
  enum forwarder_kind kind;
  s16 arguments; /* ids 1 to this; 2 is a string, the others are i32 */
};

static const struct method methods[] = {
    {"msg", 3, FORWARDER_MSG, 2},
    {"connect", 7, FORWARDER_CONNECT, 3},
    {"close", 5, FORWARDER_CLOSE, 0},
};

static const struct method* find_method(const ThriftMessage* m) {
  u32 i;

  for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
    if (m->name_length == methods[i].length &&
        memcmp(m->name, methods[i].name, m->name_length) == 0)
      return &methods[i];
  }
  return NULL;
}

static bool read_argument(struct thrift_cursor* c, u8 type, s16 id, struct forwarder_request* r) {
  if (id == 2) return type == THRIFT_STRING && thrift_read_string(c, &r->text, &r->text_length);
  return type == THRIFT_I32 && thrift_read_i32(c, id == 1 ? &r->key : &r->port);
}

static bool read_arguments(const ThriftMessage* m, s16 count, struct forwarder_request* r) {
  struct thrift_cursor c;
  u32 seen = 0;
  u8 type;
  s16 id;

  thrift_arguments(&c, m);
  for (;;) {
    if (!thrift_read_field(&c, &type, &id)) return false;
    if (type == THRIFT_STOP) return seen == (1U << count) - 1;
    if (id < 1 || id > count) {
      if (!thrift_skip(&c, type)) return false;
      continue;
    }
    if ((seen & 1U << (id - 1)) != 0 || !read_argument(&c, type, id, r)) return false;
    seen |= 1U << (id - 1);
  }
}

/* msg may come as a call too, as clients of the paper's time sent it; it has no reply either way.
 */
static bool type_fits(enum forwarder_kind kind, enum thrift_message_type type) {
  if (type == THRIFT_CALL) return true;
  return type == THRIFT_ONEWAY && (kind == FORWARDER_MSG || kind == FORWARDER_UNKNOWN);
}

bool forwarder_parse(const ThriftMessage* m, struct forwarder_request* r) {
  const struct method* method = find_method(m);

  memset(r, 0, sizeof(*r));
  r->kind = method ? method->kind : FORWARDER_UNKNOWN;
  if (!type_fits(r->kind, m->type)) return false;
  r->wants_reply = m->type == THRIFT_CALL && r->kind != FORWARDER_MSG;
  return !method || read_arguments(m, method->arguments, r);
}

bool forwarder_parse_ipv4(const char* text, u32 length, u32* address) {
  u32 result = 0;
  u32 at = 0;
  int part;

  for (part = 0; part < 4; part++) {
    u32 digits = 0;
    u32 value = 0;

    if (part != 0 && (at == length || text[at++] != '.')) return false;
    while (at < length && text[at] >= '0' && text[at] <= '9' && digits < 3) {
      value = value * 10 + (u32)(text[at++] - '0');
      digits++;
    }
    if (digits == 0 || value > 255) return false;
    result = result << 8 | value;
  }
  *address = result;
  return at == length;
}
