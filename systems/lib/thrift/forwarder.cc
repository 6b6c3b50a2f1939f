// SPDX-License-Identifier: Apache-2.0
// Reading and writing what a forwarder and its clients say.
#include "thrift/forwarder.h"

#include <string>

namespace stackrig::thrift {
namespace {

constexpr std::string_view kMsg = "msg";
constexpr std::string_view kConnect = "connect";
constexpr std::string_view kClose = "close";

Kind kind_of(std::string_view method) {
  if (method == kMsg) return Kind::msg;
  if (method == kConnect) return Kind::connect;
  if (method == kClose) return Kind::close;
  return Kind::unknown;
}

/// A set bit per argument that a message must have, and that it had.
class Arguments {
 public:
  explicit Arguments(unsigned wanted) : wanted_((1U << (wanted + 1)) - 2) {}
  /// False for one that was there before.
  bool take(std::int16_t id) {
    const unsigned bit = 1U << static_cast<unsigned>(id);
    if ((seen_ & bit) != 0) return false;
    seen_ |= bit;
    return true;
  }
  [[nodiscard]] bool complete() const { return seen_ == wanted_; }

 private:
  unsigned wanted_;
  unsigned seen_ = 0;
};

unsigned arguments_of(Kind kind) {
  switch (kind) {
    case Kind::msg:
      return 2;
    case Kind::connect:
      return 3;
    default:
      return 0;
  }
}

bool read_argument(Cursor& in, Field field, Request& r) {
  if (field.id == 2) {
    if (field.type != FieldType::string) return in.fail();
    std::span<const std::byte> text;
    if (!in.read_string(text)) return false;
    r.payload = text;
    r.host = {reinterpret_cast<const char*>(text.data()), text.size()};
    return true;
  }
  if (field.type != FieldType::i32) return in.fail();
  return in.read_i32(field.id == 1 ? r.key : r.port);
}

bool read_arguments(Cursor& in, Request& r) {
  const unsigned count = arguments_of(r.kind);
  Arguments arguments(count);
  for (;;) {
    Field field;
    if (!in.read_field(field)) return false;
    if (field.type == FieldType::stop) return arguments.complete() || in.fail();
    const bool known = field.id >= 1 && field.id <= static_cast<int>(count);
    if (known && !arguments.take(field.id)) return in.fail();
    if (!(known ? read_argument(in, field, r) : in.skip(field.type))) return false;
  }
}

bool type_fits(Kind kind, MessageType type) {
  if (type == MessageType::call) return true;
  return type == MessageType::oneway && (kind == Kind::msg || kind == Kind::unknown);
}

bool read_request(Cursor& in, Request& r) {
  Header header;
  if (!in.read_header(header)) return false;
  r.kind = kind_of(header.name);
  if (!type_fits(r.kind, header.type)) return in.fail();
  r.wants_reply = header.type == MessageType::call && r.kind != Kind::msg;
  r.sequence = header.sequence;
  r.method = header.name;
  return read_arguments(in, r);
}

/// A result is field 0 of a reply's struct; an exception's code is field 2 of its own.
bool read_reply(Cursor& in, Reply& r) {
  Header header;
  if (!in.read_header(header)) return false;
  r.is_exception = header.type == MessageType::exception;
  if (!r.is_exception && header.type != MessageType::reply) return in.fail();
  r.sequence = header.sequence;
  r.method = header.name;
  const std::int16_t wanted = r.is_exception ? 2 : 0;
  bool found = false;
  for (;;) {
    Field field;
    if (!in.read_field(field)) return false;
    if (field.type == FieldType::stop) return found || r.is_exception || in.fail();
    if (field.id == wanted && field.type == FieldType::i32) {
      found = true;
      if (!in.read_i32(r.value)) return false;
    } else if (!in.skip(field.type)) {
      return false;
    }
  }
}

void write_result(Bytes& out, std::string_view method, std::int32_t sequence, std::int32_t value) {
  Writer w(out);
  w.header(MessageType::reply, method, sequence);
  w.field(FieldType::i32, 0);
  w.i32(value);
  w.stop();
}

}  // namespace

Request next(std::span<const std::byte> bytes, const Limits& limits) {
  Request r;
  Cursor in(bytes, limits);
  read_request(in, r);
  r.status = in.status();
  r.length = in.position();
  return r;
}

Reply next_reply(std::span<const std::byte> bytes, const Limits& limits) {
  Reply r;
  Cursor in(bytes, limits);
  read_reply(in, r);
  r.status = in.status();
  r.length = in.position();
  return r;
}

void write_msg(Bytes& out, std::int32_t sequence, std::int32_t key, std::string_view payload) {
  Writer w(out);
  w.header(MessageType::oneway, kMsg, sequence);
  w.field(FieldType::i32, 1);
  w.i32(key);
  w.field(FieldType::string, 2);
  w.string(payload);
  w.stop();
}

void write_connect(Bytes& out, std::int32_t sequence, std::int32_t key, std::string_view host,
                   std::int32_t port) {
  Writer w(out);
  w.header(MessageType::call, kConnect, sequence);
  w.field(FieldType::i32, 1);
  w.i32(key);
  w.field(FieldType::string, 2);
  w.string(host);
  w.field(FieldType::i32, 3);
  w.i32(port);
  w.stop();
}

void write_close(Bytes& out, std::int32_t sequence) {
  Writer w(out);
  w.header(MessageType::call, kClose, sequence);
  w.stop();
}

void write_connect_reply(Bytes& out, std::int32_t sequence, std::int32_t error) {
  write_result(out, kConnect, sequence, error);
}

void write_close_reply(Bytes& out, std::int32_t sequence, std::int32_t backends) {
  write_result(out, kClose, sequence, backends);
}

void write_unknown_method(Bytes& out, std::int32_t sequence, std::string_view method) {
  Writer w(out);
  w.header(MessageType::exception, method, sequence);
  w.field(FieldType::string, 1);
  w.string("Invalid method name: '" + std::string(method) + "'");
  w.field(FieldType::i32, 2);
  w.i32(kUnknownMethod);
  w.stop();
}

}  // namespace stackrig::thrift
