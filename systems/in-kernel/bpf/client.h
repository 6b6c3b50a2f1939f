// SPDX-License-Identifier: Apache-2.0
// A client's connection as the loader sees it.
//
//   before   the service reads what leads the stream (echo: the size word)
//   kernel   the programs have it. What they hand up the loader deals with, and gives the
//   connection
//            back; when more has come meanwhile, it takes it over
//   own      the loader reads it and does the service's work by itself, up to the end of a frame
//            behind which nothing has come yet, or for a while; then kernel again
//
// When the client has half-closed, the connection is closed as soon as nothing whole is left
// anywhere. Thread: the poller's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "byte_queue.h"
#include "counters.h"
#include "poller.h"
#include "programs.h"

namespace stackrig::in_kernel {

class Client : public Watched {
 public:
  /// What the service makes of the front of the stream.
  struct Step {
    enum class Kind : std::uint8_t {
      took,       ///< `bytes` off the front
      need_more,  ///< it is not whole; at least `bytes` more belong to it
      park,       ///< it has to wait
      close,      ///< the connection is of no more use
    };
    Kind kind;
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
  void start();
  void ready(std::uint32_t events) final;
  void due() final { advance(); }

  /// The programs say that they have handed it up, or that more has come since.
  void taken();

  [[nodiscard]] std::uint32_t slot() const { return slot_; }

 protected:
  enum class Before : std::uint8_t { done, waits, refused };
  /// Reads what leads the stream. `size`: for the programs.
  virtual Before read_before(std::uint32_t& size) = 0;
  virtual Step handle(std::span<const std::byte> bytes) = 0;
  /// Whether all that handle() had to send to the client is with TCP; tries.
  virtual bool flush() = 0;

  [[nodiscard]] int fd() const { return fd_.get(); }
  Context& context() { return context_; }
  /// Has read so many bytes by itself.
  void count_read(std::size_t bytes) { total_ += bytes; }

 private:
  enum class State : std::uint8_t { before, kernel, own };
  enum class Next : std::uint8_t { go_on, wait, look_later, end };

  /// Events of the way up are this client's.
  class Up final : public Watched {
   public:
    explicit Up(Client& client) : client_(client) {}
    void ready(std::uint32_t /*events*/) override { client_.advance(); }

   private:
    Client& client_;
  };

  void advance();
  Next step();
  Next before();
  Next kernel();
  Next take_over();
  Next finish(const Programs::Up& up);
  [[nodiscard]] bool is_broken() const;
  Next own();
  Next handle_all(std::size_t& need);
  Next read_own(std::size_t most);
  bool read_up(std::uint64_t passed);
  void give_to_programs();
  bool open_up();
  void end();

  Context& context_;
  Fd fd_, up_fd_;
  Up up_;
  std::uint32_t slot_;
  std::uint32_t size_ = 0;
  State state_ = State::before;
  bool half_closed_ = false, eof_ = false, ended_ = false;
  bool kept_ = false;                   ///< the programs do not take it any more
  std::chrono::milliseconds pause_{1};  ///< until the next look, where no event will tell
  std::uint64_t total_ = 0;             ///< bytes of the stream before what the programs have
  std::uint64_t up_read_ = 0;           ///< bytes of what the programs passed
  std::size_t own_at_least_ = 0;        ///< bytes to read before it is given back
  std::size_t own_read_ = 0;            ///< bytes read by the loader since it has the connection
  ByteQueue bytes_;                     ///< read, not taken by handle()
};

}  // namespace stackrig::in_kernel
