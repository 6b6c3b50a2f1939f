// SPDX-License-Identifier: Apache-2.0
// A TAP device: made, or one that is there joined; its descriptors, one per queue. It is gone with
// them, unless somebody made it to stay (ip tuntap add).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace stackrig::nmio::tap {

struct DeviceConfig {
  std::string name;
  unsigned queues = 1;
  std::uint32_t mtu = 0;             ///< 0: the device's own, 1500 for a new one
  std::uint32_t kernel_address = 0;  ///< host byte order; 0: none is given
  unsigned kernel_prefix = 0;
  bool checksum = true;        ///< what the kernel may leave to us: checksums
  bool large_receive = false;  ///< and segmentation (TSO), which needs checksums
};

class Device {
 public:
  /// Throws SetupError.
  explicit Device(const DeviceConfig& config);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  [[nodiscard]] int fd(unsigned queue) const { return fds_.at(queue); }
  [[nodiscard]] std::uint32_t mtu() const { return mtu_; }
  /// Of this end of the wire; the kernel's end has another.
  [[nodiscard]] const std::array<std::uint8_t, 6>& mac() const { return mac_; }

 private:
  void open_queue(const DeviceConfig& config);
  void bring_up(const DeviceConfig& config);
  void close_all();

  std::vector<int> fds_;
  std::uint32_t mtu_ = 0;
  std::array<std::uint8_t, 6> mac_{};
};

}  // namespace stackrig::nmio::tap
