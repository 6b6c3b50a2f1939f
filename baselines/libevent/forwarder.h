// SPDX-License-Identifier: Apache-2.0
// The forwarder of Slick 3.3 as an evented user process: clients, backends by key, and the service
// that connects and closes them. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "backend.h"
#include "client.h"
#include "counters.h"
#include "event_handles.h"
#include "sockets/sockets.h"

namespace stackrig::libevent {

struct Config {
  bool batched = false;   ///< one write for all that a read brought a backend; else one a message
  bool no_delay = false;  ///< TCP_NODELAY on the backends' sockets
  Backend::Water water;
};

class Forwarder final : private Service {
 public:
  /// `counters` outlives it.
  Forwarder(const Config& config, std::vector<sockets::Fd> listeners, Counters& counters);
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  /// Runs until SIGTERM or SIGINT.
  void run();

 private:
  /// A listening socket, and the forwarder to tell.
  struct Listener {
    Forwarder* forwarder;
    sockets::Fd socket;
    Event readable;
    void on_readable() { forwarder->accept(socket.get()); }
  };
  /// A connect under way; its client waits.
  struct Connecting {
    Forwarder* forwarder;
    Client* client;
    std::int32_t sequence, key;
    sockets::Fd socket;
    Event writable;
    void on_writable() { forwarder->connected(*this); }
  };

  Outcome handle(Client& client, const thrift::Request& request,
                 std::span<const std::byte> message) override;
  void burst_ends() override;
  void remove(Client& client) override { clients_.erase(&client); }

  void accept(int listener);
  Outcome forward(Client& client, std::int32_t key, std::span<const std::byte> message);
  Outcome connect(Client& client, const thrift::Request& request);
  void connected(Connecting& done);
  Outcome close_all(Client& client, const thrift::Request& request);
  Outcome refuse(Client& client, const thrift::Request& request);
  void gone(std::int32_t key, Backend& backend);
  void retire(std::unique_ptr<Backend> backend);
  void stop() { ::event_base_loopbreak(base_.get()); }

  Config config_;
  Counters& counters_;
  Base base_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<Event> signals_;
  std::unordered_map<Client*, std::unique_ptr<Client>> clients_;
  std::unordered_map<Connecting*, std::unique_ptr<Connecting>> connecting_;
  std::unordered_map<std::int32_t, std::unique_ptr<Backend>> backends_;
  std::unordered_map<Backend*, std::unique_ptr<Backend>> leaving_;  ///< have no key any more
  std::vector<std::int32_t> touched_;  ///< keys whose backends have something to be flushed
};

}  // namespace stackrig::libevent
