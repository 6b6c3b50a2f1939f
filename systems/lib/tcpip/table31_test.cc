// SPDX-License-Identifier: Apache-2.0
// The functions that the thesis' Table 3.1 lists for libtcpip, each under its name and each used.
// (Those of libnmio are in that library's tests.)
#include "tcpip/test_support.h"

namespace stackrig::tcpip::testing {
namespace {

TEST(Table31, tcpip_init_starts_the_layer_over) {
  Script s;
  s.listen();
  s.establish();
  s.stack.tcpip_init(s.now);
  s.in(s.data("anyone?"));
  EXPECT_EQ(s.out().flags(), kRst) << "nothing is left";
  EXPECT_EQ(s.stack.next_deadline(), nmio::kNever);
}

TEST(Table31, tcp_bind_takes_an_address_of_ours_and_a_port) {
  Script s;
  Tcb* t = s.stack.tcp_new();
  EXPECT_EQ(s.stack.tcp_bind(*t, {0x08080808}, 80), Result::in_use);
  EXPECT_EQ(s.stack.tcp_bind(*t, kOurIp, 80), Result::ok);
  EXPECT_EQ(local(*t), (wire::Endpoint{kOurIp, 80}));
}

TEST(Table31, tcp_listen_sets_a_tcb_to_LISTEN) {
  Script s;
  Tcb* t = s.stack.tcp_new();
  EXPECT_EQ(s.stack.tcp_listen(*t), Result::wrong_state) << "not bound";
  s.stack.tcp_bind(*t, kOurIp, 80);
  EXPECT_EQ(s.stack.tcp_listen(*t), Result::ok);
  EXPECT_EQ(state(*t), State::listen);
  Tcb* other = s.stack.tcp_new();
  s.stack.tcp_bind(*other, kOurIp, 80);
  EXPECT_EQ(s.stack.tcp_listen(*other), Result::in_use);
  s.stack.tcp_close(*t, s.now);
  EXPECT_EQ(s.stack.tcp_listen(*other), Result::ok);
}

TEST(Table31, tcp_accept_lets_the_application_control_which_connections_to_accept) {
  Script s;
  s.listen();
  s.app.accept = false;
  s.establish();
  EXPECT_EQ(s.app.accepted, 1u);
  EXPECT_EQ(s.out().flags(), kRst | kAck);
}

TEST(Table31, tcp_recv_is_called_when_data_is_available) {
  Script s;
  s.listen();
  s.establish();
  s.in(s.data("payload"));
  EXPECT_EQ(s.app.received, "payload");
}

TEST(Table31, tcp_sent_is_called_when_data_has_been_delivered) {
  Script s;
  s.listen();
  s.establish();
  StringOwner o("abc");
  s.stack.tcp_write(*s.app.tcb, o, 42, 3, s.now);
  s.tick();
  EXPECT_TRUE(s.app.sent.empty());
  s.in(s.data("", 0, 2));
  EXPECT_TRUE(s.app.sent.empty()) << "not all of it";
  s.in(s.data("", 0, 3));
  EXPECT_EQ(s.app.sent, std::vector<std::uint64_t>{42});
  s.forget();
}

TEST(Table31, tcp_write_pushes_data_to_a_connection) {
  Script s;
  s.listen();
  s.establish();
  StringOwner o("pushed");
  EXPECT_EQ(s.stack.tcp_write(*s.app.tcb, o, 1, o.size(), s.now), Result::ok);
  s.tick();
  EXPECT_EQ(s.out().payload(), "pushed");
}

TEST(Table31, tcp_close_is_equivalent_to_shutdown) {
  Script s;
  s.listen();
  s.establish();
  EXPECT_EQ(s.stack.tcp_close(*s.app.tcb, s.now), Result::ok);
  s.tick();
  EXPECT_EQ(s.out().flags(), kFin | kAck);
  s.in(s.data("receiving goes on", 0, 1));
  EXPECT_EQ(s.app.received, "receiving goes on");
  s.forget();
}

}  // namespace
}  // namespace stackrig::tcpip::testing
