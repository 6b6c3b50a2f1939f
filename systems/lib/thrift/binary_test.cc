// SPDX-License-Identifier: Apache-2.0
// Values that are stepped over, message headers, and what ends them: missing bytes, lengths that
// cannot be, limits.
#include "thrift/binary.h"

#include <gtest/gtest.h>

#include <string>

namespace stackrig::thrift {
namespace {

using Bytes = std::vector<std::byte>;

Bytes raw(std::initializer_list<int> values) {
  Bytes bytes;
  for (const int v : values) bytes.push_back(static_cast<std::byte>(v));
  return bytes;
}

/// Status and position after stepping over one value.
struct Skipped {
  Status status;
  std::uint32_t position;
  bool operator==(const Skipped&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Skipped& s) {
  return out << "{status " << static_cast<int>(s.status) << ", position " << s.position << "}";
}

Skipped skip(FieldType type, const Bytes& bytes, const Limits& limits = {}) {
  Cursor in(bytes, limits);
  in.skip(type);
  return {in.status(), in.position()};
}

/// Whole with all its bytes, partial with fewer, and untouched by what follows.
void expect_whole(FieldType type, const Bytes& value) {
  for (std::size_t n = 0; n < value.size(); ++n) {
    const Skipped cut = skip(type, Bytes(value.begin(), value.begin() + static_cast<long>(n)));
    EXPECT_EQ(cut.status, Status::partial) << "cut at " << n;
    EXPECT_GT(cut.position, n);
    EXPECT_LE(cut.position, value.size());
  }
  Bytes more = value;
  const auto length = static_cast<std::uint32_t>(value.size());
  EXPECT_EQ(skip(type, more), (Skipped{Status::message, length}));
  more.push_back(std::byte{0xff});
  EXPECT_EQ(skip(type, more), (Skipped{Status::message, length}));
}

TEST(ThriftSkip, StepsOverValuesOfFixedSize) {
  expect_whole(FieldType::boolean, raw({1}));
  expect_whole(FieldType::byte, raw({0x80}));
  expect_whole(FieldType::i16, raw({0, 1}));
  expect_whole(FieldType::i32, raw({0, 0, 0, 1}));
  expect_whole(FieldType::i64, raw({0, 0, 0, 0, 0, 0, 0, 1}));
  expect_whole(FieldType::f64, raw({0, 0, 0, 0, 0, 0, 0, 1}));
}

TEST(ThriftSkip, StepsOverStringsAndContainers) {
  expect_whole(FieldType::string, raw({0, 0, 0, 3, 'a', 'b', 'c'}));
  expect_whole(FieldType::string, raw({0, 0, 0, 0}));
  expect_whole(FieldType::structure, raw({0}));
  expect_whole(FieldType::structure, raw({6, 0, 1, 0, 9, 2, 0, 2, 1, 0}));
  expect_whole(FieldType::list, raw({6, 0, 0, 0, 2, 0, 1, 0, 2}));
  expect_whole(FieldType::set, raw({11, 0, 0, 0, 2, 0, 0, 0, 1, 'a', 0, 0, 0, 0}));
  expect_whole(FieldType::map, raw({3, 6, 0, 0, 0, 1, 7, 0, 8}));
  expect_whole(FieldType::map, raw({11, 3, 0, 0, 0, 1, 0, 0, 0, 1, 'k', 9}));
}

TEST(ThriftSkip, StepsOverContainersWithinContainers) {
  // list<map<byte, struct{1: list<set<bool>>}>>
  expect_whole(FieldType::list, raw({13, 0,  0, 0, 1, 3, 12, 0, 0, 0, 1, 5, 15, 0,
                                     1,  14, 0, 0, 0, 1, 2,  0, 0, 0, 2, 0, 1,  0}));
}

TEST(ThriftSkip, EmptyContainersMayHaveAnyElementType) {
  expect_whole(FieldType::list, raw({0, 0, 0, 0, 0}));
  expect_whole(FieldType::map, raw({0, 99, 0, 0, 0, 0}));
}

TEST(ThriftSkip, RefusesTypesThatDoNotExist) {
  for (const int type : {0, 1, 5, 7, 9, 16, 17, 127, 255}) {
    EXPECT_EQ(skip(static_cast<FieldType>(type), Bytes(16)).status, Status::malformed) << type;
    EXPECT_EQ(skip(FieldType::list, raw({type, 0, 0, 0, 1, 0, 0, 0, 0})).status, Status::malformed)
        << type;
    EXPECT_EQ(skip(FieldType::map, raw({3, type, 0, 0, 0, 1, 0, 0, 0, 0, 0})).status,
              Status::malformed)
        << type;
    if (type != 0) {
      EXPECT_EQ(skip(FieldType::structure, raw({type, 0, 1, 0, 0, 0, 0, 0})).status,
                Status::malformed)
          << type;
    }
  }
}

TEST(ThriftSkip, RefusesNegativeAndHugeLengthsAtOnce) {
  EXPECT_EQ(skip(FieldType::string, raw({0xff, 0xff, 0xff, 0xff})).status, Status::malformed);
  EXPECT_EQ(skip(FieldType::string, raw({0x80, 0, 0, 0})).status, Status::malformed);
  EXPECT_EQ(skip(FieldType::string, raw({0x7f, 0xff, 0xff, 0xff})).status, Status::malformed);
  EXPECT_EQ(skip(FieldType::list, raw({10, 0x7f, 0xff, 0xff, 0xff})).status, Status::malformed);
  EXPECT_EQ(skip(FieldType::list, raw({10, 0x80, 0, 0, 0})).status, Status::malformed);
  EXPECT_EQ(skip(FieldType::map, raw({10, 10, 0x7f, 0xff, 0xff, 0xff})).status, Status::malformed);
  EXPECT_EQ(skip(FieldType::map, raw({10, 11, 0xff, 0, 0, 0})).status, Status::malformed);
}

TEST(ThriftSkip, LimitsWhatAMessageIsLong) {
  const Limits limits{.message = 10};
  EXPECT_EQ(skip(FieldType::string, raw({0, 0, 0, 6}), limits), (Skipped{Status::partial, 10}));
  EXPECT_EQ(skip(FieldType::string, raw({0, 0, 0, 7}), limits).status, Status::malformed);
}

TEST(ThriftSkip, LimitsDepth) {
  // Structs within one another: 16 are allowed.
  for (const int depth : {16, 17}) {
    Bytes value;
    for (int i = 1; i < depth; ++i) {
      for (const int b : {12, 0, 1}) value.push_back(static_cast<std::byte>(b));
    }
    value.insert(value.end(), static_cast<std::size_t>(depth), std::byte{0});
    EXPECT_EQ(skip(FieldType::structure, value).status,
              depth == 16 ? Status::message : Status::malformed);
  }
}

TEST(ThriftSkip, LimitsValues) {
  const Limits limits{.values = 3};
  EXPECT_EQ(skip(FieldType::list, raw({12, 0, 0, 0, 3, 0, 0, 0}), limits).status, Status::message);
  EXPECT_EQ(skip(FieldType::list, raw({12, 0, 0, 0, 4, 0, 0, 0, 0}), limits).status,
            Status::malformed);
  EXPECT_EQ(skip(FieldType::list, raw({3, 0, 0, 0, 4, 0, 0, 0, 0}), limits).status, Status::message)
      << "elements of a fixed size cost nothing each";
}

Bytes header(std::uint32_t word, std::string_view name, std::int32_t sequence) {
  Bytes bytes;
  Writer w(bytes);
  w.i32(static_cast<std::int32_t>(word));
  w.string(name);
  w.i32(sequence);
  return bytes;
}

TEST(ThriftHeader, IsReadHoweverItIsCut) {
  const Bytes bytes = header(kVersion | 4, "msg", 0x01020304);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    Header h;
    const auto cut = std::span(bytes).first(n);
    Cursor in(cut, {});
    EXPECT_FALSE(in.read_header(h));
    EXPECT_EQ(in.status(), Status::partial) << "cut at " << n;
  }
  Header h;
  Cursor in(bytes, {});
  ASSERT_TRUE(in.read_header(h));
  EXPECT_EQ(h.type, MessageType::oneway);
  EXPECT_EQ(h.name, "msg");
  EXPECT_EQ(h.sequence, 0x01020304);
  EXPECT_EQ(in.position(), 15U);
}

Status status_of_header(const Bytes& bytes) {
  Header h;
  Cursor in(bytes, {});
  in.read_header(h);
  return in.status();
}

TEST(ThriftHeader, MustBeStrictAndOfAKnownType) {
  EXPECT_EQ(status_of_header(header(kVersion | 1, "x", 0)), Status::message);
  EXPECT_EQ(status_of_header(header(kVersion | 0x100 | 1, "x", 0)), Status::message)
      << "the byte between version and type is not used";
  EXPECT_EQ(status_of_header(header(kVersion, "x", 0)), Status::malformed);
  EXPECT_EQ(status_of_header(header(kVersion | 5, "x", 0)), Status::malformed);
  EXPECT_EQ(status_of_header(header(0x8002'0001, "x", 0)), Status::malformed);
  EXPECT_EQ(status_of_header(header(0x0001'0001, "x", 0)), Status::malformed);
  EXPECT_EQ(status_of_header(raw({0, 0, 0, 3, 'm', 's', 'g', 1})), Status::malformed)
      << "the old form, without version";
}

TEST(ThriftHeader, NameIsLimited) {
  EXPECT_EQ(status_of_header(header(kVersion | 1, std::string(256, 'x'), 0)), Status::message);
  EXPECT_EQ(status_of_header(header(kVersion | 1, std::string(257, 'x'), 0)), Status::malformed);
  EXPECT_EQ(status_of_header(raw({0x80, 1, 0, 1, 0xff, 0xff, 0xff, 0xfe})), Status::malformed);
}

}  // namespace
}  // namespace stackrig::thrift
