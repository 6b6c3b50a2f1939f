// SPDX-License-Identifier: Apache-2.0
// A client's connection as the loader sees it: what the programs hand up, and its end.
//
// The programs have all that it receives (Programs::add_client). Bytes that come up are gathered
// until `handle()` can take a whole message off them; what was taken is consumed, and once all is,
// the programs send on by themselves again. When the client has half-closed, the connection is
// closed as soon as nothing whole is left anywhere: in the receive queue, here, and (echo) before
// its own TCP.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "counters.h"
#include "poller.h"
#include "programs.h"

namespace stackrig::in_kernel {

class Client : public Watched {
 public:
  /// What the service makes of the front of what has come up.
  struct Step {
    enum class Kind : std::uint8_t {
      took,       ///< `bytes` off the front
      need_more,  ///< it is not whole
      park,       ///< it has to wait; poke() or a later look goes on
      close,      ///< the connection is of no more use
    };
    Kind kind = Kind::need_more;
    std::size_t bytes = 0;
  };

  struct Context {
    Programs& programs;
    Poller& poller;
    Counters& counters;
    std::function<void(Client&)> ended;  ///< it is to be forgotten; called once
  };

  Client(Context& context, Fd fd, std::uint32_t slot);
  ~Client() override;

  /// Begins to watch. The object may have ended when this returns.
  virtual void start();
  void ready(std::uint32_t events) final;
  void due() final { advance(); }
  /// What it was parked for may have come.
  void poke() { context_.poller.call_at(*this, Clock::now()); }

  [[nodiscard]] std::uint32_t slot() const { return slot_; }

 protected:
  virtual Step handle(std::span<const std::byte> bytes) = 0;
  /// Whether something that was sent on to itself has not reached TCP (echo).
  [[nodiscard]] virtual bool waits_for_own() const { return false; }
  /// Bytes that lead the stream and that no program has (echo: the size word). True: go on.
  virtual bool before_programs() { return true; }

  void advance();
  void end();
  bool give_to_programs(std::uint32_t size);
  [[nodiscard]] int fd() const { return fd_.get(); }
  Context& context() { return context_; }
  [[nodiscard]] const Context& context() const { return context_; }

 private:
  enum class Read : std::uint8_t { more, nothing, failed };
  Read read_up();
  bool handle_all();
  void finish();
  void look_later();

  Context& context_;
  Fd fd_;
  std::uint32_t slot_;
  bool with_programs_ = false;
  bool half_closed_ = false;
  bool parked_ = false;
  bool ended_ = false;
  std::chrono::milliseconds pause_{1};  ///< until the next look, where no event will tell
  std::vector<std::byte> up_;           ///< came up, not taken
};

}  // namespace stackrig::in_kernel
