// SPDX-License-Identifier: Apache-2.0
// What the module takes for a message, against what systems/lib/thrift writes and reads.
extern "C" {
#include "forwarder_protocol.h"
}

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "thrift/forwarder.h"

namespace {

using stackrig::thrift::Bytes;
using stackrig::thrift::FieldType;
using stackrig::thrift::MessageType;
using stackrig::thrift::Writer;

constexpr u32 kLimit = 65536;

const u8* octets(const Bytes& bytes) {
  return reinterpret_cast<const u8*>(bytes.data());
}

thrift_status next(const Bytes& bytes, ThriftMessage& m, u32 limit = kLimit) {
  return thrift_next(octets(bytes), static_cast<u32>(bytes.size()), limit, &m);
}

thrift_status status_of(const Bytes& bytes, u32 limit = kLimit) {
  ThriftMessage m{};
  return next(bytes, m, limit);
}

std::string_view text(const u8* at, u32 length) {
  return {reinterpret_cast<const char*>(at), length};
}

struct Parsed {
  bool good = false;
  forwarder_request request{};
};

Parsed parse(const Bytes& bytes) {
  ThriftMessage m{};
  Parsed parsed;
  if (next(bytes, m) != THRIFT_WHOLE) return parsed;
  parsed.good = forwarder_parse(&m, &parsed.request);
  return parsed;
}

TEST(ThriftNext, FindsTheEndOfAMessage) {
  Bytes bytes;
  stackrig::thrift::write_msg(bytes, 7, 3, "payload");
  const std::size_t length = bytes.size();
  stackrig::thrift::write_msg(bytes, 8, 4, "next");
  ThriftMessage m{};
  ASSERT_EQ(next(bytes, m), THRIFT_WHOLE);
  EXPECT_EQ(m.length, length);
  EXPECT_EQ(m.type, THRIFT_ONEWAY);
  EXPECT_EQ(m.sequence, 7);
  EXPECT_EQ(text(m.name, m.name_length), "msg");
}

TEST(ThriftNext, IsPartialAtEveryByteAndPromisesNoMoreThanThereIs) {
  Bytes bytes;
  stackrig::thrift::write_connect(bytes, 7, 3, "192.0.2.1", 9);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    const Bytes part(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(cut));
    ThriftMessage m{};
    ASSERT_EQ(next(part, m), THRIFT_PARTIAL) << cut;
    EXPECT_GT(m.length, cut);
    EXPECT_LE(m.length, bytes.size());
  }
}

