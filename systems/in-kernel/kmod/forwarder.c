// SPDX-License-Identifier: GPL-2.0
/*
 * The Thrift forwarder (Slick 3.3): senders, and what each of their messages sets off. A sender
 * that has to wait, for a backend with room or for the answer to its call, is not read from
 * meanwhile: TCP tells it to slow down.
 */
#include "forwarder_protocol.h"

#include <linux/slab.h>
#include <net/sock.h>

#include "acceptor.h"
#include "backends.h"
#include "klibevent.h"
#include "slick.h"
#include "stats.h"

enum {
  TURN = 256,           /* messages of one sender before others have their turn */
  REPLY_CAPACITY = 4096 /* bytes */
};

enum sender_state { READING, STALLED, CONNECTING, CLOSING };

struct sender {
  ThriftSocket ts;
  enum sender_state state;
  s32 sequence; /* of the call that is under way: CONNECTING, CLOSING */
  struct backend_caller caller;
  struct backend_waiter waiter; /* STALLED */
  struct list_head node;
};

static LIST_HEAD(senders);
static u32 sender_count;

static void free_sender(struct sender* sender) {
  list_del(&sender->waiter.node);
  backends_forget(&sender->caller);
  list_del(&sender->node);
  sender_count--;
  slick_count_add(SLICK_CONNECTIONS_OPEN, -1);
  BufferedSocket_free(sender->ts.bs);
  kfree(sender);
}

/* Goes on with its messages, when the loop gets to it. */
static void wake_sender(struct sender* sender) {
  sender->state = READING;
  klibevent_raise(sender->ts.bs->sock, KLIBEVENT_READ);
}

static void on_room(struct backend_waiter* waiter) {
  wake_sender(container_of(waiter, struct sender, waiter));
}

/* dispatch() saw to it that there is room; an error of the connection is met when reading goes on.
 */
static void write_reply(struct sender* sender, u8* bytes, u32 length) {
  ThriftMessage reply = {.data = bytes, .length = length};

  ThriftSocket_write(&sender->ts, &reply);
}

static void on_call_done(struct backend_caller* caller) {
  struct sender* sender = container_of(caller, struct sender, caller);
  const char* method = sender->state == CONNECTING ? "connect" : "close";
  u8 bytes[THRIFT_MAX_REPLY];

  write_reply(sender, bytes,
              thrift_write_reply(bytes, (const u8*)method, (u32)strlen(method), sender->sequence,
                                 caller->result));
  wake_sender(sender);
}

static int forward(struct sender* sender, const struct forwarder_request* request) {
  switch (backends_forward(request->key, &sender->ts, &sender->waiter)) {
    case 0:
      slick_count(SLICK_MESSAGES);
      return 0;
    case -EAGAIN:
      slick_count(SLICK_STALLS);
      sender->state = STALLED;
      return -EAGAIN;
    default:
      slick_count(SLICK_MESSAGES_DROPPED);
      return 0;
  }
}

static void connect_backend(struct sender* sender, const struct forwarder_request* request) {
  u32 address;

  sender->state = CONNECTING;
  if (forwarder_parse_ipv4((const char*)request->text, request->text_length, &address) &&
      request->port > 0 && request->port <= 65535) {
    backends_connect(request->key, address, (u16)request->port, &sender->caller);
    return;
  }
  sender->caller.result = EINVAL;
  on_call_done(&sender->caller);
}

static void refuse_method(struct sender* sender, const ThriftMessage* tm) {
  u8 bytes[THRIFT_MAX_REPLY];

  write_reply(sender, bytes,
              thrift_write_unknown_method(bytes, tm->name, tm->name_length, tm->sequence));
}

/* Zero, and the message is done with; -EAGAIN, and it is to be looked at again; or an error. */
static int dispatch(struct sender* sender, const ThriftMessage* tm) {
  struct forwarder_request request;

  if (!forwarder_parse(tm, &request)) return -EPROTO;
  if (request.kind == FORWARDER_MSG) return forward(sender, &request);
  /* A sender that does not read its replies: no further ones, until KLIBEVENT_WRITE. */
  if (BufferedSocket_flush(sender->ts.bs) > 0) return -EAGAIN;
  slick_count(SLICK_CALLS);
  sender->sequence = tm->sequence;
  switch (request.kind) {
    case FORWARDER_CONNECT:
      connect_backend(sender, &request);
      break;
    case FORWARDER_CLOSE:
      sender->state = CLOSING;
      backends_close(&sender->caller);
      break;
    default:
      if (request.wants_reply) refuse_method(sender, tm);
      break;
  }
  return 0;
}

/* Zero when it has to wait, else why its connection is over. */
static int read_messages(struct sender* sender) {
  int turn;

  for (turn = 0; sender->state == READING; turn++) {
    ThriftMessage message;
    int result = ThriftSocket_next(&sender->ts, &message);

    if (result <= 0) return result;
    if (turn == TURN) {
      klibevent_raise(sender->ts.bs->sock, KLIBEVENT_READ);
      return 0;
    }
    result = dispatch(sender, &message);
    if (result == -EAGAIN) return 0;
    if (result < 0) return result;
    ThriftSocket_discard(&sender->ts);
  }
  return 0;
}

static void on_sender(BufferedSocket* bs, void* arg, int events) {
  struct sender* sender = arg;
  int over = read_messages(sender);
  char* rest;

  /* A sender that has half-closed still gets its replies. */
  if (over == -EPIPE && BufferedSocket_flush(bs) > 0) over = 0;
  if (over) {
    if (over == -EPROTO)
      slick_count(SLICK_MALFORMED);
    else if (BufferedSocket_peek(bs, &rest) > 0)
      slick_count(SLICK_TRUNCATED);
    free_sender(sender);
  }
  backends_flush();
}

static struct sender* new_sender(struct socket* sock) {
  struct sender* sender;
  BufferedSocket* bs;

  if (sender_count >= slick_config.max_connections) return NULL;
  sender = kzalloc(sizeof(*sender), GFP_KERNEL);
  if (!sender) return NULL;
  bs = BufferedSocket_new(sock, slick_config.max_message, REPLY_CAPACITY, on_sender, sender);
  if (!bs) {
    kfree(sender);
    return NULL;
  }
  ThriftSocket_init(&sender->ts, bs, slick_config.max_message);
  INIT_LIST_HEAD(&sender->waiter.node);
  sender->waiter.resume = on_room;
  sender->caller.done = on_call_done;
  list_add(&sender->node, &senders);
  sender_count++;
  return sender;
}

static void on_accepted(struct socket* sock) {
  if (new_sender(sock)) {
    slick_count_add(SLICK_CONNECTIONS_OPEN, 1);
    return;
  }
  slick_count(SLICK_CONNECTIONS_REFUSED);
  sock_release(sock);
}

int forwarder_start(void) {
  return acceptor_start(on_accepted);
}

static void stop_on_loop(void* unused) {
  struct sender* sender;
  struct sender* next;

  list_for_each_entry_safe(sender, next, &senders, node) free_sender(sender);
  backends_stop();
}

void forwarder_stop(void) {
  acceptor_stop();
  klibevent_call(stop_on_loop, NULL);
}
