// SPDX-License-Identifier: Apache-2.0
// Connections over the kernel's TCP: non-blocking sockets and edge-triggered epoll, one thread.
//
// Local ports: a connection that the server closed first leaves TIME_WAIT with the server; one that
// is aborted is reset (SO_LINGER 0) and leaves none; and each connect may choose among all ports of
// all source addresses (IP_BIND_ADDRESS_NO_PORT). So ports do not run out.
#pragma once

#include <netinet/in.h>
#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <vector>

#include "rigload/load_client.h"
#include "rigload/stream_transport.h"
#include "rigload/thread_meter.h"
#include "wire/address.h"

namespace stackrig::rigload {

sockaddr_in to_sockaddr(wire::Endpoint e);

class KernelTransport final : public StreamTransport, public UsageMeter {
 public:
  struct Target {
    wire::Endpoint server;
    wire::Ipv4Address first_source;  ///< `sources` consecutive ones are taken in turn
    std::uint32_t sources = 0;       ///< 0: the kernel chooses
  };
  struct Config {
    std::vector<Target> targets;  ///< slot i goes to the (i modulo their number)-th
    std::uint32_t slots = 1;
    bool spin = false;      ///< look again at once instead of sleeping until something happens
    bool no_delay = false;  ///< TCP_NODELAY
  };

  /// Throws std::runtime_error (no file descriptors, ...).
  explicit KernelTransport(const Config& config);
  ~KernelTransport() override;
  KernelTransport(const KernelTransport&) = delete;
  KernelTransport& operator=(const KernelTransport&) = delete;

  /// Runs the client on this thread until it is done.
  void run(LoadClient& client);

  Open open(SlotId slot, Time now) override;
  bool send(SlotId slot, const Prepared& request, Time now) override;
  void close(SlotId slot, Time now) override;
  void abort(SlotId slot, Time now) override;
  Usage usage() override { return meter_.usage(); }

  [[nodiscard]] std::uint64_t syscalls() const { return syscalls_; }

 private:
  struct Socket {
    int fd = -1;
    std::uint32_t generation =
        0;                     ///< tells an event of this connection from one of the slot's last
    std::uint32_t unsent = 0;  ///< bytes of the request that the kernel did not take at once
    bool connected = false;
    Prepared request;
  };

  void handle(const epoll_event& event, StreamEvents& events, Time now);
  /// False where the socket is gone afterwards.
  bool finish_connect(SlotId slot, std::uint32_t event_bits, StreamEvents& events, Time now);
  bool write_rest(SlotId slot);
  void read_all(SlotId slot, std::uint32_t event_bits, StreamEvents& events, Time now);
  [[nodiscard]] bool is_open(SlotId slot, std::uint32_t generation) const;
  void drop(SlotId slot);
  unsigned poll(LoadClient& client, Time now);

  static constexpr int kEvents = 256;
  static constexpr std::size_t kReadBytes = 256 * 1024;

  Config config_;
  int epoll_ = -1;
  std::vector<Socket> sockets_;
  std::vector<std::byte> buffer_;
  std::array<epoll_event, kEvents> events_;
  std::uint32_t next_source_ = 0;
  std::uint64_t syscalls_ = 0;
  ThreadMeter meter_;
};

}  // namespace stackrig::rigload
