// SPDX-License-Identifier: Apache-2.0
// Apache Thrift's binary protocol, strict and unframed: message headers, values that are stepped
// over, and a writer. All integers are big-endian.
//
//   message   i32 0x8001'0000 | type, string name, i32 sequence id, struct of arguments
//   struct    fields, then a byte 0; a field is a type byte, an i16 id and the value
//   string    i32 length, bytes
//   list, set type byte, i32 count, values;   map: two type bytes, i32 count, key and value in turn
//
// The protocol has no length in front: a message is as long as its parts say, so a reader walks
// over all of them. Cursor does that over bytes of which the end may still be missing, and says
// what is so: whole, partial (more bytes may make it whole) or malformed (none can). A message is
// called malformed as soon as one of its lengths cannot be met within the limits. Nothing is
// allocated; what is returned refers into the bytes. However the bytes are split, the outcome is
// the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace stackrig::thrift {

enum class MessageType : std::uint8_t { call = 1, reply = 2, exception = 3, oneway = 4 };

enum class FieldType : std::uint8_t {
  stop = 0,
  boolean = 2,
  byte = 3,
  f64 = 4,
  i16 = 6,
  i32 = 8,
  i64 = 10,
  string = 11,
  structure = 12,
  map = 13,
  set = 14,
  list = 15,
};

inline constexpr std::uint32_t kVersion =
    0x8001'0000;  ///< of strict messages; the type is or'ed in

struct Limits {
  std::uint32_t message = 1U << 20;  ///< bytes of a whole message
  std::uint32_t name = 256;          ///< bytes of a method's name
  unsigned depth = 16;               ///< containers within one another
  /// Fields, and elements that are not of a fixed size, that one message has; bounds what walking
  /// over it costs.
  unsigned values = 1024;
};

enum class Status : std::uint8_t { message, partial, malformed };

/// The part of a message before its arguments.
struct Header {
  MessageType type = MessageType::call;
  std::int32_t sequence = 0;
  std::string_view name;
};

/// A field's beginning; the value follows.
struct Field {
  FieldType type = FieldType::stop;
  std::int16_t id = 0;
};

/// Walks over one message. Each read says whether it could; after one that could not, status()
/// says why and the cursor is of no more use.
class Cursor {
 public:
  /// `bytes` from the first byte of a message on; may hold more than the message.
  Cursor(std::span<const std::byte> bytes, const Limits& limits)
      : bytes_(bytes), limits_(limits), values_left_(limits.values) {}

  bool read_header(Header& header);
  /// At the end of a struct the field's type is stop.
  bool read_field(Field& field);
  bool read_i32(std::int32_t& value);
  bool read_string(std::span<const std::byte>& value);
  /// Steps over a value of any type. A type that does not exist is malformed.
  bool skip(FieldType type) { return skip(type, 0); }

  /// message as long as every read could.
  [[nodiscard]] Status status() const { return status_; }
  /// Bytes read so far; where partial, bytes that the message has at least (more than were given).
  [[nodiscard]] std::uint32_t position() const { return position_; }
  /// For a caller that finds the contents wrong. Returns false.
  bool fail() {
    status_ = Status::malformed;
    return false;
  }

 private:
  bool need(std::uint64_t count);
  [[nodiscard]] const std::byte* here() const { return bytes_.data() + position_; }
  bool read_byte(std::uint8_t& value);
  bool read_count(std::uint32_t& count);
  bool skip_bytes(std::uint64_t count);
  bool take_value();
  bool skip(FieldType type, unsigned depth);
  bool skip_struct(unsigned depth);
  bool skip_list(unsigned depth);
  bool skip_map(unsigned depth);
  bool skip_elements(FieldType type, std::uint32_t count, unsigned depth);

  std::span<const std::byte> bytes_;
  Limits limits_;
  Status status_ = Status::message;
  std::uint32_t position_ = 0;
  unsigned values_left_;
};

/// Appends to bytes that the caller owns.
class Writer {
 public:
  explicit Writer(std::vector<std::byte>& out) : out_(out) {}

  void header(MessageType type, std::string_view name, std::int32_t sequence);
  void field(FieldType type, std::int16_t id);
  void stop() { byte(0); }
  void i32(std::int32_t value);
  void string(std::string_view value);
  void byte(std::uint8_t value) { out_.push_back(std::byte{value}); }

 private:
  std::vector<std::byte>& out_;
};

}  // namespace stackrig::thrift
