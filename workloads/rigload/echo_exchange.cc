// SPDX-License-Identifier: Apache-2.0
// One slot's buffers, out and back.
#include "rigload/echo_exchange.h"

#include <algorithm>
#include <cstring>

#include "echo/echo.h"
#include "rigload/random.h"
#include "wire/checksum.h"

namespace stackrig::rigload {
namespace {

/// Neighbouring slots go through the windows in different steps.
constexpr std::uint32_t kStrides = 7;
constexpr std::uint64_t kStream = 0x6563686f;  ///< of the seed; not the arrivals'

Prepared prepare(std::span<const std::byte> bytes) {
  return {.data = bytes.data(),
          .len = static_cast<std::uint32_t>(bytes.size()),
          .sum = wire::fold(wire::sum(bytes))};
}

}  // namespace

EchoExchange::EchoExchange(const EchoConfig& config, std::uint32_t slots)
    : config_(config),
      bytes_(config.size * config.pipeline),
      text_(bytes_ + kWindows),
      slots_(slots) {
  Random random(config.seed, kStream);
  for (std::byte& b : text_) b = static_cast<std::byte>(random.next() >> 56);
  for (std::uint32_t i = 0; i < kWindows; ++i) {
    requests_[i] = prepare(std::span(text_).subspan(i, bytes_));
  }
  const auto word = echo::size_word(config.size);
  beginning_.assign(word.begin(), word.end());
  beginning_.insert(beginning_.end(), text_.begin(), text_.begin() + bytes_);
  first_request_ = prepare(beginning_);
}

const Prepared& EchoExchange::begin(SlotId id) {
  Slot& slot = slots_[id];
  slot.received = 0;
  if (!slot.announced) {
    slot.announced = true;
    slot.window = 0;  // the one behind the size
    return first_request_;
  }
  slot.window = (slot.window + 1 + id % kStrides) % kWindows;
  return requests_[slot.window];
}

Progress EchoExchange::receive(SlotId id, std::span<const std::byte> bytes) {
  Slot& slot = slots_[id];
  if (bytes.size() > bytes_ - slot.received) {
    return {.state = Progress::State::broken, .error = ErrorKind::length};
  }
  const Prepared& sent = requests_[slot.window];
  if (std::memcmp(bytes.data(), sent.data + slot.received, bytes.size()) != 0) {
    return {.state = Progress::State::broken, .error = ErrorKind::content};
  }
  slot.received += static_cast<std::uint32_t>(bytes.size());
  if (slot.received != bytes_) return {.body_bytes = bytes.size()};
  return {
      .state = Progress::State::finished, .requests = config_.pipeline, .body_bytes = bytes.size()};
}

ErrorKind EchoExchange::cut_short(SlotId id) {
  return slots_[id].received == 0 ? ErrorKind::reset : ErrorKind::length;
}

}  // namespace stackrig::rigload
