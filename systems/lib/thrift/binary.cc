// SPDX-License-Identifier: Apache-2.0
// Walking over a message, and writing one.
#include "thrift/binary.h"

#include "wire/byte_order.h"

namespace stackrig::thrift {
namespace {

std::uint32_t be32_at(const std::byte* p) {
  return reinterpret_cast<const wire::Be32*>(p)->get();
}

/// Bytes of a value of this type; 0 where that depends on the value.
unsigned fixed_size(FieldType type) {
  switch (type) {
    case FieldType::boolean:
    case FieldType::byte:
      return 1;
    case FieldType::i16:
      return 2;
    case FieldType::i32:
      return 4;
    case FieldType::i64:
    case FieldType::f64:
      return 8;
    default:
      return 0;
  }
}

}  // namespace

// --- reading
// ---------------------------------------------------------------------------------------

bool Cursor::need(std::uint64_t count) {
  if (count <= bytes_.size() - position_ && count <= limits_.message - position_) return true;
  if (count > limits_.message - position_) return fail();
  status_ = Status::partial;
  position_ += static_cast<std::uint32_t>(count);
  return false;
}

bool Cursor::skip_bytes(std::uint64_t count) {
  if (!need(count)) return false;
  position_ += static_cast<std::uint32_t>(count);
  return true;
}

bool Cursor::read_byte(std::uint8_t& value) {
  if (!need(1)) return false;
  value = std::to_integer<std::uint8_t>(*here());
  ++position_;
  return true;
}

bool Cursor::read_i32(std::int32_t& value) {
  if (!need(4)) return false;
  value = static_cast<std::int32_t>(be32_at(here()));
  position_ += 4;
  return true;
}

/// A length or a number of elements: an i32 that must not be negative.
bool Cursor::read_count(std::uint32_t& count) {
  std::int32_t value = 0;
  if (!read_i32(value)) return false;
  if (value < 0) return fail();
  count = static_cast<std::uint32_t>(value);
  return true;
}

bool Cursor::read_string(std::span<const std::byte>& value) {
  std::uint32_t length = 0;
  if (!read_count(length) || !need(length)) return false;
  value = {here(), length};
  position_ += length;
  return true;
}

/// The byte between version and type is not used, and any will do, as in Apache's own libraries.
bool Cursor::read_header(Header& header) {
  std::int32_t word = 0;
  if (!read_i32(word)) return false;
  const auto version = static_cast<std::uint32_t>(word);
  const std::uint32_t type = version & 0xff;
  if ((version & 0xffff'0000) != kVersion || type < 1 || type > 4) return fail();
  header.type = static_cast<MessageType>(type);
  std::uint32_t length = 0;
  if (!read_count(length)) return false;
  if (length > limits_.name) return fail();
  if (!need(length)) return false;
  header.name = {reinterpret_cast<const char*>(here()), length};
  position_ += length;
  return read_i32(header.sequence);
}

bool Cursor::take_value() {
  if (values_left_ == 0) return fail();
  --values_left_;
  return true;
}

bool Cursor::read_field(Field& field) {
  std::uint8_t type = 0;
  if (!read_byte(type)) return false;
  field.type = static_cast<FieldType>(type);
  if (field.type == FieldType::stop) return true;
  if (!take_value() || !need(2)) return false;
  field.id = static_cast<std::int16_t>(reinterpret_cast<const wire::Be16*>(here())->get());
  position_ += 2;
  return true;
}

// --- stepping over values
// --------------------------------------------------------------------------

bool Cursor::skip(FieldType type, unsigned depth) {
  if (const unsigned size = fixed_size(type); size != 0) return skip_bytes(size);
  if (depth == limits_.depth && type != FieldType::string) return fail();
  switch (type) {
    case FieldType::string: {
      std::uint32_t length = 0;
      return read_count(length) && skip_bytes(length);
    }
    case FieldType::structure:
      return skip_struct(depth + 1);
    case FieldType::map:
      return skip_map(depth + 1);
    case FieldType::set:
    case FieldType::list:
      return skip_list(depth + 1);
    default:
      return fail();
  }
}

bool Cursor::skip_struct(unsigned depth) {
  for (;;) {
    Field field;
    if (!read_field(field)) return false;
    if (field.type == FieldType::stop) return true;
    if (!skip(field.type, depth)) return false;
  }
}

/// The element type of an empty container is not looked at: some libraries write 0 there.
bool Cursor::skip_list(unsigned depth) {
  std::uint8_t type = 0;
  std::uint32_t count = 0;
  if (!read_byte(type) || !read_count(count)) return false;
  return skip_elements(static_cast<FieldType>(type), count, depth);
}

bool Cursor::skip_elements(FieldType type, std::uint32_t count, unsigned depth) {
  if (const unsigned size = fixed_size(type); size != 0) {
    return skip_bytes(std::uint64_t{count} * size);
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!take_value() || !skip(type, depth)) return false;
  }
  return true;
}

bool Cursor::skip_map(unsigned depth) {
  std::uint8_t key = 0;
  std::uint8_t value = 0;
  std::uint32_t count = 0;
  if (!read_byte(key) || !read_byte(value) || !read_count(count)) return false;
  const auto key_type = static_cast<FieldType>(key);
  const auto value_type = static_cast<FieldType>(value);
  const std::uint64_t key_size = fixed_size(key_type);
  const std::uint64_t value_size = fixed_size(value_type);
  if (key_size != 0 && value_size != 0) return skip_bytes(count * (key_size + value_size));
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!take_value() || !skip(key_type, depth) || !skip(value_type, depth)) return false;
  }
  return true;
}

// --- writing
// ---------------------------------------------------------------------------------------

void Writer::i32(std::int32_t value) {
  const auto v = static_cast<std::uint32_t>(value);
  for (const unsigned shift : {24U, 16U, 8U, 0U}) byte(static_cast<std::uint8_t>(v >> shift));
}

void Writer::string(std::string_view value) {
  i32(static_cast<std::int32_t>(value.size()));
  const auto* bytes = reinterpret_cast<const std::byte*>(value.data());
  out_.insert(out_.end(), bytes, bytes + value.size());
}

void Writer::header(MessageType type, std::string_view name, std::int32_t sequence) {
  i32(static_cast<std::int32_t>(kVersion | static_cast<std::uint32_t>(type)));
  string(name);
  i32(sequence);
}

void Writer::field(FieldType type, std::int16_t id) {
  byte(static_cast<std::uint8_t>(type));
  byte(static_cast<std::uint8_t>(static_cast<std::uint16_t>(id) >> 8));
  byte(static_cast<std::uint8_t>(id));
}

}  // namespace stackrig::thrift
