// SPDX-License-Identifier: Apache-2.0
// The forwarder's service (Slick 3.3), as servers and clients of it read and write it:
//
//   service Forwarder {
//     i32 connect(1: i32 key, 2: string host, 3: i32 port)   // 0, or an errno
//     i32 close()                                            // how many backends there were
//     oneway void msg(1: i32 key, 2: string payload)         // listing 3.2
//   }
//
// Arguments may come in any order, and fields that are not known are stepped over. Every argument
// must be there, once, and of its type; a message that breaks this is malformed. msg is taken with
// type call too, as clients of the paper's time sent it, and has no reply either way; connect and
// close have type call. A reply or an exception is malformed here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "thrift/binary.h"

namespace stackrig::thrift {

inline constexpr std::uint16_t kForwarderPort = 9090;

enum class Kind : std::uint8_t { msg, connect, close, unknown };

struct Request {
  Status status = Status::partial;
  /// Bytes of the message; where partial, bytes that it has at least: with fewer there is nothing
  /// more to be found out.
  std::uint32_t length = 0;
  Kind kind = Kind::unknown;
  bool wants_reply = false;  ///< a reply, or for an unknown method an exception
  std::int32_t sequence = 0;
  std::string_view method;
  std::int32_t key = 0;                ///< msg, connect
  std::span<const std::byte> payload;  ///< msg
  std::string_view host;               ///< connect, as it was sent
  std::int32_t port = 0;               ///< connect, as it was sent: may be no port number
};

/// The message that `bytes` begin with. Where status is not message only `length` holds.
Request next(std::span<const std::byte> bytes, const Limits& limits = {});

/// What a server answers.
struct Reply {
  Status status = Status::partial;
  std::uint32_t length = 0;  ///< as in Request
  bool is_exception = false;
  std::int32_t sequence = 0;
  std::string_view method;
  /// The result; of an exception, its code (kUnknownMethod); 0 where it names none.
  std::int32_t value = 0;
};

/// The reply to connect or close, or the exception, that `bytes` begin with. A call is malformed.
Reply next_reply(std::span<const std::byte> bytes, const Limits& limits = {});

inline constexpr std::int32_t kUnknownMethod = 1;  ///< of TApplicationException

// All append one whole message.
using Bytes = std::vector<std::byte>;
void write_msg(Bytes& out, std::int32_t sequence, std::int32_t key, std::string_view payload);
void write_connect(Bytes& out, std::int32_t sequence, std::int32_t key, std::string_view host,
                   std::int32_t port);
void write_close(Bytes& out, std::int32_t sequence);
void write_connect_reply(Bytes& out, std::int32_t sequence, std::int32_t error);
void write_close_reply(Bytes& out, std::int32_t sequence, std::int32_t backends);
void write_unknown_method(Bytes& out, std::int32_t sequence, std::string_view method);

/// Where things stand in what write_msg() writes.
inline constexpr std::size_t kMsgSequenceAt = 11;
inline constexpr std::size_t kMsgKeyAt = 18;
inline constexpr std::size_t kMsgPayloadAt = 29;
inline constexpr std::size_t kMsgOverhead = 30;  ///< bytes of a msg besides its payload

}  // namespace stackrig::thrift
