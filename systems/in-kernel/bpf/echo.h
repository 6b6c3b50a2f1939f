// SPDX-License-Identifier: Apache-2.0
// The echo's part in user space (Slick 3.2.2): it reads the size word of each connection and gives
// the rest to the programs. What they hand up it sends down the detour.
#pragma once

#include "client.h"
#include "echo/echo.h"

namespace stackrig::in_kernel {

class EchoClient final : public Client {
 public:
  using Client::Client;

 protected:
  Step handle(std::span<const std::byte> bytes) override;
  [[nodiscard]] bool waits_for_own() const override;
  bool before_programs() override;

 private:
  echo::SizeReader size_;
};

}  // namespace stackrig::in_kernel
