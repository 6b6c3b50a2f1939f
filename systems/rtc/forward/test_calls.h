// SPDX-License-Identifier: Apache-2.0
// For tests: what clients of the forwarder say, and what they are told, as strings.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "forward/forward_service.h"
#include "test_world.h"
#include "thrift/forwarder.h"

namespace stackrig::rtc::testing {

using ForwardWorld = World<ForwardService>;

inline std::string text(const thrift::Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline std::string msg(std::int32_t key, std::string_view payload, std::int32_t sequence = 0) {
  thrift::Bytes b;
  thrift::write_msg(b, sequence, key, payload);
  return text(b);
}
inline std::string connect_call(std::int32_t key, std::string_view host, std::int32_t port,
                                std::int32_t sequence = 0) {
  thrift::Bytes b;
  thrift::write_connect(b, sequence, key, host, port);
  return text(b);
}
inline std::string close_call(std::int32_t sequence = 0) {
  thrift::Bytes b;
  thrift::write_close(b, sequence);
  return text(b);
}
inline std::string connect_reply(std::int32_t error, std::int32_t sequence = 0) {
  thrift::Bytes b;
  thrift::write_connect_reply(b, sequence, error);
  return text(b);
}
inline std::string close_reply(std::int32_t backends, std::int32_t sequence = 0) {
  thrift::Bytes b;
  thrift::write_close_reply(b, sequence, backends);
  return text(b);
}
inline std::string unknown_method(std::string_view name, std::int32_t sequence = 0) {
  thrift::Bytes b;
  thrift::write_unknown_method(b, sequence, name);
  return text(b);
}
/// A call of a method that takes nothing.
inline std::string call(std::string_view name, std::int32_t sequence = 0, bool oneway = false) {
  thrift::Bytes b;
  thrift::Writer w(b);
  w.header(oneway ? thrift::MessageType::oneway : thrift::MessageType::call, name, sequence);
  w.stop();
  return text(b);
}

inline const std::string kSinkHost = "10.77.1.2";

/// A client that has connected keys 0 .. `sinks` - 1 to sinks at ports 5000 and on.
inline Client& connect_sinks(ForwardWorld& w, unsigned sinks, std::vector<Sink*>* out = nullptr) {
  Client& c = w.connect();
  std::string wanted;
  for (unsigned k = 0; k < sinks; ++k) {
    Sink& s = w.sink(static_cast<std::uint16_t>(5000 + k));
    if (out != nullptr) out->push_back(&s);
    const auto key = static_cast<std::int32_t>(k);
    c.send(connect_call(key, kSinkHost, static_cast<std::int32_t>(5000 + k), key));
    wanted += connect_reply(0, key);
    w.run(100 * kMillisecond);
  }
  EXPECT_EQ(c.received(), wanted);
  EXPECT_EQ(w.service->counters().backends_now, sinks);
  return c;
}

/// Closes the backends and all clients; then nothing may be left.
inline void close_all(ForwardWorld& w, const std::vector<Client*>& clients) {
  Client& c = w.connect();
  c.send(close_call());
  w.run(10 * kSecond);
  c.close();
  for (Client* other : clients) {
    if (!other->gone()) other->close();
  }
  w.run(200 * kSecond);
  w.expect_all_home();
  EXPECT_EQ(w.service->backends_used(), 0U);
  EXPECT_EQ(w.service->counters().backends_now, 0U);
  EXPECT_EQ(w.service->free_large_buffers(), 4U);
}

}  // namespace stackrig::rtc::testing
