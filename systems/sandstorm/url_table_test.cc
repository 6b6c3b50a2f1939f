// SPDX-License-Identifier: Apache-2.0
// The table of paths: every path finds its own value, whatever stands beside it.
#include "url_table.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace stackrig::sandstorm {
namespace {

TEST(UrlTable, EmptyFindsNothing) {
  const UrlTable t(0);
  EXPECT_EQ(t.find("/"), UrlTable::kNone);
  EXPECT_EQ(t.find(""), UrlTable::kNone);
}

TEST(UrlTable, TheEmptyPathIsAPath) {
  UrlTable t(1);
  t.insert("", 7);
  EXPECT_EQ(t.find(""), 7u);
  EXPECT_EQ(t.find("/"), UrlTable::kNone);
}

TEST(UrlTable, OfDuplicatesTheFirstCounts) {
  UrlTable t(2);
  t.insert("/a", 1);
  t.insert("/a", 2);
  EXPECT_EQ(t.find("/a"), 1u);
}

TEST(UrlTable, APathIsComparedWhole) {
  UrlTable t(3);
  t.insert("/ab", 1);
  t.insert("/a", 2);
  t.insert(std::string("/a\0b", 4), 3);
  EXPECT_EQ(t.find("/ab"), 1u);
  EXPECT_EQ(t.find("/a"), 2u);
  EXPECT_EQ(t.find("/abc"), UrlTable::kNone);
  EXPECT_EQ(t.find(std::string("/a\0b", 4)), 3u);
}

/// Paths whose home is slot `home` of a table of `slots`.
std::vector<std::string> with_home(std::size_t slots, std::size_t home, std::size_t n) {
  std::vector<std::string> paths;
  for (unsigned i = 0; paths.size() < n; ++i) {
    std::string path = "/" + std::to_string(i);
    if ((std::hash<std::string_view>{}(path) & (slots - 1)) == home) paths.push_back(path);
  }
  return paths;
}

TEST(UrlTable, AFullRunOfCollisionsGoesRoundTheEnd) {
  constexpr std::size_t kPaths = 31, kSlots = 64;  // what a table for 31 paths has
  const auto paths = with_home(kSlots, kSlots - 1, kPaths + 1);
  UrlTable t(kPaths);
  for (std::uint32_t i = 0; i < kPaths; ++i) t.insert(paths[i], i);
  for (std::uint32_t i = 0; i < kPaths; ++i) EXPECT_EQ(t.find(paths[i]), i) << paths[i];
  EXPECT_EQ(t.find(paths[kPaths]), UrlTable::kNone) << "the whole run is looked at, and no more";
  // Paths with another home in the middle of the run are found behind it.
  UrlTable mixed(kPaths);
  const auto others = with_home(kSlots, 3, 10);
  for (std::uint32_t i = 0; i < 20; ++i) mixed.insert(paths[i], i);
  for (std::uint32_t i = 0; i < 10; ++i) mixed.insert(others[i], 100 + i);
  for (std::uint32_t i = 0; i < 20; ++i) EXPECT_EQ(mixed.find(paths[i]), i);
  for (std::uint32_t i = 0; i < 10; ++i) EXPECT_EQ(mixed.find(others[i]), 100 + i);
}

TEST(UrlTable, ManyPaths) {
  constexpr std::uint32_t kPaths = 20000;
  UrlTable t(kPaths);
  for (std::uint32_t i = 0; i < kPaths; ++i) t.insert("/dir/" + std::to_string(i), i);
  for (std::uint32_t i = 0; i < kPaths; ++i) ASSERT_EQ(t.find("/dir/" + std::to_string(i)), i);
  for (std::uint32_t i = 0; i < kPaths; ++i) {
    ASSERT_EQ(t.find("/no/" + std::to_string(i)), UrlTable::kNone);
  }
}

}  // namespace
}  // namespace stackrig::sandstorm
