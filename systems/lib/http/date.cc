// SPDX-License-Identifier: Apache-2.0
// HTTP dates.
#include "http/date.h"

#include <chrono>
#include <cstring>

namespace stackrig::http {
namespace {

void two_digits(char* to, unsigned v) {
  to[0] = static_cast<char>('0' + v / 10 % 10);
  to[1] = static_cast<char>('0' + v % 10);
}

}  // namespace

void write_date(std::uint64_t unix_seconds, std::span<char, kDateBytes> out) {
  using namespace std::chrono;
  constexpr const char* kDays = "SunMonTueWedThuFriSat";
  constexpr const char* kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const sys_days day{days{unix_seconds / 86400}};
  const year_month_day date{day};
  const auto second = static_cast<unsigned>(unix_seconds % 86400);
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  char* o = out.data();
  std::memcpy(o, "Sun, 00 Jan 0000 00:00:00 GMT", kDateBytes);
  std::memcpy(o, kDays + std::size_t{3} * weekday{day}.c_encoding(), 3);
  two_digits(o + 5, static_cast<unsigned>(date.day()));
  std::memcpy(o + 8, kMonths + std::size_t{3} * (static_cast<unsigned>(date.month()) - 1), 3);
  two_digits(o + 12, year / 100);
  two_digits(o + 14, year);
  two_digits(o + 17, second / 3600);
  two_digits(o + 20, second / 60 % 60);
  two_digits(o + 23, second % 60);
}

}  // namespace stackrig::http
