// SPDX-License-Identifier: Apache-2.0
#include "dns/name.h"

#include <gtest/gtest.h>

namespace stackrig::dns {
namespace {

std::string round_trip(std::string_view text) {
  const auto n = Name::from_text(text);
  return n ? name_to_text(n->data()) : "none";
}

TEST(Name, IsReadFromTextAndWritten) {
  EXPECT_EQ(round_trip("www.Example.com"), "www.Example.com.");
  EXPECT_EQ(round_trip("www.example.com."), "www.example.com.");
  EXPECT_EQ(round_trip("."), ".");
  EXPECT_EQ(round_trip("a\\.b.c"), "a\\.b.c.");
  EXPECT_EQ(round_trip("\\000\\255\\032x"), "\\000\\255\\032x.");
}

TEST(Name, IsRefusedWhereItIsNone) {
  EXPECT_EQ(round_trip("a..b"), "none");
  EXPECT_EQ(round_trip(".a"), "none");
  EXPECT_EQ(round_trip("\\256"), "none");
  EXPECT_EQ(round_trip("\\25"), "none");
  EXPECT_EQ(round_trip("\\"), "none");
  EXPECT_EQ(round_trip(std::string(64, 'a')), "none");
  std::string many;
  for (int i = 0; i < 127; ++i) many += "a.";
  EXPECT_EQ(round_trip(many), many);
  EXPECT_EQ(round_trip("a." + many), "none");
}

TEST(Lower, OfEightBytesIsThatOfEachByte) {
  for (unsigned c = 0; c < 256; ++c) {
    for (unsigned shift = 0; shift < 64; shift += 8) {
      const std::uint64_t others = 0xff5b407a61c1805aU & ~(std::uint64_t{0xff} << shift);
      std::uint64_t want = 0;
      const std::uint64_t word = others | std::uint64_t{c} << shift;
      for (unsigned s = 0; s < 64; s += 8) {
        want |= std::uint64_t{lower(static_cast<std::uint8_t>(word >> s))} << s;
      }
      ASSERT_EQ(lower(word), want) << c << " at " << shift;
    }
  }
}

TEST(Labels, CountFromTheRoot) {
  const Name n = *Name::from_text("a.bc.def");
  const Labels labels(n.data());
  ASSERT_EQ(labels.size(), 3u);
  EXPECT_EQ(name_to_text(labels.suffix(0)), ".");
  EXPECT_EQ(name_to_text(labels.suffix(1)), "def.");
  EXPECT_EQ(name_to_text(labels.suffix(3)), "a.bc.def.");
  EXPECT_EQ(*labels[0], 3);
  EXPECT_EQ(*labels[2], 1);
}

TEST(Labels, CompareAsRfc4034Says) {
  const auto order = [](std::string_view a, std::string_view b) {
    return compare_labels(Name::from_text(a)->data(), Name::from_text(b)->data());
  };
  EXPECT_LT(order("a", "yljkjljk"), 0);
  EXPECT_EQ(order("Z", "z"), 0);
  EXPECT_LT(order("\\001", "*"), 0);
  EXPECT_LT(order("*", "a"), 0);
  EXPECT_LT(order("z", "\\200"), 0);
  EXPECT_LT(order("ab", "abc"), 0);
}

TEST(Name, JoinsUpTo255Bytes) {
  Name n = *Name::from_text("example.com");
  const Name head = *Name::from_text("www");
  ASSERT_TRUE(n.join(head.wire().first(4), n.wire()));
  EXPECT_EQ(name_to_text(n.data()), "www.example.com.");
  const std::string label(63, 'a');
  Name longest = *Name::from_text(label + "." + label + "." + label + "." + std::string(61, 'a'));
  EXPECT_EQ(longest.size(), 255u);
  EXPECT_FALSE(longest.join(head.wire().first(4), longest.wire()));
  EXPECT_EQ(longest.size(), 255u);
}

}  // namespace
}  // namespace stackrig::dns
