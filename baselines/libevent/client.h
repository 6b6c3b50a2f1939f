// SPDX-License-Identifier: Apache-2.0
// A connection that messages come in on: takes them apart and hands each to the forwarder, which
// may stop it (a backend is full, a connect is under way) and has it go on later.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "counters.h"
#include "event_handles.h"
#include "sockets/sockets.h"
#include "thrift/forwarder.h"

namespace stackrig::libevent {

class Client;

/// What a client needs of the forwarder.
class Service {
 public:
  enum class Outcome : std::uint8_t {
    done,
    again,  ///< could not be done yet; ask again with the same message when resume() is called
    later,  ///< is being done; the next message when resume() is called
  };
  virtual Outcome handle(Client& client, const thrift::Request& request,
                         std::span<const std::byte> message) = 0;
  /// The client has handed over all that was read in one go.
  virtual void burst_ends() = 0;
  /// The client is at its end. It is deleted.
  virtual void remove(Client& client) = 0;

 protected:
  ~Service() = default;
};

class Client {
 public:
  /// Bytes read at a time, at most.
  static constexpr std::size_t kReadBytes = 64 * 1024;

  Client(event_base* base, sockets::Fd socket, Service& service, Counters& counters);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Sends a reply. Nothing is read while one waits to be sent.
  void reply(const thrift::Bytes& bytes);
  /// Goes on after Outcome::again or later; may end in Service::remove().
  void resume();

 private:
  enum class Parsed : std::uint8_t { all, stopped, malformed };

  void on_readable();
  void on_writable();
  void take_messages();
  Parsed parse();
  void make_room();
  void stop();

  sockets::Fd socket_;
  Service& service_;
  Counters& counters_;
  std::vector<std::byte> memory_;
  std::size_t begin_ = 0, end_ = 0;  ///< of what was read and not yet handed over
  std::size_t needed_ = 0;           ///< bytes that the message at begin_ has at least
  Buffer replies_;
  Event readable_, writable_;
  bool stopped_ = false;
};

}  // namespace stackrig::libevent
