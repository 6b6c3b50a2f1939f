// SPDX-License-Identifier: Apache-2.0
// No way out of the document root.
#include "http/path.h"

#include <gtest/gtest.h>

namespace stackrig::http {
namespace {

TEST(Path, DecodesAndNormalises) {
  EXPECT_EQ(normalise_path("/"), "/");
  EXPECT_EQ(normalise_path("/a%20b"), "/a b");
  EXPECT_EQ(normalise_path("//a///b"), "/a/b");
  EXPECT_EQ(normalise_path("/a/./b/../c"), "/a/c");
  EXPECT_EQ(normalise_path("/a/b/.."), "/a/");
  EXPECT_EQ(normalise_path("/a/."), "/a/");
  EXPECT_EQ(normalise_path("/a/"), "/a/");
  EXPECT_EQ(normalise_path("/.hidden"), "/.hidden");
  EXPECT_EQ(normalise_path("/..."), "/...");
}

TEST(Path, NothingLeavesTheRoot) {
  for (const char* path :
       {"/..", "/../etc/passwd", "/a/../../b", "/%2e%2e/x", "/a/%2e%2e/%2e%2e/x", "/..%2fx"}) {
    EXPECT_FALSE(normalise_path(path)) << path;
  }
}

TEST(Path, MalformedEscapes) {
  for (const char* path : {"/%", "/%1", "/%zz", "/%00", "a", ""})
    EXPECT_FALSE(normalise_path(path)) << path;
}

}  // namespace
}  // namespace stackrig::http
