// SPDX-License-Identifier: Apache-2.0
// The forwarder's messages: read back as written, however they are cut; what is malformed is said
// to be so as soon as it can be known.
#include "thrift/forwarder.h"

#include <gtest/gtest.h>

#include <string>

namespace stackrig::thrift {
namespace {

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Everything that cuts a message short is partial, and promises no more than is true.
void expect_partial_until_whole(const Bytes& bytes) {
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const Request cut = next(std::span(bytes).first(n));
    EXPECT_EQ(cut.status, Status::partial) << "cut at " << n;
    EXPECT_GT(cut.length, n);
    EXPECT_LE(cut.length, bytes.size());
  }
  EXPECT_EQ(next(bytes).status, Status::message);
  EXPECT_EQ(next(bytes).length, bytes.size());
}

/// A message put together by hand.
class Made {
 public:
  Made(MessageType type, std::string_view name) { w().header(type, name, 7); }
  Made& i32(std::int16_t id, std::int32_t value) {
    w().field(FieldType::i32, id);
    w().i32(value);
    return *this;
  }
  Made& string(std::int16_t id, std::string_view value) {
    w().field(FieldType::string, id);
    w().string(value);
    return *this;
  }
  Made& raw(std::initializer_list<int> values) {
    for (const int v : values) w().byte(static_cast<std::uint8_t>(v));
    return *this;
  }
  Bytes end() {
    w().stop();
    return bytes_;
  }

 private:
  Writer w() { return Writer(bytes_); }

