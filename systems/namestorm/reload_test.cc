// SPDX-License-Identifier: Apache-2.0
// A new edition takes the place of the one before while queries come: none is lost, none is
// answered from anything but an edition that was current, and a bad one never serves.
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "reloader.h"
#include "test_world.h"

namespace stackrig::namestorm::testing {
namespace {

std::string address(unsigned edition) {
  return "192.0.2." + std::to_string(100 + edition % 100);
}

/// An edition tells itself by the address of www, and by how many names come before it.
std::shared_ptr<const dns::ZoneSet> numbered(unsigned edition) {
  std::string text = zone_text(edition, address(edition));
  for (unsigned i = 0; i < edition * 37 % 200; ++i)
    text += "aa" + std::to_string(i) + " A 192.0.2.9\n";
  return zones(text);
}

template <class V>
class Reload : public ::testing::Test {};
TYPED_TEST_SUITE(Reload, Variants);

TYPED_TEST(Reload, ServesTheNewEditionFromTheNextBurstOn) {
  using Key = typename TypeParam::Key;
  World<Key> w(TypeParam::config(), numbered(0));
  for (unsigned e = 1; e < 30; ++e) {
    for (const char* name : {"www.example.com", "host3.example.com", "aa5.example.com"}) {
      for (unsigned i = 0; i < 20; ++i) w.send(query(name, dns::type::kA));
      w.run();
      const Message right = composed(w.served(), query(name, dns::type::kA));
      const auto answers = w.take_answers();
      ASSERT_EQ(answers.size(), 20U);
      for (const Message& a : answers) ASSERT_EQ(a, right) << "edition " << e << " " << name;
    }
    w.publisher.publish(std::make_unique<Edition<Key>>(numbered(e)));
  }
  w.run();
  w.expect_all_home();
}

TYPED_TEST(Reload, InTheMiddleOfAStreamLosesNothing) {
  using Key = typename TypeParam::Key;
  World<Key> w(TypeParam::config(), numbered(0));
  const Message q = query("www.example.com", dns::type::kA);
  for (unsigned e = 1; e < 20; ++e) {
    const Message old_answer = composed(w.served(), q);
    for (unsigned i = 0; i < 100; ++i) {
      w.send(q);
      w.run(kMicrosecond);  // some are on their way there, some are on their way back
    }
    w.publisher.publish(std::make_unique<Edition<Key>>(numbered(e)));
    const Message new_answer = composed(w.served(), q);
    for (unsigned i = 0; i < 100; ++i) {
      w.send(q);
      w.run(kMicrosecond);
    }
    w.run();
    bool is_new = false;
    const auto answers = w.take_answers();
    ASSERT_EQ(answers.size(), 200U);
    for (const Message& a : answers) {
      is_new = is_new || a == new_answer;
      ASSERT_EQ(a, is_new ? new_answer : old_answer) << "and never back";
    }
    EXPECT_TRUE(is_new);
  }
  w.expect_all_home();
}

TYPED_TEST(Reload, WithFramesOfTheOldEditionStillWithTheDevice) {
  using Key = typename TypeParam::Key;
  WorldConfig config = TypeParam::config();
  config.server_port.out.delay = 10 * kMillisecond;
  World<Key> w(config, numbered(0));
  const Message q = query("www.example.com", dns::type::kA);
  std::vector<Message> wanted;
  for (unsigned e = 1; e < 40; ++e) {
    for (unsigned i = 0; i < 5; ++i) {
      w.send(q);
      wanted.push_back(composed(w.served(), q));
    }
    w.run(100 * kMicrosecond);
    w.publisher.publish(std::make_unique<Edition<Key>>(numbered(e)));
  }
  w.run(kSecond);
  EXPECT_EQ(w.take_answers(), wanted);
  w.expect_all_home();
}

/// The names host0 to hostN.
std::shared_ptr<const dns::ZoneSet> hosts(unsigned count, const std::string& address) {
  std::string text = "$TTL 60\n@ SOA ns a 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n";
  for (unsigned i = 0; i < count; ++i) text += "host" + std::to_string(i) + " A " + address + "\n";
  return zones(text);
}

template <class Key>
void ask_of_each(World<Key>& w, unsigned count) {
  const unsigned step = std::max(1U, count / 300);
  for (int round = 0; round < 2; ++round) {
    for (unsigned i = 0; i < count; i += step) {
      const Message q = query("host" + std::to_string(i) + ".example.com", dns::type::kA);
      ASSERT_EQ(w.ask(q), composed(w.served(), q)) << i << " of " << count;
    }
  }
}

TYPED_TEST(Reload, OfAnySizeIsNoWorkForTheQueue) {
  using Key = typename TypeParam::Key;
  World<Key> w(TypeParam::config(), hosts(10, address(0)));
  nmio::PacketMemory& memory = w.server_port.queue(0).memory();
  const std::size_t homes = memory.homes();
  ask_of_each(w, 10);
  unsigned e = 0;
  for (const unsigned count : {100'000U, 10U, 5'000U, 1U, 20'000U}) {
    const std::uint32_t free = memory.free_count();
    const std::uint64_t copies = w.server().counters().copies_now;
    w.publisher.publish(std::make_unique<Edition<Key>>(hosts(count, address(++e))));
    // A name that is in no table: nothing is sent as a copy, the edition is gone over to.
    w.ask(query("nobody.example.com", dns::type::kA));
    ASSERT_EQ(w.server().counters().edition_now, e + 1);
    EXPECT_EQ(memory.homes(), homes) << "no home is made";
    EXPECT_EQ(memory.free_count(), free) << "no chunk changes hands";
    EXPECT_EQ(w.server().counters().copies_now, copies) << "no copy is made or given back";
    ask_of_each(w, count);
  }
  EXPECT_LE(w.server().counters().copies_now, memory.chunks());
  w.expect_all_home();
}

TEST(Reload, AnEditionIsFreedWhenNoInstanceReadsItAnyMore) {
  WorldConfig config;
  config.server_port.queues = 2;
  World<> w(config);
  const auto before = w.publisher.publish(std::make_unique<Edition<dns::WireKey>>(numbered(1)));
  EXPECT_EQ(before.use_count(), 3) << "two instances read it";
  w.send(query("www.example.com", dns::type::kA), 1024);
  w.send(query("www.example.com", dns::type::kA), 1025);
  w.run();
  EXPECT_EQ(before.use_count(), 1);
}

// --- by signal, with files ---------------------------------------------------------------------

class Signal : public ::testing::Test {
 protected:
  void SetUp() override {
    block_reload_signal();
    path_ = std::filesystem::temp_directory_path() /
            ("stackrig-reload-" + std::to_string(::getpid()) + ".zone");
    write(zone_text(1, address(1)));
    files_ = {{"example.com", path_}};
  }
  void TearDown() override { std::filesystem::remove(path_); }
  void write(const std::string& text) { std::ofstream(path_) << text; }
  /// The reload thread's counters are the page's: they are read while they are written.
  static std::uint64_t read(const std::uint64_t& counter) {
    return __atomic_load_n(&counter, __ATOMIC_RELAXED);
  }
  template <class Done>
  static void wait_for(Done done) {
    while (!done()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  std::filesystem::path path_;
  std::vector<dns::ZoneFile> files_;
  ZoneCounters counters_{};
};

TEST_F(Signal, ReadsTheFilesAgainBesideAServerUnderLoad) {
  World<> w({}, dns::ZoneSet::load(files_));
  const Message q = query("www.example.com", dns::type::kA);
  std::vector<Message> editions = {composed(w.served(), q)};
  Reloader<dns::WireKey> reloader(files_, w.publisher, counters_);
  std::size_t current = 0;
  for (unsigned e = 2; e < 12; ++e) {
    write(zone_text(e, address(e)));
    editions.push_back(composed(*zones(zone_text(e, address(e))), q));
    ::kill(::getpid(), SIGHUP);
    // Queries all the while; each is answered, from this edition or, from some query on, the next.
    for (bool last = false; !last;) {
      last = w.publisher.number() == e;
      // The reload runs where nobody else wants to (SCHED_IDLE): it must be left some time.
      if (!last) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      for (unsigned i = 0; i < 50; ++i) w.send(q);
      w.run();
      const auto answers = w.take_answers();
      ASSERT_EQ(answers.size(), 50U);
      for (const Message& a : answers) {
        if (a != editions[current]) ++current;
        ASSERT_LT(current, editions.size());
        ASSERT_EQ(a, editions[current]);
      }
    }
    ASSERT_EQ(current, editions.size() - 1);
    wait_for([&] { return read(counters_.reloads) == e - 1; });
  }
  w.expect_all_home();
}

TEST_F(Signal, AReloadTakesNoTimeFromTheInstances) {
  std::atomic<int> in_reload = -1, in_tick = -1;
  const ReloadThread thread([&](const std::stop_token&) { in_reload = ::sched_getscheduler(0); },
                            [&] {
                              if (in_reload != -1) in_tick = ::sched_getscheduler(0);
                            },
                            counters_);
  ::kill(::getpid(), SIGHUP);
  wait_for([&] { return in_tick != -1; });
  EXPECT_EQ(in_reload, SCHED_IDLE);
  if (::geteuid() == 0) {
    EXPECT_EQ(in_tick, SCHED_OTHER) << "counters are not to lag";
  }
}

TEST_F(Signal, ABadFileLeavesWhatIsServedAndTheLogSaysWhy) {
  World<> w({}, dns::ZoneSet::load(files_));
  const Message q = query("www.example.com", dns::type::kA);
  const Message right = composed(w.served(), q);
  Reloader<dns::WireKey> reloader(files_, w.publisher, counters_);
  write("@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\nwww 60 A 192.0.2.300\n");
  ::testing::internal::CaptureStdout();
  ::kill(::getpid(), SIGHUP);
  wait_for([&] { return read(counters_.reloads_refused) == 1; });
  EXPECT_EQ(w.ask(q), right);
  EXPECT_EQ(w.publisher.number(), 1U);
  const std::string log = ::testing::internal::GetCapturedStdout();
  EXPECT_NE(log.find(path_.string() + ":3"), std::string::npos) << log;
  write(zone_text(3, address(3)));
  ::kill(::getpid(), SIGHUP);
  wait_for([&] { return w.publisher.number() == 2; });
  EXPECT_EQ(w.ask(q), composed(*zones(zone_text(3, address(3))), q))
      << "and the next good one does";
  EXPECT_NE(w.ask(q), right);
}

}  // namespace
}  // namespace stackrig::namestorm::testing
