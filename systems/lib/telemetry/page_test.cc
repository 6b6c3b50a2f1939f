// SPDX-License-Identifier: Apache-2.0
// The page as a reader in another process sees it: bytes of a file, read with nothing but the
// layout.
#include "telemetry/page.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

namespace stackrig::telemetry {
namespace {

class PageTest : public ::testing::Test {
 protected:
  PageTest() : path_(::testing::TempDir() + "page_test_" + std::to_string(::getpid())) {}
  ~PageTest() override { ::unlink(path_.c_str()); }

  [[nodiscard]] std::vector<char> file() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  [[nodiscard]] Header header() const {
    Header h{};
    const auto bytes = file();
    std::memcpy(&h, bytes.data(), sizeof h);
    return h;
  }
  [[nodiscard]] std::optional<Entry> entry(std::string_view name) const {
    const auto bytes = file();
    Header h{};
    std::memcpy(&h, bytes.data(), sizeof h);
    for (std::uint32_t i = 0; i < h.entries; ++i) {
      Entry e{};
      std::memcpy(&e, bytes.data() + sizeof(Header) + i * sizeof(Entry), sizeof e);
      if (name == e.name) return e;
    }
    return std::nullopt;
  }
  [[nodiscard]] std::uint64_t value(std::string_view name) const {
    std::uint64_t v = 0;
    const auto bytes = file();
    std::memcpy(&v, bytes.data() + entry(name).value().offset, sizeof v);
    return v;
  }

  std::string path_;
};

TEST_F(PageTest, AReaderFindsCountersByName) {
  auto page = Page::create(path_);
  std::uint64_t* segs = page->counter("q0.tcp.segs_in", "segments");
  *page->gauge("q0.connections", "connections") = 7;
  *segs = 41;
  ++*segs;
  EXPECT_EQ(std::string_view(header().magic, 8), "SRIGTEL1");
  EXPECT_EQ(header().size, file().size());
  EXPECT_EQ(header().pid, static_cast<std::uint64_t>(::getpid()));
  EXPECT_EQ(value("q0.tcp.segs_in"), 42U);
  EXPECT_STREQ(entry("q0.tcp.segs_in")->unit, "segments");
  EXPECT_EQ(entry("q0.tcp.segs_in")->kind, static_cast<std::uint32_t>(Kind::counter));
  EXPECT_EQ(entry("q0.connections")->kind, static_cast<std::uint32_t>(Kind::gauge));
  EXPECT_EQ(entry("q0.tcp.segs_in")->offset % 8, 0U);
}

TEST_F(PageTest, TextsAndHistograms) {
  auto page = Page::create(path_);
  page->text("system", "sandstorm");
  HistogramData* h = page->histogram("latency", "ns");
  h->record(1000);
  const auto bytes = file();
  const auto text = entry("system").value();
  EXPECT_EQ(std::string_view(bytes.data() + text.offset, text.bytes), "sandstorm");
  const auto histogram = entry("latency").value();
  EXPECT_EQ(histogram.bytes, sizeof(HistogramData));
  HistogramData read;
  std::memcpy(&read, bytes.data() + histogram.offset, sizeof read);
  EXPECT_EQ(read.count, 1U);
}

TEST_F(PageTest, AStructOfCountersIsDescribedFieldByField) {
  struct Counters {
    std::uint64_t a, b;
  };
  auto page = Page::create(path_);
  auto* counters = page->place<Counters>();
  page->describe("b", "packets", Kind::counter, &counters->b);
  EXPECT_EQ(counters->a, 0U);
  counters->b = 5;
  EXPECT_EQ(value("b"), 5U);
}

TEST_F(PageTest, FinishIsSeen) {
  auto page = Page::create(path_);
  EXPECT_EQ(header().finished, 0U);
  page->finish();
  EXPECT_EQ(header().finished, 1U);
}

TEST_F(PageTest, AFullPageSaysSoAndKeepsWhatItHas) {
  auto page = Page::create(path_, 64 * 1024);
  *page->counter("first", "") = 1;
  EXPECT_THROW(
      {
        for (int i = 0; i < 100000; ++i) page->counter("c" + std::to_string(i), "");
      },
      std::length_error);
  EXPECT_EQ(value("first"), 1U);
  EXPECT_THROW(page->place<char[1 << 20]>(), std::length_error);
}

TEST_F(PageTest, NamesThatDoNotFitAreRefused) {
  auto page = Page::create(path_);
  EXPECT_THROW(page->counter(std::string(64, 'x'), ""), std::length_error);
  EXPECT_THROW(page->counter("x", std::string(24, 'x')), std::length_error);
  EXPECT_NO_THROW(page->counter(std::string(63, 'x'), std::string(23, 'x')));
}

TEST_F(PageTest, AnUnwritablePlaceIsAnError) {
  EXPECT_THROW(Page::create("/nonexistent/folder/page"), std::system_error);
}

TEST_F(PageTest, ANewPageTakesTheOldOnesPlaceAndLeavesItsReadersAlone) {
  auto old_page = Page::create(path_);
  std::uint64_t* old_counter = old_page->counter("x", "");
  auto new_page = Page::create(path_);
  *old_counter = 9;
  EXPECT_EQ(header().entries, 0U);
  *new_page->counter("y", "") = 1;
  EXPECT_EQ(value("y"), 1U);
}

TEST_F(PageTest, ThreadsMayAddEntriesAtTheSameTime) {
  auto page = Page::create(path_);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&page, t] {
        for (int i = 0; i < 50; ++i) {
          *page->counter("t" + std::to_string(t) + "." + std::to_string(i), "") =
              std::uint64_t{1000} * static_cast<unsigned>(t) + static_cast<unsigned>(i);
        }
      });
    }
  }
  EXPECT_EQ(header().entries, 200U);
  for (int t = 0; t < 4; ++t) {
    EXPECT_EQ(value("t" + std::to_string(t) + ".49"), static_cast<std::uint64_t>(t * 1000 + 49));
  }
}

TEST(AnonymousPage, WorksWithoutAFile) {
  auto page = Page::create("");
  std::uint64_t* c = page->counter("x", "");
  *c = 3;
  page->finish();
  EXPECT_EQ(*c, 3U);
}

}  // namespace
}  // namespace stackrig::telemetry
