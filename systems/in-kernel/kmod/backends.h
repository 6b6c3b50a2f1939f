/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The connections to which the forwarder sends, by key. A backend is being connected, then open,
 * and at the end, when it was replaced or closed, draining: it takes nothing more and is released
 * once its bytes are with TCP. All on the loop of klibevent.
 */
#ifndef SLICK_BACKENDS_H
#define SLICK_BACKENDS_H

#include <linux/list.h>

#include "thrift_socket.h"

struct backend;

/* Who waits for a connect or a close to be done; done() may be called at once. */
struct backend_caller {
  u32 outstanding; /* backends that it waits for */
  s32 result;      /* connect: zero or an errno; close: how many were open */
  void (*done)(struct backend_caller* caller);
};

/* Who waits until a backend takes bytes again, or is no more. */
struct backend_waiter {
  struct list_head node; /* empty while it does not wait */
  void (*resume)(struct backend_waiter* waiter);
};

/* Takes the place of the backend of that key once it is connected. Address in host byte order. */
void backends_connect(s32 key, u32 address, u16 port, struct backend_caller* caller);
/* Closes all; what is being connected is given up (ECANCELED). */
void backends_close(struct backend_caller* caller);
/* The caller goes away and is not to be told. */
void backends_forget(struct backend_caller* caller);

/*
 * Hands the message at hand of `from` to the backend of `key`: zero; -EAGAIN when the backend has
 * no room, then `waiter` is resumed later; -ENOENT when there is none.
 */
int backends_forward(s32 key, ThriftSocket* from, struct backend_waiter* waiter);
/* Sends what was handed over since the last flush: once for many messages. */
void backends_flush(void);

void backends_stop(void);

#endif
