/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the forwarder is asked for (Slick 3.3):
 *
 *   service Forwarder {
 *     i32 connect(1: i32 key, 2: string host, 3: i32 port)
 *     i32 close()
 *     oneway void msg(1: i32 key, 2: string payload)
 *   }
 *
 * Arguments in any order, each of them once; unknown fields are stepped over.
 */
#ifndef SLICK_FORWARDER_PROTOCOL_H
#define SLICK_FORWARDER_PROTOCOL_H

#include "thrift_wire.h"

enum forwarder_kind { FORWARDER_UNKNOWN, FORWARDER_MSG, FORWARDER_CONNECT, FORWARDER_CLOSE };

struct forwarder_request {
  enum forwarder_kind kind;
  bool wants_reply;
  s32 key;        /* msg, connect */
  const u8* text; /* msg: payload; connect: host as it was sent */
  u32 text_length;
  s32 port; /* connect; may be no port number */
};

/* False where the message is not what the service allows: its connection is to be closed. */
bool forwarder_parse(const ThriftMessage* m, struct forwarder_request* r);

/* A dotted IPv4 address, in host byte order. False for anything else. */
bool forwarder_parse_ipv4(const char* text, u32 length, u32* address);

#endif
