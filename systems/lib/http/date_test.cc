// SPDX-License-Identifier: Apache-2.0
// HTTP dates against those that RFC 9110 and the calendar give.
#include "http/date.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace stackrig::http {
namespace {

std::string date(std::uint64_t t) {
  std::array<char, kDateBytes> out{};
  write_date(t, out);
  return {out.data(), out.size()};
}

TEST(Date, KnownDays) {
  EXPECT_EQ(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");  // RFC 9110 5.6.7
  EXPECT_EQ(date(951827696), "Tue, 29 Feb 2000 12:34:56 GMT");
  EXPECT_EQ(date(4102444799), "Thu, 31 Dec 2099 23:59:59 GMT");
}

}  // namespace
}  // namespace stackrig::http
