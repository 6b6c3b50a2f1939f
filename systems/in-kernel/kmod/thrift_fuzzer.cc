// SPDX-License-Identifier: Apache-2.0
// Any bytes, in any pieces, as BufferedSocket and ThriftSocket would meet them: the module's parser
// stays within the bytes, asks for no more than the limit, and finds what systems/lib/thrift finds.
extern "C" {
#include "byte_queue.h"
#include "forwarder_protocol.h"
}

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "thrift/forwarder.h"

namespace {

using stackrig::thrift::Kind;
using stackrig::thrift::Limits;
using stackrig::thrift::Status;

constexpr u32 kLimit = 4096;

void require(bool held) {
  if (!held) std::abort();
}

bool same_kind(Kind theirs, forwarder_kind ours) {
  switch (theirs) {
    case Kind::msg:
      return ours == FORWARDER_MSG;
    case Kind::connect:
      return ours == FORWARDER_CONNECT;
    case Kind::close:
      return ours == FORWARDER_CLOSE;
    default:
      return ours == FORWARDER_UNKNOWN;
  }
}

/// Exactly these bytes on the heap, so that the address sanitizer sees a read past the end.
void compare(const std::vector<u8>& bytes) {
  const auto theirs =
      stackrig::thrift::next(std::as_bytes(std::span(bytes)), Limits{.message = kLimit});
  ThriftMessage m{};
  const thrift_status ours = thrift_next(bytes.data(), static_cast<u32>(bytes.size()), kLimit, &m);
  if (ours == THRIFT_PARTIAL) {
    require(m.length > bytes.size() && m.length <= kLimit);
    // The library looks at arguments while it walks; the module once the message is whole.
    require(theirs.status != Status::message);
    if (theirs.status == Status::partial) require(theirs.length == m.length);
    return;
  }
  if (ours == THRIFT_MALFORMED) {
    require(theirs.status == Status::malformed);
    return;
  }
  require(m.length <= bytes.size());
  forwarder_request request{};
  if (!forwarder_parse(&m, &request)) {
    require(theirs.status == Status::malformed);
    return;
  }
  require(theirs.status == Status::message && theirs.length == m.length);
  require(same_kind(theirs.kind, request.kind) && theirs.wants_reply == request.wants_reply);
  require(theirs.sequence == m.sequence && theirs.method.size() == m.name_length);
  if (request.kind == FORWARDER_MSG || request.kind == FORWARDER_CONNECT) {
    require(theirs.key == request.key && theirs.payload.size() == request.text_length);
    require(std::equal(theirs.payload.begin(), theirs.payload.end(),
                       reinterpret_cast<const std::byte*>(request.text)));
  }
  u32 address = 0;
  if (request.kind == FORWARDER_CONNECT) {
    forwarder_parse_ipv4(reinterpret_cast<const char*>(request.text), request.text_length,
                         &address);
  }
  u8 reply[THRIFT_MAX_REPLY];
  require(thrift_write_unknown_method(reply, m.name, m.name_length, m.sequence) <= sizeof(reply));
}

/// The receiving side of ThriftSocket: how many whole messages come out of a stream in pieces.
std::size_t count_messages(const std::uint8_t* data, std::size_t size, std::size_t piece) {
  byte_queue queue{};
  require(byte_queue_init(&queue, 16) == 0);
  std::size_t fed = 0;
  std::size_t messages = 0;
  for (;;) {
    ThriftMessage m{};
    const u32 have = byte_queue_size(&queue);
    const thrift_status status = thrift_next(byte_queue_front(&queue), have, kLimit, &m);
    if (status == THRIFT_MALFORMED) break;
    if (status == THRIFT_WHOLE) {
      ++messages;
      require(byte_queue_consume(&queue, m.length) == m.length);
      continue;
    }
    if (fed == size) break;
    require(byte_queue_fit(&queue, m.length) == 0);
    u32 room = 0;
    u8* space = byte_queue_space(&queue, &room);
    require(room != 0);
    const std::size_t take = std::min({piece, size - fed, std::size_t{room}});
    std::memcpy(space, data + fed, take);
    byte_queue_commit(&queue, static_cast<u32>(take));
    fed += take;
  }
  byte_queue_free(&queue);
  return messages;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::size_t cuts = std::min<std::size_t>(size, 256);
  for (std::size_t n = 0; n < cuts; ++n) compare({data, data + n});
  compare({data, data + size});
  const std::size_t whole = count_messages(data, size, size + 1);
  require(count_messages(data, size, 1) == whole);
  require(count_messages(data, size, 7) == whole);
  return 0;
}
