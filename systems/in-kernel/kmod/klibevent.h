/* SPDX-License-Identifier: GPL-2.0 */
/*
 * klibevent (Slick 2.1): events of sockets, taken from their callbacks and handed out from a work
 * queue, one after another, as libevent's loop does in a process. What runs on the loop needs no
 * lock against anything else on it, and may block, at the expense of all that waits behind it.
 */
#ifndef SLICK_KLIBEVENT_H
#define SLICK_KLIBEVENT_H

#include <linux/net.h>

/* What happened; a handler finds out how much of it by trying. */
enum {
  KLIBEVENT_READ = 1,  /* bytes, a connection to accept, or the end of the stream */
  KLIBEVENT_WRITE = 2, /* room in the send buffer */
  KLIBEVENT_STATE = 4, /* connected, closed, or an error */
};

/* Listing 2.9. The third argument is a set of the bits above. Runs on the loop. */
typedef void (*notify_func_t)(struct socket*, void*, int);

/*
 * From now on events of the socket are notified; the first at once, with all bits, because some may
 * have come before. The socket stays the caller's, who unregisters it before releasing it. Zero,
 * -ENOMEM, or -EBUSY where somebody else has the socket's callbacks. May sleep.
 */
int register_sock(struct socket* sock, notify_func_t notify, void* arg);

/*
 * No notification begins after this, and outside the loop none is under way either. In the loop it
 * may be called from the socket's own notification. May sleep.
 */
void unregister_sock(struct socket* sock);

/* Notifies a registered socket of `events` once more, behind all that is waiting: how a handler
 * with much to do lets others go first, or wakes a handler of something else. On the loop. */
void klibevent_raise(struct socket* sock, int events);

/*
 * Accepts without blocking. A new socket begins with the callbacks of the listener it came from,
 * and gets back the standard ones here. Zero, or a negative error (-EAGAIN: none is waiting).
 */
int klibevent_accept(struct socket* listener, struct socket** accepted);

/* Runs fn(arg) on the loop and waits for its end. Not on the loop itself. */
void klibevent_call(void (*fn)(void*), void* arg);

/* Makes the loop: zero or -ENOMEM. */
int klibevent_init(void);
/* All sockets are unregistered. Behind this nothing of the module is run by a socket any more. */
void klibevent_exit(void);

#endif
