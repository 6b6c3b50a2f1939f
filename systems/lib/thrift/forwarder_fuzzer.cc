// SPDX-License-Identifier: Apache-2.0
// Any bytes: the parser stays within them and within its limits, says the same however they are
// split, promises no length that is not so, and what it refers to lies in the message.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "thrift/forwarder.h"

namespace {

using stackrig::thrift::Bytes;
using stackrig::thrift::Limits;
using stackrig::thrift::next;
using stackrig::thrift::next_reply;
using stackrig::thrift::Request;
using stackrig::thrift::Status;

void require(bool held) {
  if (!held) std::abort();
}

/// Copies, so that the address sanitizer sees a read past the end.
Request parse(const std::byte* data, std::size_t size, const Limits& limits) {
  const Bytes bytes(data, data + size);
  Request r = next(bytes, limits);
  if (r.status != Status::message) return r;
  const auto within = [&](const void* p, std::size_t n) {
    const auto* at = static_cast<const std::byte*>(p);
    return n == 0 || (at >= bytes.data() && at + n <= bytes.data() + r.length);
  };
  require(r.length <= size && r.length <= limits.message);
  require(within(r.payload.data(), r.payload.size()));
  require(within(r.host.data(), r.host.size()) && within(r.method.data(), r.method.size()));
  return r;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Limits limits =
      data[0] % 2 == 0 ? Limits{} : Limits{.message = 64, .name = 8, .depth = 2, .values = 4};
  const auto* bytes = reinterpret_cast<const std::byte*>(data) + 1;
  const std::size_t count = size - 1;
  const Request whole = parse(bytes, count, limits);
  std::uint32_t promised = 0;
  for (std::size_t n = 0; n < count; ++n) {
    const Request cut = parse(bytes, n, limits);
    if (cut.status == Status::partial) {
      require(cut.length > n && cut.length <= limits.message && cut.length >= promised);
      promised = cut.length;
    } else {
      require(cut.status == whole.status);
      require(cut.status == Status::malformed || cut.length == whole.length);
    }
  }
  if (whole.status == Status::message) require(whole.length >= promised);
  const Bytes copy(bytes, bytes + count);
  (void)next_reply(copy, limits);
  return 0;
}
