// SPDX-License-Identifier: Apache-2.0
// The forwarder's part in user space (Slick 3.3): connect and close, and every msg that the
// programs did not send on themselves.
#pragma once

#include <optional>
#include <vector>

#include "backends.h"
#include "client.h"
#include "thrift/forwarder.h"

namespace stackrig::in_kernel {

class ForwardClient final : public Client {
 public:
  ForwardClient(Context& context, Backends& backends, Fd fd, std::uint32_t slot)
      : Client(context, std::move(fd), slot), backends_(backends) {}

 protected:
  Before read_before(std::uint32_t& size) override;
  Step handle(std::span<const std::byte> bytes) override;
  bool flush() override { return true; }

 private:
  /// A call that takes its time: asked, then answered, then taken off the stream.
  struct Call {
    std::optional<std::int32_t> result;
  };
  Step forward(const thrift::Request& request, std::span<const std::byte> message);
  Step connect(const thrift::Request& request);
  Step close(const thrift::Request& request);
  Step answer(const thrift::Request& request);
  Step send(const thrift::Request& request);

  Backends& backends_;
  std::shared_ptr<Call> call_;  ///< shared with the callback, which may outlive this
  std::vector<std::byte> reply_;
  std::size_t sent_ = 0;  ///< of the reply
};

}  // namespace stackrig::in_kernel
