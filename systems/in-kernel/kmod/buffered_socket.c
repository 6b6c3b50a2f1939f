// SPDX-License-Identifier: GPL-2.0
/* Connections with buffers, on klibevent. */
#include "buffered_socket.h"

#include <linux/tcp.h>
#include <net/sock.h>

#include "klibevent.h"
#include "stats.h"

enum {
  FIRST_RECEIVE_CAPACITY = 16384, /* bytes; grows when a message is longer */
  DIRECT = 4096,                  /* bytes; from here on a copy costs more than a call */
};

/* Bytes that were received; 0 when none are there now, or there is no room, or none will come. */
static int receive(BufferedSocket* bs) {
  struct msghdr message = {.msg_flags = MSG_DONTWAIT};
  struct kvec part;
  u32 room;
  int got;

  part.iov_base = byte_queue_space(&bs->received, &room);
  part.iov_len = room;
  if (room == 0 || bs->at_end || bs->error) return 0;
  got = kernel_recvmsg(bs->sock, &message, &part, 1, part.iov_len, MSG_DONTWAIT);
  if (got > 0) {
    byte_queue_commit(&bs->received, (u32)got);
    slick_count_add(SLICK_BYTES_IN, got);
    return got;
  }
  if (got == 0) bs->at_end = true;
  if (got < 0 && got != -EAGAIN && got != -EINTR) bs->error = got;
  return 0;
}

/* Bytes that TCP took, 0 when it has no room, or the error. */
static int send(BufferedSocket* bs, const void* bytes, u32 count) {
  struct msghdr message = {.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL};
  struct kvec part = {.iov_base = (void*)bytes, .iov_len = count};
  int sent;

  if (bs->error) return bs->error;
  sent = kernel_sendmsg(bs->sock, &message, &part, 1, count);
  if (sent == -EAGAIN) return 0;
  if (sent < 0)
    bs->error = sent;
  else
    slick_count_add(SLICK_BYTES_OUT, sent);
  return sent;
}

static void on_event(struct socket* sock, void* arg, int events) {
  BufferedSocket* bs = arg;

  if (events & KLIBEVENT_READ) receive(bs);
  if (events & KLIBEVENT_WRITE) BufferedSocket_flush(bs);
  bs->notify(bs, bs->arg, events);
}

BufferedSocket* BufferedSocket_new(struct socket* sock, u32 receive_limit, u32 send_capacity,
                                   buffered_notify_func_t notify, void* arg) {
  BufferedSocket* bs = kzalloc(sizeof(*bs), GFP_KERNEL);

  if (!bs) return NULL;
  bs->sock = sock;
  bs->receive_limit = receive_limit;
  bs->notify = notify;
  bs->arg = arg;
  if (byte_queue_init(&bs->received, min_t(u32, receive_limit, FIRST_RECEIVE_CAPACITY)) ||
      byte_queue_init(&bs->unsent, send_capacity) || register_sock(sock, on_event, bs)) {
    byte_queue_free(&bs->received);
    byte_queue_free(&bs->unsent);
    kfree(bs);
    return NULL;
  }
  return bs;
}

void BufferedSocket_free(BufferedSocket* bs) {
  unregister_sock(bs->sock);
  sock_release(bs->sock);
  byte_queue_free(&bs->received);
  byte_queue_free(&bs->unsent);
  kfree(bs);
}

int BufferedSocket_peek(BufferedSocket* bs, char** buffer) {
  if (byte_queue_size(&bs->received) == 0) receive(bs);
  *buffer = (char*)byte_queue_front(&bs->received);
  return (int)byte_queue_size(&bs->received);
}

int BufferedSocket_discard(BufferedSocket* bs, int len) {
  return (int)byte_queue_consume(&bs->received, (u32)len);
}

static int no_bytes(const BufferedSocket* bs) {
  if (bs->error) return bs->error;
  return bs->at_end ? -EPIPE : 0;
}

int BufferedSocket_read(BufferedSocket* bs, char* buff, int max_len) {
  char* bytes;
  int len = min(BufferedSocket_peek(bs, &bytes), max_len);

  if (len == 0) return no_bytes(bs);
  memcpy(buff, bytes, len);
  return BufferedSocket_discard(bs, len);
}

int BufferedSocket_write(BufferedSocket* bs, char* buff, int max_len) {
  u32 room;

  if (bs->error) return bs->error;
  byte_queue_space(&bs->unsent, &room);
  if (room == 0) {
    int waiting = BufferedSocket_flush(bs);

    if (waiting < 0) return waiting;
    byte_queue_space(&bs->unsent, &room);
  }
  if (room == 0 || max_len == 0) return 0;
  return BufferedSocket_write_all(bs, buff, min_t(u32, room, max_len));
}

int BufferedSocket_write_all(BufferedSocket* bs, char* buff, int len) {
  int sent = 0;
  int waiting;

  if ((u32)len > bs->unsent.capacity) return -EMSGSIZE;
  if (bs->error) return bs->error;
  if (byte_queue_size(&bs->unsent) == 0 && (!bs->corked || len >= DIRECT)) {
    sent = send(bs, buff, len);
    if (sent < 0 || sent == len) return sent;
  }
  /* Where a part went out the queue is empty, so that the rest does fit. */
  if (byte_queue_append(&bs->unsent, buff + sent, len - sent) == 0) {
    if (!bs->corked && sent == 0) BufferedSocket_flush(bs);
    return bs->error ? bs->error : len;
  }
  waiting = BufferedSocket_flush(bs);
  if (waiting < 0) return waiting;
  return byte_queue_append(&bs->unsent, buff, len) == 0 ? len : -EAGAIN;
}

int BufferedSocket_want(BufferedSocket* bs, int len) {
  if ((u32)len > bs->receive_limit) return -EMSGSIZE;
  while (byte_queue_size(&bs->received) < (u32)len) {
    if (byte_queue_fit(&bs->received, (u32)len)) return -ENOMEM;
    if (receive(bs) == 0) return no_bytes(bs);
  }
  return 1;
}

int BufferedSocket_flush(BufferedSocket* bs) {
  while (byte_queue_size(&bs->unsent) != 0) {
    int sent = send(bs, byte_queue_front(&bs->unsent), byte_queue_size(&bs->unsent));

    if (sent < 0) return sent;
    if (sent == 0) break;
    byte_queue_consume(&bs->unsent, (u32)sent);
  }
  return bs->error ? bs->error : BufferedSocket_unsent(bs);
}
