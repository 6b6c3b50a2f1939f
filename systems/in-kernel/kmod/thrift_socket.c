// SPDX-License-Identifier: GPL-2.0
/* Thrift messages on buffered sockets. */
#include "thrift_socket.h"

void ThriftSocket_init(ThriftSocket* ts, BufferedSocket* bs, u32 message_limit) {
  ts->bs = bs;
  ts->message_limit = message_limit;
  ts->shown = 0;
}

int ThriftSocket_next(ThriftSocket* ts, ThriftMessage* tm) {
  char* bytes;

  ts->shown = 0;
  for (;;) {
    int have = BufferedSocket_peek(ts->bs, &bytes);
    int more;

    switch (thrift_next((const u8*)bytes, (u32)have, ts->message_limit, tm)) {
      case THRIFT_WHOLE:
        ts->shown = tm->length;
        return 1;
      case THRIFT_MALFORMED:
        return -EPROTO;
      case THRIFT_PARTIAL:
        break;
    }
    more = BufferedSocket_want(ts->bs, (int)tm->length);
    if (more != 1) return more;
  }
}

int ThriftSocket_discard(ThriftSocket* ts) {
  if (ts->shown == 0) return -ENOENT;
  BufferedSocket_discard(ts->bs, (int)ts->shown);
  ts->shown = 0;
  return 0;
}

int ThriftSocket_write(ThriftSocket* ts, ThriftMessage* tm) {
  return BufferedSocket_write_all(ts->bs, (char*)tm->data, (int)tm->length);
}

int ThriftSocket_forward(ThriftSocket* from, ThriftSocket* to) {
  char* bytes;

  if (from->shown == 0) return -ENOENT;
  BufferedSocket_peek(from->bs, &bytes);
  return BufferedSocket_write_all(to->bs, bytes, (int)from->shown);
}
