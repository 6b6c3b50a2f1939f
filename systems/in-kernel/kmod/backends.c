// SPDX-License-Identifier: GPL-2.0
/* Backends of the forwarder: connecting, sending, draining. */
#include "backends.h"

#include <linux/in.h>
#include <linux/tcp.h>
#include <linux/xarray.h>
#include <net/sock.h>

#include "klibevent.h"
#include "slick.h"
#include "stats.h"

enum {
  MAX_BACKENDS = 1024,
  RECEIVE_CAPACITY = 4096,    /* bytes; what a sink says is not looked at */
  SEND_CAPACITY = 256 * 1024, /* bytes at least; two messages must fit */
};

enum backend_state { CONNECTING, OPEN, DRAINING };

struct backend {
  ThriftSocket ts;
  s32 key;
  enum backend_state state;
  struct backend_caller* caller; /* who waits for the end of connecting or draining, or NULL */
  struct list_head node;         /* in all_backends */
  struct list_head unflushed;    /* in unflushed_backends, or empty */
  struct list_head waiters;
};

static DEFINE_XARRAY(open_backends); /* by key */
static LIST_HEAD(all_backends);
static LIST_HEAD(unflushed_backends);
static u32 backend_count;

static void caller_is_served(struct backend_caller* caller) {
  if (caller && --caller->outstanding == 0) caller->done(caller);
}

static void resume_waiters(struct backend* backend) {
  struct backend_waiter* waiter;
  struct backend_waiter* next;

  list_for_each_entry_safe(waiter, next, &backend->waiters, node) {
    list_del_init(&waiter->node);
    waiter->resume(waiter);
  }
}

/* No longer found by its key. */
static void close_backend(struct backend* backend) {
  xa_erase(&open_backends, (u32)backend->key);
  slick_count_add(SLICK_BACKENDS_OPEN, -1);
  resume_waiters(backend);
}

static void free_backend(struct backend* backend) {
  if (backend->state == OPEN) close_backend(backend);
  list_del(&backend->node);
  list_del(&backend->unflushed);
  backend_count--;
  BufferedSocket_free(backend->ts.bs);
  caller_is_served(backend->caller);
  kfree(backend);
}

static void lose_backend(struct backend* backend) {
  slick_count(SLICK_BACKENDS_LOST);
  free_backend(backend);
}

static void drain_backend(struct backend* backend, struct backend_caller* caller) {
  if (caller) caller->outstanding++;
  backend->caller = caller;
  close_backend(backend);
  backend->state = DRAINING;
  if (BufferedSocket_flush(backend->ts.bs) <= 0) free_backend(backend);
}

/* Whether it could be; else it is freed. */
static bool open_backend(struct backend* backend) {
  struct backend* previous = xa_load(&open_backends, (u32)backend->key);
  struct backend_caller* caller = backend->caller;

  if (previous) drain_backend(previous, NULL);
  if (xa_err(xa_store(&open_backends, (u32)backend->key, backend, GFP_KERNEL))) {
    caller->result = ENOMEM;
    free_backend(backend);
    return false;
  }
  backend->state = OPEN;
  backend->caller = NULL;
  slick_count_add(SLICK_BACKENDS_OPEN, 1);
  caller_is_served(caller);
  return true;
}

static void on_open(struct backend* backend) {
  BufferedSocket* bs = backend->ts.bs;
  char* ignored;
  int count;

  while ((count = BufferedSocket_peek(bs, &ignored)) > 0) BufferedSocket_discard(bs, count);
  if (bs->error || bs->at_end)
    lose_backend(backend);
  else if ((u32)BufferedSocket_unsent(bs) <= bs->unsent.capacity / 2)
    resume_waiters(backend);
}

static void on_connecting(struct backend* backend) {
  struct sock* sk = backend->ts.bs->sock->sk;
  int state = READ_ONCE(sk->sk_state);
  int error = backend->ts.bs->error;

  if (state == TCP_SYN_SENT || state == TCP_SYN_RECV) return;
  if (!error) error = sock_error(sk);
  if (!error && state == TCP_CLOSE) error = -ECONNREFUSED;
  if (!error) {
    /* It may have been closed again before this event was notified. */
    if (open_backend(backend)) on_open(backend);
    return;
  }
  backend->caller->result = -error;
  free_backend(backend);
}

static void on_draining(struct backend* backend) {
  BufferedSocket* bs = backend->ts.bs;

  if (bs->error || BufferedSocket_unsent(bs) == 0) free_backend(backend);
}

