// SPDX-License-Identifier: Apache-2.0
// rigload dns: queries over UDP, one name or many, at random or in order, every answer checked.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <memory>
#include <nlohmann/json.hpp>

#include "ip/counters.h"
#include "rigload/dns_lane.h"
#include "rigload/dns_queries.h"
#include "rigload/dns_sockets.h"
#include "rigload/load_options.h"
#include "rigload/load_run.h"
#include "rigload/report.h"
#include "rigload/subcommand.h"
#include "runtime/counters.h"
#include "runtime/errors.h"
#include "runtime/process.h"

namespace stackrig::rigload {
namespace {

using runtime::UsageError;

constexpr std::uint32_t kMostFlows = 1024;  ///< of a thread

struct DnsOptions {
  LoadOptions load;
  std::string queries_file;
  std::string pattern;
  std::uint32_t names = 1;
  std::string type = "A";
  std::string expected_file;
  DnsOrder order = DnsOrder::random;
  std::uint32_t check_every = 100;
  std::uint32_t flows = 16;
  DnsQueries::Options query;
};

std::vector<DnsQuestion> questions_of(const DnsOptions& o) {
  if (o.queries_file.empty() == o.pattern.empty()) {
    throw UsageError("--queries: give either --queries FILE or --pattern NAME{} with --names N");
  }
  if (!o.queries_file.empty()) return read_queries_file(o.queries_file);
  return names_of_pattern(o.pattern, o.names, o.type);
}

/// Makes the lanes of the load.
class DnsLanes final : public LaneMaker {
 public:
  DnsLanes(const DnsOptions& options, const DnsQueries& queries)
      : options_(options), load_(options.load), queries_(queries) {}

  std::unique_ptr<SocketLane> socket_lane(const LaneParts& lane) override {
    const DnsSocketLane::Config config{
        .targets = kernel_targets(load_),
        .spin = load_.base.loop.idle == nmio::LoopConfig::Idle::spin};
    return std::make_unique<DnsSocketLane>(config, dns_config(lane), queries_, *lane.control,
                                           *lane.stats);
  }

  std::unique_ptr<QueueLane> queue_lane(const LaneParts& lane, const QueuePlace& place) override {
    nmio::Port& port = *place.port.port;
    const DnsLaneConfig config{.queue = &port.queue(place.queue),
                               .interface = {.address = place.port.address,
                                             .addresses = load_.source_addresses,
                                             .gateway = load_.base.gateway,
                                             .mac = runtime::mac_of(port),
                                             .mtu = port.mtu()},
                               .sources = {.first = place.port.address.address,
                                           .addresses = load_.source_addresses,
                                           .target = load_.targets[lane.targets.front()],
                                           .queue = place.queue,
                                           .queues = place.rss_queues},
                               .loop = load_.base.loop,
                               .relay = place.relay};
    auto made = std::make_unique<DnsQueueLane>(config, dns_config(lane), queries_, *lane.control,
                                               *lane.stats);
    made->interface().place_counters(
        runtime::place<ip::Counters>(place.page, place.prefix, ip::counter_table()));
    return made;
  }

 private:
  [[nodiscard]] DnsConfig dns_config(const LaneParts& lane) const {
    DnsConfig c;
    c.outstanding = share_of(load_.connections, lane.index, lane.lanes);
    c.flows = std::max(std::bit_floor(std::min(options_.flows, c.outstanding)),
                       std::bit_ceil((c.outstanding + kSlotsPerFlow - 1) / kSlotsPerFlow));
    c.reach = std::min<std::uint32_t>(static_cast<std::uint32_t>(lane.targets.size()), c.flows);
    c.arrivals = load_.arrivals_of(lane.index, lane.lanes);
    c.queue_bound = std::max<std::size_t>(1, load_.queue_bound() / lane.lanes);
    c.warmup = load_.warmup();
    c.duration = load_.duration();
    c.timeout = load_.timeout();
    c.check_every = options_.check_every;
    c.seed = load_.seed;
    c.order = options_.order;
    c.thread = lane.index;
    c.threads = lane.lanes;
    c.targets.clear();
    for (const unsigned t : lane.targets) c.targets.push_back(wire::to_string(load_.targets[t]));
    return c;
  }

