// SPDX-License-Identifier: GPL-2.0
/*
 * The echo service (Slick 3.2): the listener's event comes from klibevent, and a connection is
 * served with blocking calls, as in listing 3.1. The paper's serves one connection at a time; here
 * each has a work item of its own.
 */
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <net/sock.h>

#include "acceptor.h"
#include "portable.h"
#include "slick.h"
#include "stats.h"

enum { MAX_BUFFER = 65536 };

struct connection {
  struct work_struct work;
  struct list_head node;
  struct socket* sock;
};

static struct workqueue_struct* echo_work_queue;
/* Connections that are served, so that they can be stopped. */
static DEFINE_MUTEX(connections_mutex);
static LIST_HEAD(connections);
static u32 connection_count;

/* Whether all of the bytes came; fewer only at the stream's end. */
static bool receive_all(struct socket* sock, void* bytes, u32 count) {
  struct msghdr message = {.msg_flags = MSG_WAITALL};
  struct kvec part = {.iov_base = bytes, .iov_len = count};
  int got = kernel_recvmsg(sock, &message, &part, 1, count, MSG_WAITALL);

  if (got > 0) slick_count_add(SLICK_BYTES_IN, got);
  if (got > 0 && (u32)got < count) slick_count(SLICK_TRUNCATED);
  return got == (int)count;
}

static bool send_all(struct socket* sock, void* bytes, u32 count) {
  struct msghdr message = {.msg_flags = MSG_NOSIGNAL};
  struct kvec part = {.iov_base = bytes, .iov_len = count};
  int sent = kernel_sendmsg(sock, &message, &part, 1, count);

  if (sent > 0) slick_count_add(SLICK_BYTES_OUT, sent);
  return sent == (int)count;
}

static void serve(struct socket* sock) {
  u8 word[4];
  u32 size;
  void* buffer;

  if (!receive_all(sock, word, sizeof(word))) return;
  size = slick_be32(word);
  if (size == 0 || size > MAX_BUFFER) {
    slick_count(SLICK_MALFORMED);
    return;
  }
  buffer = kvmalloc(size, GFP_KERNEL);
  if (!buffer) {
    slick_count(SLICK_CONNECTIONS_REFUSED);
    return;
  }
  while (receive_all(sock, buffer, size) && send_all(sock, buffer, size)) {
    slick_count(SLICK_ROUND_TRIPS);
    cond_resched();
  }
  kvfree(buffer);
}

static void run_connection(struct work_struct* work) {
  struct connection* connection = container_of(work, struct connection, work);

  serve(connection->sock);
  mutex_lock(&connections_mutex);
  list_del(&connection->node);
  connection_count--;
  mutex_unlock(&connections_mutex);
  slick_count_add(SLICK_CONNECTIONS_OPEN, -1);
  sock_release(connection->sock);
  kfree(connection);
}

static bool add_connection(struct connection* connection) {
  bool fits;

  mutex_lock(&connections_mutex);
  fits = connection_count < slick_config.max_connections;
  if (fits) {
    list_add(&connection->node, &connections);
    connection_count++;
  }
  mutex_unlock(&connections_mutex);
  return fits;
}

static void on_accepted(struct socket* sock) {
  struct connection* connection = kzalloc(sizeof(*connection), GFP_KERNEL);

  if (!connection || !add_connection(connection)) {
    slick_count(SLICK_CONNECTIONS_REFUSED);
    sock_release(sock);
    kfree(connection);
    return;
  }
  connection->sock = sock;
  INIT_WORK(&connection->work, run_connection);
  slick_count_add(SLICK_CONNECTIONS_OPEN, 1);
  queue_work(echo_work_queue, &connection->work);
}

int echo_start(void) {
  int error;

  echo_work_queue = alloc_workqueue("slick_echo", WQ_UNBOUND, (int)slick_config.max_connections);
  if (!echo_work_queue) return -ENOMEM;
  error = acceptor_start(on_accepted);
  if (error) destroy_workqueue(echo_work_queue);
  return error;
}

void echo_stop(void) {
  struct connection* connection;

  acceptor_stop();
  mutex_lock(&connections_mutex);
  /* Wakes what is blocked in a call; each connection then ends by itself. */
  list_for_each_entry(connection, &connections, node)
      kernel_sock_shutdown(connection->sock, SHUT_RDWR);
  mutex_unlock(&connections_mutex);
  destroy_workqueue(echo_work_queue);
}
