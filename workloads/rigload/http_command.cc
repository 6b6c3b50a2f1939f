// SPDX-License-Identifier: Apache-2.0
// rigload http: GETs, a connection each or over persistent connections, one URL or many at random
// (thesis 3.3.1: what its authors made weighttp do).
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "rigload/http_exchange.h"
#include "rigload/http_urls.h"
#include "rigload/load_options.h"
#include "rigload/report.h"
#include "rigload/stream_load.h"
#include "rigload/subcommand.h"
#include "runtime/errors.h"
#include "runtime/process.h"

namespace stackrig::rigload {
namespace {

using runtime::UsageError;

struct HttpOptions {
  LoadOptions load;
  std::string path;
  std::string paths_file;
  std::string content_root;
  std::uint32_t check_every = 100;
};

std::vector<UrlPath> paths_of(const HttpOptions& o) {
  if (o.path.empty() == o.paths_file.empty()) {
    throw UsageError("--path: give either --path /PATH or --paths FILE");
  }
  if (!o.paths_file.empty()) return read_paths_file(o.paths_file);
  std::vector<UrlPath> paths = {{o.path, "--path"}};
  check_path(paths[0]);
  return paths;
}

std::vector<Content> contents_of(const HttpOptions& o, const std::vector<UrlPath>& paths) {
  std::vector<Content> contents;
  if (o.content_root.empty()) return contents;
  for (const UrlPath& path : paths) {
    const auto file = file_of(path.path);
    if (!file)
      throw UsageError(path.given_at + ": path '" + path.path +
                       "' names no file below --content-root; take it out");
    contents.push_back(Content::map(o.content_root + *file, path.given_at));
  }
  return contents;
}

/// The Host field: without the port where it is HTTP's own (RFC 9110 4.2.1).
std::string host_of(wire::Endpoint target) {
  return target.port == 80 ? wire::to_string(target.address) : wire::to_string(target);
}

class HttpCommand final : public Subcommand {
 public:
  HttpCommand() : Subcommand("http", "HTTP GETs: one URL or many at random, checked") {}

  void add_words(CLI::App& app) override {
    add_load_options(app, options_.load);
    add_connection_options(app, options_.load);
    add_mode_option(app, options_.load);
    app.add_option("--path", options_.path, "URL path to ask for")->type_name("/PATH");
    app.add_option("--paths", options_.paths_file,
                   "File with a URL path per line, picked at random by --seed")
        ->type_name("FILE");
    app.add_option("--content-root", options_.content_root,
                   "Folder with the files that the server serves, to compare with")
        ->type_name("DIR");
    app.add_option("--check-every", options_.check_every,
                   "Compare every N-th answer with its file, and the first of each; 0: none. "
                   "Status and length "
                   "are checked always")
        ->type_name("N")
        ->capture_default_str();
  }

  int run(const std::vector<std::string>& command) override {
    options_.load.command = command;
    runtime::start_logging("rigload", options_.load.base.log_level);
    check_load_options(options_.load);
    check_json_path(options_.load.json);
    const std::vector<UrlPath> paths = paths_of(options_);
    const std::vector<Content> contents = contents_of(options_, paths);
    std::vector<std::unique_ptr<UrlSet>> servers;
    for (const wire::Endpoint& target : options_.load.targets) {
      servers.push_back(
          std::make_unique<UrlSet>(paths, contents, host_of(target), options_.load.keepalive));
    }
    const LoadResult result = run_load(
        options_.load, [&](const LaneInfo& lane) { return exchange_for(lane, servers); },
        runtime::stop_flag());
    auto report = to_json(options_.load, result, "http");
    report["urls"] = paths.size();
    report["content_checked"] = !contents.empty() && options_.check_every != 0;
    report["check_every"] = options_.check_every;
    publish(report, options_.load);
    return result.interrupted ? runtime::kExitFailed : runtime::kExitOk;
  }

 private:
  std::unique_ptr<Exchange> exchange_for(const LaneInfo& lane,
                                         const std::vector<std::unique_ptr<UrlSet>>& servers) {
    std::vector<const UrlSet*> of_lane;
    for (const unsigned t : lane.targets) of_lane.push_back(servers[t].get());
    const HttpExchangeConfig config{
        .seed = options_.load.seed, .thread = lane.index, .check_every = options_.check_every};
    return std::make_unique<HttpExchange>(config, of_lane, lane.slots);
  }

  HttpOptions options_;
};

HttpCommand http_command;  // NOLINT(cert-err58-cpp): registers itself

}  // namespace
}  // namespace stackrig::rigload