static void on_backend(BufferedSocket* bs, void* arg, int events) {
  struct backend* backend = arg;

  switch (backend->state) {
    case CONNECTING:
      on_connecting(backend);
      break;
    case OPEN:
      on_open(backend);
      break;
    case DRAINING:
      on_draining(backend);
      break;
  }
}

/* A backend with a socket that is not connected, or NULL. */
static struct backend* new_backend(s32 key, struct backend_caller* caller) {
  struct backend* backend = kzalloc(sizeof(*backend), GFP_KERNEL);
  struct socket* sock;
  BufferedSocket* bs;

  if (!backend) return NULL;
  if (slick_socket(&sock)) {
    kfree(backend);
    return NULL;
  }
  slick_tune(sock);
  tcp_sock_set_syncnt(sock->sk, (int)slick_config.connect_tries);
  bs = BufferedSocket_new(sock, RECEIVE_CAPACITY,
                          max_t(u32, SEND_CAPACITY, 2 * slick_config.max_message), on_backend,
                          backend);
  if (!bs) {
    sock_release(sock);
    kfree(backend);
    return NULL;
  }
  bs->corked = true;
  ThriftSocket_init(&backend->ts, bs, RECEIVE_CAPACITY);
  backend->key = key;
  backend->state = CONNECTING;
  backend->caller = caller;
  INIT_LIST_HEAD(&backend->unflushed);
  INIT_LIST_HEAD(&backend->waiters);
  list_add(&backend->node, &all_backends);
  backend_count++;
  return backend;
}

void backends_connect(s32 key, u32 address, u16 port, struct backend_caller* caller) {
  struct sockaddr_in to = {
      .sin_family = AF_INET,
      .sin_port = htons(port),
      .sin_addr.s_addr = htonl(address),
  };
  struct backend* backend;
  int error;

  caller->result = 0;
  caller->outstanding = 1;
  backend = backend_count < MAX_BACKENDS ? new_backend(key, caller) : NULL;
  if (!backend) {
    caller->result = ENOBUFS;
    caller_is_served(caller);
    return;
  }
  error = kernel_connect(backend->ts.bs->sock, (struct sockaddr*)&to, sizeof(to), O_NONBLOCK);
  if (error && error != -EINPROGRESS) {
    caller->result = -error;
    free_backend(backend);
  }
}

void backends_close(struct backend_caller* caller) {
  struct backend* backend;
  struct backend* next;

  caller->result = 0;
  caller->outstanding = 1; /* its own, so that it is not told before all have been looked at */
  list_for_each_entry_safe(backend, next, &all_backends, node) {
    if (backend->state == OPEN) {
      caller->result++;
      drain_backend(backend, caller);
    } else if (backend->state == CONNECTING) {
      if (backend->caller) backend->caller->result = ECANCELED;
      free_backend(backend);
    }
  }
  caller_is_served(caller);
}

void backends_forget(struct backend_caller* caller) {
  struct backend* backend;
  struct backend* next;

  list_for_each_entry_safe(backend, next, &all_backends, node) {
    if (backend->caller != caller) continue;
    backend->caller = NULL;
    if (backend->state == CONNECTING) free_backend(backend);
  }
}

int backends_forward(s32 key, ThriftSocket* from, struct backend_waiter* waiter) {
  struct backend* backend = xa_load(&open_backends, (u32)key);
  int error;

  if (!backend) return -ENOENT;
  error = ThriftSocket_forward(from, &backend->ts);
  if (error == -EAGAIN) {
    list_add_tail(&waiter->node, &backend->waiters);
    return -EAGAIN;
  }
  if (error < 0) {
    lose_backend(backend);
    return -ENOENT;
  }
  if (list_empty(&backend->unflushed)) list_add_tail(&backend->unflushed, &unflushed_backends);
  return 0;
}

void backends_flush(void) {
  while (!list_empty(&unflushed_backends)) {
    struct backend* backend = list_first_entry(&unflushed_backends, struct backend, unflushed);

    list_del_init(&backend->unflushed);
    if (BufferedSocket_flush(backend->ts.bs) < 0) lose_backend(backend);
  }
}

void backends_stop(void) {
  struct backend* backend;
  struct backend* next;

  list_for_each_entry_safe(backend, next, &all_backends, node) {
    backend->caller = NULL;
    free_backend(backend);
  }
  xa_destroy(&open_backends);
}
