// SPDX-License-Identifier: Apache-2.0
#include "nmio/uri.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nmio/port.h"

namespace stackrig::nmio {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const SetupError& e) {
    return e.what();
  }
  return "no error";
}

std::string open_error(const char* uri) {
  return error_of([uri] { Port::open(uri); });
}

TEST(Uri, HasSchemeNameAndKeys) {
  const PortUri u = parse_uri("afxdp:veth0?queues=2&address=10.77.0.2");
  EXPECT_EQ(u.scheme, "afxdp");
  EXPECT_EQ(u.name, "veth0");
  ASSERT_EQ(u.keys.size(), 2U);
  EXPECT_EQ(u.keys[1].first, "address");
  EXPECT_EQ(u.keys[1].second, "10.77.0.2");
  EXPECT_TRUE(parse_uri("shm:x").keys.empty());
}

TEST(Uri, MalformedTextIsRefusedWithTheFormExpected) {
  for (const char* bad : {"", "veth0", ":veth0", "afxdp:", "afxdp:?queues=1", "afxdp:veth0?queues",
                          "afxdp:veth0?=1", "afxdp:veth0?queues=", "afxdp:veth0?a=1&&b=2"}) {
    EXPECT_THAT(open_error(bad), HasSubstr("expected SCHEME:NAME?key=value")) << bad;
  }
  EXPECT_THAT(open_error("shm:x?ring=1&ring=2"), HasSubstr("'ring' comes twice"));
}

TEST(Uri, UnknownSchemeNamesTheNearest) {
  EXPECT_THAT(open_error("sin:x"),
              AllOf(HasSubstr("no scheme 'sin'"), HasSubstr("did you mean 'sim'?")));
  EXPECT_THAT(open_error("ethernet:x"), HasSubstr("there is: "));
}

TEST(Uri, SimulatedPortsAreMadeByTests) {
  EXPECT_THAT(open_error("sim:x"), HasSubstr("SimNetwork::add_port()"));
}

TEST(UriKeys, ReadsEachType) {
  const PortUri u = parse_uri("x:y?n=7&r=10G&f=off&c=blue&a=10.0.0.9&t=text");
  UriKeys k(u);
  const std::vector<std::string> colours = {"red", "blue"};
  EXPECT_EQ(k.number("n", 1, 1, 9), 7U);
  EXPECT_EQ(k.rate("r", 0), 10'000'000'000U);
  EXPECT_FALSE(k.flag("f", true));
  EXPECT_EQ(k.choice("c", 0, colours), 1U);
  EXPECT_EQ(k.ipv4("a"), 0x0a000009U);
  EXPECT_EQ(k.text("t", ""), "text");
  EXPECT_EQ(k.number("absent", 42, 1, 99), 42U);
  k.finish();
}

TEST(UriKeys, AValueThatCannotBeIsRefusedWithWhatCan) {
  const PortUri u =
      parse_uri("x:y?n=0&p=3&r=fast&f=maybe&a=10.0.0&c=blu&m=-1&big=99999999999999999999");
  UriKeys k(u);
  const std::vector<std::string> colours = {"red", "blue"};
  EXPECT_THAT(error_of([&] { k.number("n", 1, 1, 9); }),
              HasSubstr("n=0 cannot be; give a number from 1 to 9"));
  EXPECT_THAT(error_of([&] { k.power_of_two("p", 1, 1, 9); }),
              HasSubstr("a power of two, 4 is the next"));
  EXPECT_THAT(error_of([&] { k.rate("r", 0); }), HasSubstr("bits per second"));
  EXPECT_THAT(error_of([&] { k.flag("f", false); }), HasSubstr("on or off"));
  EXPECT_THAT(error_of([&] { k.ipv4("a"); }), HasSubstr("IPv4 address"));
  EXPECT_THAT(error_of([&] { k.choice("c", 0, colours); }), HasSubstr("did you mean 'blue'?"));
  EXPECT_THAT(error_of([&] { k.number("m", 1, 0, 9); }), HasSubstr("cannot be"));
  EXPECT_THAT(error_of([&] { k.number("big", 1, 0, ~0ULL); }), HasSubstr("cannot be"));
}

TEST(UriKeys, AnUnknownKeyNamesTheNearest) {
  const PortUri u = parse_uri("x:y?qeues=2");
  UriKeys k(u);
  k.number("queues", 1, 1, 9);
  EXPECT_THAT(error_of([&] { k.finish(); }),
              AllOf(HasSubstr("x knows no key 'qeues'"), HasSubstr("did you mean 'queues'?")));
}

}  // namespace
}  // namespace stackrig::nmio