  Bytes bytes_;
};

Status status_of(const Bytes& bytes) {
  return next(bytes).status;
}

constexpr auto kCall = MessageType::call;
constexpr auto kOneway = MessageType::oneway;

TEST(ForwarderMsg, IsReadAsWritten) {
  Bytes bytes;
  write_msg(bytes, 5, -3, "payload");
  EXPECT_EQ(bytes.size(), kMsgOverhead + 7);
  const Request r = next(bytes);
  ASSERT_EQ(r.status, Status::message);
  EXPECT_EQ(r.kind, Kind::msg);
  EXPECT_FALSE(r.wants_reply);
  EXPECT_EQ(r.length, bytes.size());
  EXPECT_EQ(r.sequence, 5);
  EXPECT_EQ(r.key, -3);
  EXPECT_EQ(text_of(r.payload), "payload");
  EXPECT_EQ(static_cast<std::size_t>(r.payload.data() - bytes.data()), kMsgPayloadAt);
  expect_partial_until_whole(bytes);
}

TEST(ForwarderMsg, HasItsPartsWhereTheOffsetsSay) {
  Bytes bytes;
  write_msg(bytes, 0x01020304, 0x11121314, "");
  EXPECT_EQ(bytes[kMsgSequenceAt], std::byte{1});
  EXPECT_EQ(bytes[kMsgSequenceAt + 3], std::byte{4});
  EXPECT_EQ(bytes[kMsgKeyAt], std::byte{0x11});
  EXPECT_EQ(bytes[kMsgKeyAt + 3], std::byte{0x14});
}

TEST(ForwarderMsg, EndsWhereTheNextBegins) {
  Bytes bytes;
  write_msg(bytes, 1, 1, "one");
  const std::size_t first = bytes.size();
  write_msg(bytes, 2, 2, "two");
  EXPECT_EQ(next(bytes).length, first);
  EXPECT_EQ(next(std::span(bytes).subspan(first)).key, 2);
}

TEST(ForwarderMsg, FieldsComeInAnyOrder) {
  const Bytes bytes = Made(kOneway, "msg").string(2, "text").i32(1, 9).end();
  expect_partial_until_whole(bytes);
  EXPECT_EQ(next(bytes).key, 9);
  EXPECT_EQ(text_of(next(bytes).payload), "text");
}

TEST(ForwarderMsg, UnknownFieldsAreSteppedOver) {
  const Bytes bytes = Made(kOneway, "msg")
                          .raw({12, 0, 9, 2, 0, 1, 1, 0})               // 9: struct{1: bool}
                          .i32(1, 9)                                    //
                          .raw({15, 0, 3, 11, 0, 0, 0, 1, 0, 0, 0, 0})  // 3: list<string>{""}
                          .string(2, "text")
                          .i32(-1, 4)
                          .end();
  expect_partial_until_whole(bytes);
  EXPECT_EQ(next(bytes).key, 9);
  EXPECT_EQ(text_of(next(bytes).payload), "text");
}

TEST(ForwarderMsg, MayHaveTypeCallAsOldClientsSentIt) {
  const Request r = next(Made(kCall, "msg").i32(1, 9).string(2, "").end());
  EXPECT_EQ(r.kind, Kind::msg);
  EXPECT_FALSE(r.wants_reply);
}

TEST(ForwarderMsg, WrongTypesAreMalformed) {
  EXPECT_EQ(status_of(Made(kOneway, "msg").string(1, "abcd").string(2, "").end()),
            Status::malformed);
  EXPECT_EQ(status_of(Made(kOneway, "msg").i32(1, 1).i32(2, 1).end()), Status::malformed);
  for (int type = 1; type < 256; ++type) {
    if (type == 8) continue;
    EXPECT_EQ(status_of(Made(kOneway, "msg").raw({type, 0, 1, 0, 0, 0, 0}).end()),
              Status::malformed)
        << type;
  }
}

TEST(ForwarderMsg, ArgumentsMustBeThereOnce) {
  EXPECT_EQ(status_of(Made(kOneway, "msg").end()), Status::malformed);
  EXPECT_EQ(status_of(Made(kOneway, "msg").i32(1, 1).end()), Status::malformed);
  EXPECT_EQ(status_of(Made(kOneway, "msg").string(2, "").end()), Status::malformed);
  EXPECT_EQ(status_of(Made(kOneway, "msg").i32(1, 1).i32(1, 1).string(2, "").end()),
            Status::malformed);
}

TEST(ForwarderMsg, LengthsThatCannotBeAreMalformedAtOnce) {
  for (const auto& length :
       {std::array{0xff, 0xff, 0xff, 0xff}, {0x80, 0, 0, 0}, {0x7f, 0, 0, 0}}) {
    Made made = Made(kOneway, "msg").i32(1, 1).raw({11, 0, 2});
    made.raw({length[0], length[1], length[2], length[3]});
    EXPECT_EQ(status_of(made.end()), Status::malformed);
  }
}

TEST(ForwarderMsg, LargestIsWithinTheLimit) {
  const Limits limits{.message = 100};
  Bytes fits;
  write_msg(fits, 1, 1, std::string(100 - kMsgOverhead, 'x'));
  EXPECT_EQ(next(fits, limits).status, Status::message);
  Bytes longer;
  write_msg(longer, 1, 1, std::string(101 - kMsgOverhead, 'x'));
  EXPECT_EQ(next(longer, limits).status, Status::malformed);
  EXPECT_EQ(next(std::span(longer).first(kMsgPayloadAt), limits).status, Status::partial)
      << "that the end does not fit shows only at the end";
}

TEST(ForwarderMsg, RepliesAreMalformed) {
  EXPECT_EQ(status_of(Made(MessageType::reply, "msg").end()), Status::malformed);
  EXPECT_EQ(status_of(Made(MessageType::exception, "x").end()), Status::malformed);
}

TEST(ForwarderConnect, IsReadAsWritten) {
  Bytes bytes;
  write_connect(bytes, 6, 19, "10.0.0.1", 5001);
  const Request r = next(bytes);
  ASSERT_EQ(r.status, Status::message);
  EXPECT_EQ(r.kind, Kind::connect);
  EXPECT_TRUE(r.wants_reply);
  EXPECT_EQ(r.sequence, 6);
  EXPECT_EQ(r.key, 19);
  EXPECT_EQ(r.host, "10.0.0.1");
  EXPECT_EQ(r.port, 5001);
  expect_partial_until_whole(bytes);
}

TEST(ForwarderConnect, MustBeACallWithAllArguments) {
  EXPECT_EQ(status_of(Made(kOneway, "connect").i32(1, 1).string(2, "").i32(3, 1).end()),
            Status::malformed);
  EXPECT_EQ(status_of(Made(kCall, "connect").i32(1, 1).string(2, "").end()), Status::malformed);
  EXPECT_EQ(status_of(Made(kCall, "connect").i32(1, 1).string(2, "").string(3, "").end()),
            Status::malformed);
}

TEST(ForwarderClose, IsReadAsWritten) {
  Bytes bytes;
  write_close(bytes, 8);
  EXPECT_EQ(next(bytes).kind, Kind::close);
  EXPECT_EQ(next(bytes).sequence, 8);
  EXPECT_TRUE(next(bytes).wants_reply);
  expect_partial_until_whole(bytes);
  EXPECT_EQ(status_of(Made(kCall, "close").i32(1, 1).end()), Status::message)
      << "a field that close does not know";
}

TEST(ForwarderUnknown, IsSteppedOverWhole) {
  const Bytes bytes = Made(kCall, "ping").i32(1, 1).string(2, "x").end();
  expect_partial_until_whole(bytes);
  const Request r = next(bytes);
  EXPECT_EQ(r.kind, Kind::unknown);
  EXPECT_EQ(r.method, "ping");
  EXPECT_TRUE(r.wants_reply);
  EXPECT_FALSE(next(Made(kOneway, "ping").end()).wants_reply);
  EXPECT_EQ(next(Made(kCall, "msgs").end()).kind, Kind::unknown);
  EXPECT_EQ(next(Made(kCall, "").end()).kind, Kind::unknown);
}

void expect_reply(const Bytes& bytes, std::string_view method, std::int32_t value) {
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_EQ(next_reply(std::span(bytes).first(n)).status, Status::partial) << "cut at " << n;
  }
  const Reply r = next_reply(bytes);
  EXPECT_EQ(r.status, Status::message);
  EXPECT_EQ(r.length, bytes.size());
  EXPECT_EQ(r.method, method);
  EXPECT_EQ(r.sequence, 3);
  EXPECT_EQ(r.value, value);
}

TEST(ForwarderReply, IsReadAsWritten) {
  Bytes connect, close, unknown;
  write_connect_reply(connect, 3, 111);
  expect_reply(connect, "connect", 111);
  write_close_reply(close, 3, 20);
  expect_reply(close, "close", 20);
  write_unknown_method(unknown, 3, "ping");
  expect_reply(unknown, "ping", kUnknownMethod);
  EXPECT_TRUE(next_reply(unknown).is_exception);
  EXPECT_FALSE(next_reply(close).is_exception);
}

TEST(ForwarderReply, MustHaveAResult) {
  EXPECT_EQ(next_reply(Made(MessageType::reply, "close").end()).status, Status::malformed);
  EXPECT_EQ(next_reply(Made(kCall, "close").end()).status, Status::malformed);
}

}  // namespace
}  // namespace stackrig::thrift
