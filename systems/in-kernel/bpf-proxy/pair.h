// SPDX-License-Identifier: Apache-2.0
// A client and the backend connection that it has for as long as it lives.
//
//   waiting   the pool has no connection at hand
//   relaying  both ends are in the kernel's hands, or (where it refuses one) in the loader's
//   refusing  there is no backend: the client is told so, once it has asked something
//   breaking  the backend has reset: what it sent before is delivered, then the client is reset
//
// Ends when both directions have, when either side resets, and when nothing happens for too long.
// Thread: the poller's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "pool.h"
#include "stream.h"

namespace stackrig::in_kernel::proxy {

class Pair final : public Watched, private Pool::Waiter {
 public:
  struct Context {
    Relay& relay;
    Poller& poller;
    Pool& pool;
    Counters& counters;
    std::chrono::milliseconds most_idle;    ///< nothing goes either way
    std::chrono::milliseconds most_linger;  ///< a client that has the whole answer does not close
    std::function<void(Pair&)> ended;       ///< it is to be forgotten; called once
  };

  /// `slot` is even.
  Pair(Context& context, Fd client, std::uint32_t slot);
  ~Pair() override;

  /// The object may have ended when this returns, and when any of the next do.
  void start();
  void ready(std::uint32_t events) override;
  void due() override { advance(); }
  /// The program has passed something up, or may have.
  void noticed() { advance(); }
  /// To be called some times a second.
  void tick(Clock::time_point now);

  [[nodiscard]] std::uint32_t slot() const { return slot_; }

 private:
  enum class State : std::uint8_t { waiting, relaying, refusing, breaking };

  class Backend final : public Watched {
   public:
    explicit Backend(Pair& pair) : pair_(pair) {}
    void ready(std::uint32_t events) override { pair_.backend_ready(events); }

   private:
    Pair& pair_;
  };

  void connected(Fd fd) override;
  void not_connected() override;
  void all_in_use() override;

  void backend_ready(std::uint32_t events);
  void pair_up();
  void relay(bool in_kernel);
  void advance();
  void advance_streams();
  void watch(bool backend, std::uint32_t& watched, bool in, bool out);
  void refuse(std::string_view answer);
  void advance_refusal();
  void look_later();
  void reset();
  void end();

  Context& context_;
  Fd client_, backend_;
  Backend backend_events_;
  std::uint32_t slot_;
  State state_ = State::waiting;
  bool client_added_ = false, backend_added_ = false;
  bool half_closed_ = false, ended_ = false, told_ = false;
  bool backend_had_ended_ = false;
  std::uint32_t client_watched_ = 0, backend_watched_ = 0;
  std::optional<Stream> up_, down_;  ///< towards the backend, towards the client
  std::string_view answer_;
  std::chrono::milliseconds pause_{1};
  std::uint64_t bytes_ = 0;                 ///< that had gone by when last looked
  Clock::time_point since_ = Clock::now();  ///< `bytes_` is what it is, or the state
};

}  // namespace stackrig::in_kernel::proxy
