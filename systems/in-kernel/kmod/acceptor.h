/* SPDX-License-Identifier: GPL-2.0 */
/* A listening socket on klibevent, which hands out the connections it accepts. */
#ifndef SLICK_ACCEPTOR_H
#define SLICK_ACCEPTOR_H

#include <linux/net.h>

/* On the loop; the socket is the callee's from here on. */
typedef void (*accepted_func_t)(struct socket*);

/* Listens where slick_config says: zero, or an error with nothing left behind. */
int acceptor_start(accepted_func_t accepted);
/* No connection is handed out after this. Not on the loop. */
void acceptor_stop(void);

#endif
