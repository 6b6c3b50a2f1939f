// SPDX-License-Identifier: Apache-2.0
// Both sides of the soft NIC in one process, for tests.
#pragma once

#include <unistd.h>

#include <memory>
#include <string>

#include "nmio/port.h"
#include "nmio/test_frames.h"

namespace stackrig::nmio::test {

inline std::string unique_name() {
  static int n = 0;
  return "test-" + std::to_string(getpid()) + "-" + std::to_string(n++);
}

/// A server and a client whose link is up both ways; nothing is under way and all counters are
/// zero.
struct Wire {
  explicit Wire(const std::string& server_keys = "", const std::string& client_keys = "")
      : name(unique_name()),
        server(Port::open("shm:" + name + "?side=server&pages=plain" + server_keys)),
        client(Port::open("shm:" + name + "?side=client&pages=plain" + client_keys)) {
    probe(*client, *server);
    probe(*server, *client);
    for (Port* port : {server.get(), client.get()}) {
      for (unsigned i = 0; i < port->queues(); ++i) port->queue(i).counters() = {};
    }
  }
  /// Sends until something arrives: the peer's thread may be a moment behind.
  static void probe(Port& from, Port& to) {
    for (std::size_t arrived = 0; arrived == 0;) {
      send_frame(from.queue(0), Bytes(60));
      for (unsigned i = 0; i < to.queues(); ++i) arrived += receive_all(to.queue(i)).size();
    }
    while (from.queue(0).memory().free_count() != from.queue(0).memory().total_count()) {
      from.queue(0).reap();
      for (unsigned i = 0; i < to.queues(); ++i) receive_all(to.queue(i));
    }
  }
  [[nodiscard]] Queue& s(unsigned i = 0) const { return server->queue(i); }
  [[nodiscard]] Queue& c(unsigned i = 0) const { return client->queue(i); }

  std::string name;
  std::unique_ptr<Port> server;
  std::unique_ptr<Port> client;
};

inline std::string open_error(const std::string& uri) {
  try {
    Port::open(uri);
  } catch (const SetupError& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace stackrig::nmio::test
