// SPDX-License-Identifier: Apache-2.0
#include "wire/address.h"

#include <gtest/gtest.h>

namespace stackrig::wire {
namespace {

TEST(Address, TextFormsAreReadAndWritten) {
  EXPECT_EQ(to_string(*parse_ipv4("10.77.0.2")), "10.77.0.2");
  EXPECT_EQ(parse_ipv4("255.255.255.255")->value, 0xffffffffU);
  EXPECT_EQ(to_string(*parse_mac("02:00:5e:10:00:Fe")), "02:00:5e:10:00:fe");
  EXPECT_EQ(to_string(*parse_endpoint("10.77.0.2:8080")), "10.77.0.2:8080");
  EXPECT_EQ(parse_cidr("10.77.0.2/24")->prefix, 24);
  EXPECT_EQ(parse_cidr("10.77.0.2")->prefix, 32);
}

TEST(Address, WhatIsNotAnAddressIsRefused) {
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ",
                           " 1.2.3.4", "1..2.3", "a.b.c.d", "-1.2.3.4", "1.2.3.4x"}) {
    EXPECT_FALSE(parse_ipv4(text)) << text;
  }
  for (const char* text : {"1.2.3.4/33", "1.2.3.4/", "1.2.3.4/-1", "/24", "1.2.3.4/24x"}) {
    EXPECT_FALSE(parse_cidr(text)) << text;
  }
  for (const char* text : {"1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", ":80", "1.2.3.4:80:80"}) {
    EXPECT_FALSE(parse_endpoint(text)) << text;
  }
  for (const char* text : {"", "02:00:5e:10:00", "02:00:5e:10:00:f", "02-00-5e-10-00-fe",
                           "02:00:5e:10:00:fg", "02:00:5e:10:00:fe:"}) {
    EXPECT_FALSE(parse_mac(text)) << text;
  }
}

TEST(Address, ASubnetContainsItsAddressesOnly) {
  const Ipv4Cidr subnet = *parse_cidr("10.77.0.2/24");
  EXPECT_TRUE(subnet.contains(*parse_ipv4("10.77.0.255")));
  EXPECT_FALSE(subnet.contains(*parse_ipv4("10.77.1.2")));
  EXPECT_TRUE(parse_cidr("1.1.1.1/0")->contains(*parse_ipv4("9.9.9.9")));
  EXPECT_FALSE(parse_cidr("1.1.1.1/32")->contains(*parse_ipv4("1.1.1.2")));
}

}  // namespace
}  // namespace stackrig::wire
