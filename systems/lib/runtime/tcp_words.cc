// SPDX-License-Identifier: Apache-2.0
#include "runtime/tcp_words.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "runtime/errors.h"

namespace stackrig::runtime {
namespace {

template <class T>
void add_choice(CLI::App& app, const char* word, const char* help, T& value,
                const std::vector<std::pair<std::string, T>>& choices) {
  std::string names;
  std::string now;
  for (const auto& [name, choice] : choices) {
    names += (names.empty() ? "" : "|") + name;
    if (choice == value) now = name;
  }
  app.add_option_function<std::string>(
         word,
         [word, choices, &value](const std::string& given) {
           std::vector<std::string> known;
           for (const auto& [name, choice] : choices) {
             known.push_back(name);
             if (name == given) {
               value = choice;
               return;
             }
           }
           throw CLI::ValidationError(word,
                                      "there is no '" + given + "'; " + nearest(given, known));
         },
         help)
      ->type_name(names)
      ->default_str(now);
}

}  // namespace

void add_tcp_words(CLI::App& app, TcpWords& w) {
  using tcpip::CongestionControl;
  using tcpip::Ecn;
  add_choice<CongestionControl>(app, "--congestion-control",
                                "How much may be in flight; reno is as in the thesis",
                                w.congestion_control,
                                {{"reno", CongestionControl::reno},
                                 {"newreno", CongestionControl::new_reno},
                                 {"cubic", CongestionControl::cubic}});
  add_choice<Ecn>(app, "--ecn",
                  "Explicit congestion notification: where the peer asks, or asked for", w.ecn,
                  {{"off", Ecn::off}, {"accept", Ecn::accept}, {"request", Ecn::request}});
  add_choice<bool>(app, "--sack", "Selective acknowledgements", w.sack,
                   {{"on", true}, {"off", false}});
}

}  // namespace stackrig::runtime