  const DnsOptions& options_;
  const LoadOptions& load_;
  const DnsQueries& queries_;
};

class DnsCommand final : public Subcommand {
 public:
  DnsCommand() : Subcommand("dns", "DNS queries over UDP: one name or many, checked") {
    options_.load.slots_word = "--outstanding";
    options_.load.connections = 64;
    options_.load.timeout_ms = 1000;
  }

  void add_words(CLI::App& app) override {
    add_load_options(app, options_.load);
    app.add_option("--outstanding", options_.load.connections,
                   "Queries under way at once, over all threads")
        ->type_name("N")
        ->capture_default_str()
        ->check(CLI::Range(1U, 1U << 20));
    app.add_option(
           "--flows", options_.flows,
           "Pairs of source address and port per queue or thread, rounded to a power of two")
        ->type_name("N")
        ->capture_default_str()
        ->check(CLI::Range(1U, kMostFlows));
    add_what(app);
  }

  int run(const std::vector<std::string>& command) override {
    options_.load.command = command;
    runtime::start_logging("rigload", options_.load.base.log_level);
    check_load_options(options_.load);
    check_json_path(options_.load.json);
    const std::vector<DnsQuestion> questions = questions_of(options_);
    const std::vector<DnsExpected> expected =
        options_.expected_file.empty()
            ? std::vector<DnsExpected>{}
            : read_expected_file(options_.expected_file, questions.size());
    const DnsQueries queries(questions, expected, options_.query);
    DnsLanes lanes(options_, queries);
    const LoadResult result = run_lanes(options_.load, lanes, runtime::stop_flag());
    auto report = to_json(options_.load, result, "dns");
    report["queries"] = queries.size();
    report["order"] = options_.order == DnsOrder::file ? "file" : "random";
    report["edns"] = options_.query.edns || options_.query.dnssec_ok;
    report["content_checked"] = !expected.empty() && options_.check_every != 0;
    report["check_every"] = options_.check_every;
    publish(report, options_.load);
    return result.interrupted ? runtime::kExitFailed : runtime::kExitOk;
  }

 private:
  void add_what(CLI::App& app) {
    app.add_option("--queries", options_.queries_file,
                   "File with NAME TYPE per line; --order says which is next")
        ->type_name("FILE");
    app.add_option("--pattern", options_.pattern, "Names with a number at {}, from 0 on")
        ->type_name("NAME{}");
    app.add_option("--names", options_.names, "So many names of --pattern")
        ->type_name("N")
        ->capture_default_str()
        ->check(CLI::Range(1U, 1U << 26));
    app.add_option("--type", options_.type, "Of --pattern")
        ->type_name("TYPE")
        ->capture_default_str();
    app.add_option_function<std::string>(
           "--order",
           [this](const std::string& v) {
             if (v != "random" && v != "file") {
               throw CLI::ValidationError("--order", "'" + v + "' is neither random nor file");
             }
             options_.order = v == "file" ? DnsOrder::file : DnsOrder::random;
           },
           "random: any query, by --seed; file: one after the other and from the front again, over "
           "all threads together")
        ->type_name("random|file")
        ->default_str("random");
    app.add_option("--expected", options_.expected_file,
                   "File with RCODE ANSWERS DIGEST for each query, to compare answers with")
        ->type_name("FILE");
    app.add_option("--check-every", options_.check_every,
                   "Compare every N-th answer's content, and the first of each of up to 16384 "
                   "queries; 0: none. Id, question, rcode and the number of answers are checked "
                   "always")
        ->type_name("N")
        ->capture_default_str();
    app.add_flag("--edns", options_.query.edns, "Queries say that they take 1232 bytes");
    app.add_flag("--dnssec-ok", options_.query.dnssec_ok, "Queries have EDNS with DO");
    app.add_flag("--recursion-desired", options_.query.recursion_desired, "Queries have RD");
  }

  DnsOptions options_;
};

DnsCommand dns_command;  // NOLINT(cert-err58-cpp): registers itself

}  // namespace
}  // namespace stackrig::rigload
