// SPDX-License-Identifier: GPL-2.0
/* Accepting connections. */
#include "acceptor.h"

#include <linux/in.h>
#include <net/sock.h>

#include "klibevent.h"
#include "slick.h"
#include "stats.h"

enum {
  BACKLOG = 1024, /* connections that wait to be accepted; somaxconn may allow fewer */
  TURN = 64,      /* connections accepted before others on the loop have their turn */
};

static struct socket* listener;
static accepted_func_t on_accepted;

static void on_listener(struct socket* sock, void* unused, int events) {
  int turn;

  for (turn = 0; turn < TURN; turn++) {
    struct socket* connection;

    if (klibevent_accept(sock, &connection)) return;
    slick_count(SLICK_CONNECTIONS);
    slick_tune(connection);
    on_accepted(connection);
  }
  klibevent_raise(sock, KLIBEVENT_READ);
}

static int listen_at(struct socket* sock) {
  struct sockaddr_in address = {
      .sin_family = AF_INET,
      .sin_port = htons(slick_config.port),
      .sin_addr.s_addr = htonl(slick_config.address),
  };
  int error;

  sock_set_reuseaddr(sock->sk);
  error = kernel_bind(sock, (struct sockaddr*)&address, sizeof(address));
  return error ? error : kernel_listen(sock, BACKLOG);
}

int acceptor_start(accepted_func_t accepted) {
  int error = slick_socket(&listener);

  if (error) return error;
  on_accepted = accepted;
  error = listen_at(listener);
  if (!error) error = register_sock(listener, on_listener, NULL);
  if (error) sock_release(listener);
  return error;
}

void acceptor_stop(void) {
  unregister_sock(listener);
  sock_release(listener);
}
