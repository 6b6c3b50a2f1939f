// SPDX-License-Identifier: GPL-2.0
/* TCP sockets of the module. */
#include <linux/tcp.h>
#include <net/sock.h>

#include "slick.h"

/* Unanswered questions after which a peer is given up. */
enum { KEEPALIVE_PROBES = 3 };

/*
 * Not sock_create_kern(): its sockets hold no reference to their network namespace, for which
 * reason TCP stops their timers when they are released, and what is under way then is never sent
 * again.
 */
int slick_socket(struct socket** sock) {
  return __sock_create(slick_config.net, AF_INET, SOCK_STREAM, IPPROTO_TCP, sock, 0);
}

void slick_tune(struct socket* sock) {
  tcp_sock_set_nodelay(sock->sk);
  sock_set_keepalive(sock->sk);
  tcp_sock_set_keepidle(sock->sk, (int)slick_config.keepalive);
  tcp_sock_set_keepintvl(sock->sk, (int)slick_config.keepalive);
  tcp_sock_set_keepcnt(sock->sk, KEEPALIVE_PROBES);
}
