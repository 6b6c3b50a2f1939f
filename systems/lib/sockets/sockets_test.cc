// SPDX-License-Identifier: Apache-2.0
#include "sockets/sockets.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

#include "runtime/errors.h"
#include "runtime/options.h"
#include "sockets/options.h"

namespace stackrig::sockets {
namespace {

constexpr wire::Endpoint kAnyPort{{0x7f000001}, 0};

std::string refusal(const std::function<void()>& what) {
  try {
    what();
  } catch (const runtime::UsageError& e) {
    return e.what();
  }
  return "";
}

TEST(Listen, TakesAFreePortWhereNoneIsNamed) {
  const Fd fd = listen_on(kAnyPort, true);
  EXPECT_EQ(local_of(fd.get()).address, kAnyPort.address);
  EXPECT_NE(local_of(fd.get()).port, 0);
}

TEST(Listen, SaysThatAPortIsTakenAndWhatToDo) {
  const Fd first = listen_on(kAnyPort, true);
  const wire::Endpoint taken = local_of(first.get());
  const std::string said = refusal([&] { listen_on(taken, true); });
  EXPECT_EQ(said.find("--listen " + wire::to_string(taken) + ": Address already in use; stop "), 0U)
      << said;
}

TEST(Listen, SaysThatAnAddressIsNotOurs) {
  const std::string said = refusal([] { listen_on({{0xc6336401}, 0}, true); });  // 198.51.100.1
  EXPECT_NE(said.find("choose an address of this machine"), std::string::npos) << said;
}

TEST(SocketOptions, ListenMayRepeat) {
  CLI::App app;
  Options options;
  add_options(app, options);
  const char* words[] = {"x", "--listen", "127.0.0.1:7", "--listen", "127.0.0.2:8"};
  runtime::parse(app, 5, words);
  ASSERT_EQ(options.listen.size(), 2U);
  EXPECT_EQ(options.listen[1].port, 8);
}

TEST(SocketOptions, RefusesWhatIsNoEndpoint) {
  CLI::App app;
  Options options;
  add_options(app, options);
  const char* words[] = {"x", "--listen", "127.0.0.1"};
  EXPECT_NE(refusal([&] { runtime::parse(app, 3, words); }).find("--listen"), std::string::npos);
  EXPECT_EQ(refusal([&] { apply(options); }).find("--listen: none given; "), 0U);
}

}  // namespace
}  // namespace stackrig::sockets