TEST(ThriftNext, LengthsBeyondTheLimitAreMalformedAtOnce) {
  Bytes bytes;
  Writer w(bytes);
  w.header(MessageType::oneway, "msg", 1);
  w.field(FieldType::string, 2);
  w.i32(0x7fff'ffff);
  EXPECT_EQ(status_of(bytes), THRIFT_MALFORMED);
}

TEST(ThriftNext, TheLimitIsOfTheWholeMessage) {
  Bytes bytes;
  stackrig::thrift::write_msg(bytes, 1, 1, std::string(100, 'x'));
  const auto length = static_cast<u32>(bytes.size());
  EXPECT_EQ(status_of(bytes, length), THRIFT_WHOLE);
  EXPECT_EQ(status_of(bytes, length - 1), THRIFT_MALFORMED);
}

TEST(ThriftNext, NegativeLengthsAreMalformed) {
  Bytes bytes;
  Writer w(bytes);
  w.header(MessageType::oneway, "msg", 1);
  w.field(FieldType::string, 2);
  w.i32(-1);
  EXPECT_EQ(status_of(bytes), THRIFT_MALFORMED);
}

TEST(ThriftNext, OtherVersionsAndTypesAreMalformed) {
  for (const u32 word : {0x00000001U, 0x80020001U, 0x80010000U, 0x80010005U}) {
    Bytes bytes;
    Writer(bytes).i32(static_cast<std::int32_t>(word));
    EXPECT_EQ(status_of(bytes), THRIFT_MALFORMED) << std::hex << word;
  }
}

TEST(ThriftNext, AHugeContainerOfFixedSizeDoesNotOverflow) {
  Bytes bytes;
  Writer w(bytes);
  w.header(MessageType::call, "any", 1);
  w.field(FieldType::map, 1);
  w.byte(static_cast<u8>(FieldType::i64));
  w.byte(static_cast<u8>(FieldType::i64));
  w.i32(0x7fff'ffff);
  EXPECT_EQ(status_of(bytes), THRIFT_MALFORMED);
}

Bytes nested(unsigned depth) {
  Bytes bytes;
  Writer w(bytes);
  w.header(MessageType::call, "any", 1);
  w.field(FieldType::structure, 1);
  for (unsigned i = 1; i < depth; ++i) w.field(FieldType::structure, 1);
  for (unsigned i = 0; i < depth; ++i) w.stop();
  w.stop();
  return bytes;
}

TEST(ThriftNext, NestsAsDeepAsAllowedAndNoDeeper) {
  EXPECT_EQ(status_of(nested(THRIFT_MAX_DEPTH)), THRIFT_WHOLE);
  EXPECT_EQ(status_of(nested(THRIFT_MAX_DEPTH + 1)), THRIFT_MALFORMED);
}

TEST(ThriftNext, ValuesAreCounted) {
  for (const unsigned strings : {THRIFT_MAX_VALUES - 1U, THRIFT_MAX_VALUES + 0U}) {
    Bytes bytes;
    Writer w(bytes);
    w.header(MessageType::call, "any", 1);
    w.field(FieldType::list, 1);
    w.byte(static_cast<u8>(FieldType::string));
    w.i32(static_cast<std::int32_t>(strings));
    for (unsigned i = 0; i < strings; ++i) w.i32(0);
    w.stop();
    EXPECT_EQ(status_of(bytes), strings < THRIFT_MAX_VALUES ? THRIFT_WHOLE : THRIFT_MALFORMED);
  }
}

TEST(ForwarderParse, ReadsAMessage) {
  Bytes bytes;
  stackrig::thrift::write_msg(bytes, 7, -3, "payload");
  const Parsed p = parse(bytes);
  ASSERT_TRUE(p.good);
  EXPECT_EQ(p.request.kind, FORWARDER_MSG);
  EXPECT_FALSE(p.request.wants_reply);
  EXPECT_EQ(p.request.key, -3);
  EXPECT_EQ(text(p.request.text, p.request.text_length), "payload");
}

TEST(ForwarderParse, ReadsConnectWithFieldsInAnyOrderAndUnknownOnes) {
  Bytes bytes;
  Writer w(bytes);
  w.header(MessageType::call, "connect", 1);
  w.field(FieldType::i32, 3);
  w.i32(5001);
  w.field(FieldType::list, 9);
  w.byte(static_cast<u8>(FieldType::string));
  w.i32(1);
  w.string("not known");
  w.field(FieldType::string, 2);
  w.string("192.0.2.1");
  w.field(FieldType::i32, 1);
  w.i32(4);
  w.stop();
  const Parsed p = parse(bytes);
  ASSERT_TRUE(p.good);
  EXPECT_EQ(p.request.kind, FORWARDER_CONNECT);
  EXPECT_TRUE(p.request.wants_reply);
  EXPECT_EQ(p.request.key, 4);
  EXPECT_EQ(p.request.port, 5001);
}

TEST(ForwarderParse, RefusesAWrongTypeAMissingAndARepeatedArgument) {
  const auto message = [](auto&& fields) {
    Bytes bytes;
    Writer w(bytes);
    w.header(MessageType::oneway, "msg", 1);
    fields(w);
    w.stop();
    return bytes;
  };
  const auto key = [](Writer& w) {
    w.field(FieldType::i32, 1);
    w.i32(1);
  };
  EXPECT_FALSE(parse(message(key)).good);
  EXPECT_FALSE(parse(message([&](Writer& w) {
                 key(w);
                 key(w);
               })).good);
  EXPECT_FALSE(parse(message([&](Writer& w) {
                 key(w);
                 w.field(FieldType::i32, 2);
                 w.i32(1);
               })).good);
}

TEST(ForwarderParse, WhatHasAReplyIsACall) {
  Bytes bytes;
  Writer w(bytes);
  w.header(MessageType::oneway, "close", 1);
  w.stop();
  EXPECT_FALSE(parse(bytes).good);
}

TEST(ForwarderParse, AddressesAreDottedAndWhole) {
  u32 address = 0;
  const auto good = [&](std::string_view s) {
    return forwarder_parse_ipv4(s.data(), static_cast<u32>(s.size()), &address);
  };
  EXPECT_TRUE(good("192.0.2.1"));
  EXPECT_EQ(address, 0xc000'0201U);
  for (const auto* bad : {"", "192.0.2", "192.0.2.256", "192.0.2.1.", "192.0.2.1 ", "1..2.3", "::1",
                          "localhost", "0001.2.3.4"}) {
    EXPECT_FALSE(good(bad)) << bad;
  }
}

TEST(Replies, AreWhatAClientReads) {
  u8 out[THRIFT_MAX_REPLY];
  const std::string method(THRIFT_MAX_NAME, 'm');
  const auto* name = reinterpret_cast<const u8*>(method.data());
  const auto read = [&](u32 length) {
    return stackrig::thrift::next_reply({reinterpret_cast<const std::byte*>(out), length});
  };
  auto reply = read(thrift_write_reply(out, name, 7, 5, -111));
  ASSERT_EQ(reply.status, stackrig::thrift::Status::message);
  EXPECT_FALSE(reply.is_exception);
  EXPECT_EQ(reply.sequence, 5);
  EXPECT_EQ(reply.value, -111);

  const u32 length = thrift_write_unknown_method(out, name, THRIFT_MAX_NAME, 6);
  ASSERT_LE(length, sizeof(out));
  reply = read(length);
  ASSERT_EQ(reply.status, stackrig::thrift::Status::message);
  EXPECT_TRUE(reply.is_exception);
  EXPECT_EQ(reply.value, stackrig::thrift::kUnknownMethod);
  Bytes theirs;
  stackrig::thrift::write_unknown_method(theirs, 6, method);
  EXPECT_EQ(text(out, length), text(octets(theirs), static_cast<u32>(theirs.size())));
}

}  // namespace
