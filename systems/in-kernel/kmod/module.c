// SPDX-License-Identifier: GPL-2.0
/* Slick as a module: what it is loaded with, and the order in which it starts and stops. */
#define pr_fmt(format) KBUILD_MODNAME ": " format

#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>

#include "forwarder_protocol.h"
#include "klibevent.h"
#include "slick.h"
#include "stats.h"

static char* service = "echo";
module_param(service, charp, 0444);
MODULE_PARM_DESC(service, "echo (TCP port 7) or forward (TCP port 9090)");
static char* address = "0.0.0.0";
module_param(address, charp, 0444);
MODULE_PARM_DESC(address, "IPv4 address to listen at (default: all)");
static ushort port;
module_param(port, ushort, 0444);
MODULE_PARM_DESC(port, "TCP port to listen at (default: the service's)");
static uint max_connections = 512;
module_param(max_connections, uint, 0444);
MODULE_PARM_DESC(max_connections, "connections at once, 1 to 512; further ones are closed");
static uint max_message = 128 * 1024;
module_param(max_message, uint, 0444);
MODULE_PARM_DESC(max_message, "bytes of the longest Thrift message, 65536 to 16777216");
static uint keepalive = 60;
module_param(keepalive, uint, 0444);
MODULE_PARM_DESC(keepalive, "seconds of silence before a peer is probed, 1 to 32767");
static uint connect_tries = 3;
module_param(connect_tries, uint, 0444);
MODULE_PARM_DESC(connect_tries, "SYNs repeated before a backend is given up, 1 to 127");

struct slick_config slick_config;

struct slick_service {
  const char* name;
  u16 port;
  int (*start)(void);
  void (*stop)(void);
};

static const struct slick_service services[] = {
    {"echo", 7, echo_start, echo_stop},
    {"forward", 9090, forwarder_start, forwarder_stop},
};
static const struct slick_service* running;

static const struct slick_service* find_service(void) {
  int i;

  for (i = 0; i < ARRAY_SIZE(services); i++) {
    if (strcmp(service, services[i].name) == 0) return &services[i];
  }
  return NULL;
}

static bool allowed(const char* name, uint value, uint least, uint most) {
  if (value >= least && value <= most) return true;
  pr_err("%s=%u: not within %u to %u; load it with another value\n", name, value, least, most);
  return false;
}

static int read_parameters(void) {
  running = find_service();
  if (!running) {
    pr_err("service=%s: there is no such service; load it with service=echo or service=forward\n",
           service);
    return -EINVAL;
  }
  if (!forwarder_parse_ipv4(address, (u32)strlen(address), &slick_config.address)) {
    pr_err("address=%s: not an IPv4 address; load it with one like 192.0.2.1\n", address);
    return -EINVAL;
  }
  if (!allowed("max_connections", max_connections, 1, 512) ||
      !allowed("max_message", max_message, 65536, 16777216) ||
      !allowed("keepalive", keepalive, 1, 32767) ||
      !allowed("connect_tries", connect_tries, 1, 127))
    return -EINVAL;
  slick_config.port = port ? port : running->port;
  slick_config.max_connections = max_connections;
  slick_config.max_message = max_message;
  slick_config.keepalive = keepalive;
  slick_config.connect_tries = connect_tries;
  return 0;
}

static int start(void) {
  int error = klibevent_init();

  if (error) return error;
  error = running->start();
  if (error) {
    pr_err("%s:%u: cannot listen there (error %d); load it with another address or port\n", address,
           slick_config.port, -error);
    klibevent_exit();
  }
  return error;
}

static int __init slick_init(void) {
  int error = read_parameters();

  if (error) return error;
  error = slick_stats_init();
  if (error) return error;
  slick_config.net = get_net(current->nsproxy->net_ns);
  error = start();
  if (error) {
    put_net(slick_config.net);
    slick_stats_exit();
    return error;
  }
  pr_info("%s at %s:%u\n", running->name, address, slick_config.port);
  return 0;
}

/*
 * First no new connections, then none, then no callback of a socket and no work that could still
 * run code of the module.
 */
static void __exit slick_exit(void) {
  running->stop();
  klibevent_exit();
  put_net(slick_config.net);
  slick_stats_exit();
}

module_init(slick_init);
module_exit(slick_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Slick: evented network services in the kernel (echo, Thrift forwarder)");
