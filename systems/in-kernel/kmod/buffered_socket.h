/* SPDX-License-Identifier: GPL-2.0 */
/*
 * BufferedSocket (Slick 2.2): a connection with a buffer for each direction. What arrives is stored
 * in the background and looked at where it lies; what is written goes out whole, now or when there
 * is room. Everything here is for the loop of klibevent, so nothing is locked.
 */
#ifndef SLICK_BUFFERED_SOCKET_H
#define SLICK_BUFFERED_SOCKET_H

#include <linux/net.h>

#include "byte_queue.h"

typedef struct BufferedSocket BufferedSocket;

/* Something happened, KLIBEVENT_ bits as in klibevent.h: bytes arrived, or waiting ones went out.
 * May free the socket that it is called for. */
typedef void (*buffered_notify_func_t)(BufferedSocket*, void*, int);

struct BufferedSocket {
  struct socket* sock;
  struct byte_queue received;
  struct byte_queue unsent;
  u32 receive_limit; /* bytes that `received` may grow to */
  int error;         /* of receiving or sending; the connection is of no more use */
  bool at_end;       /* the peer has sent all it will */
  bool corked;       /* writes wait for BufferedSocket_flush() */
  buffered_notify_func_t notify;
  void* arg;
};

/*
 * Takes the socket over; on failure it stays the caller's. `receive_limit` bounds what may be asked
 * for with BufferedSocket_want(), `send_capacity` what may be written in one go, both in bytes.
 */
BufferedSocket* BufferedSocket_new(struct socket* sock, u32 receive_limit, u32 send_capacity,
                                   buffered_notify_func_t notify, void* arg);
/* Drops what was not sent; what TCP has taken goes out all the same. Releases the socket. */
void BufferedSocket_free(BufferedSocket* bs);

/* Listing 2.11. */

/* Where the bytes received so far lie, until the next call that receives or discards; their number.
 */
int BufferedSocket_peek(BufferedSocket* bs, char** buffer);
/* Takes `len` bytes away, or as many as there are; returns how many. */
int BufferedSocket_discard(BufferedSocket* bs, int len);
/* Copies and discards up to `max_len` bytes, returns how many; 0 for none yet, -EPIPE where none
 * will come, or the connection's error. */
int BufferedSocket_read(BufferedSocket* bs, char* buff, int max_len);
/* Takes up to `max_len` bytes, as many as there is room for; returns how many, or the error. */
int BufferedSocket_write(BufferedSocket* bs, char* buff, int max_len);
/* Takes all of the bytes, or none and -EAGAIN: KLIBEVENT_WRITE tells when to try again. Returns
 * len, -EMSGSIZE for more than ever fit, or the connection's error. */
int BufferedSocket_write_all(BufferedSocket* bs, char* buff, int len);

/* Beyond the listing. */

/*
 * Receives, until at least `len` bytes are there. 1 when they are; 0 when some are still to come
 * (there will be a KLIBEVENT_READ); -EPIPE when they will not; -EMSGSIZE beyond the limit; -ENOMEM.
 */
int BufferedSocket_want(BufferedSocket* bs, int len);
/* Sends what waits. Bytes that still wait, or the connection's error. */
int BufferedSocket_flush(BufferedSocket* bs);

static inline int BufferedSocket_unsent(const BufferedSocket* bs) {
  return (int)byte_queue_size(&bs->unsent);
}

#endif
