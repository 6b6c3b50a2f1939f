/* SPDX-License-Identifier: GPL-2.0 */
/* What the module was loaded with, and the TCP sockets that it makes of that. */
#ifndef SLICK_H
#define SLICK_H

#include <linux/net.h>
#include <net/net_namespace.h>

struct slick_config {
  struct net* net; /* that of the process which loaded the module; a reference is held */
  u32 address;     /* to listen at, host byte order */
  u16 port;
  u32 max_connections;
  u32 max_message;   /* bytes of a Thrift message */
  u32 keepalive;     /* seconds of silence after which a peer is asked whether it is there */
  u32 connect_tries; /* how often a backend is sent a SYN again */
};

/* Set before a service starts, and not changed. */
extern struct slick_config slick_config;

/* A TCP socket in slick_config.net. */
int slick_socket(struct socket** sock);
/* No waiting for small segments; a peer that vanished is found out. */
void slick_tune(struct socket* sock);

/* A service: start() listens and returns zero or an error with nothing left behind; stop() returns
 * when there is no socket and no work of it any more. */
int echo_start(void);
void echo_stop(void);
int forwarder_start(void);
void forwarder_stop(void);

#endif
