// SPDX-License-Identifier: Apache-2.0
// The echo's part in user space (Slick 3.2.2): it reads the size word of each connection and gives
// the rest to the programs. What they hand up it sends back as an ordinary server would.
#pragma once

#include "client.h"
#include "echo/echo.h"

namespace stackrig::in_kernel {

class EchoClient final : public Client {
 public:
  using Client::Client;

 protected:
  Before read_before(std::uint32_t& size) override;
  Step handle(std::span<const std::byte> bytes) override;
  bool flush() override;

 private:
  echo::SizeReader size_;
  std::vector<std::byte> rest_;  ///< of a buffer that the send buffer did not take whole
};

}  // namespace stackrig::in_kernel
