/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ThriftSocket (Slick 2.3): whole messages of Thrift's binary protocol on a BufferedSocket. A
 * message may be left where it is as long as one likes. For the loop of klibevent.
 */
#ifndef SLICK_THRIFT_SOCKET_H
#define SLICK_THRIFT_SOCKET_H

#include "buffered_socket.h"
#include "thrift_wire.h"

typedef struct ThriftSocket {
  BufferedSocket* bs;
  u32 message_limit; /* bytes */
  u32 shown;         /* length of the message that ThriftSocket_next() showed; 0 for none */
} ThriftSocket;

/* On a BufferedSocket that stays the caller's, and may receive `message_limit` bytes. */
void ThriftSocket_init(ThriftSocket* ts, BufferedSocket* bs, u32 message_limit);

/* Listing 2.12. */

/*
 * The message at hand, until it is discarded; pointers in it hold until the next call. 1; 0 when it
 * is not whole yet; -EPROTO when it is malformed; -EPIPE when the stream has ended; or another
 * error.
 */
int ThriftSocket_next(ThriftSocket* ts, ThriftMessage* tm);
/* Takes the message at hand away. Zero, or -ENOENT for none. */
int ThriftSocket_discard(ThriftSocket* ts);
/* All of the message, or none and -EAGAIN, as BufferedSocket_write_all(). */
int ThriftSocket_write(ThriftSocket* ts, ThriftMessage* tm);
/* Writes the message at hand of `from`, as it came, to `to`; does not discard it. */
int ThriftSocket_forward(ThriftSocket* from, ThriftSocket* to);

#endif
