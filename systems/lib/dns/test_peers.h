// SPDX-License-Identifier: Apache-2.0
// NSD and Knot DNS, started on loopback with a folder of zone files, to be asked what they answer.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dns/test_messages.h"
#include "dns/zone_set.h"

namespace stackrig::dns::testing {

/// A name server of somebody else. Ends with the object.
class Peer {
 public:
  /// Neither starts where it is not installed (`nullptr`), and throws std::runtime_error where it
  /// does not come up. `folder` is its own; `zones` have absolute paths.
  static std::unique_ptr<Peer> nsd(const std::filesystem::path& folder,
                                   const std::vector<ZoneFile>& zones);
  static std::unique_ptr<Peer> knot(const std::filesystem::path& folder,
                                    const std::vector<ZoneFile>& zones);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  /// Over UDP; asked again where nothing comes within two seconds. Throws std::runtime_error where
  /// nothing comes at all.
  Bytes ask(const Bytes& query);
  /// Over a TCP connection of its own (RFC 7766).
  Bytes ask_over_tcp(const Bytes& query);
  /// The same where no answer may be the answer: then it is empty. A query that is always answered
  /// is sent behind it, so that nothing has to be waited for.
  Bytes ask_once(const Bytes& query);

 private:
  Peer(const std::filesystem::path& folder, const std::vector<std::string>& command,
       unsigned short port);
  void wait_until_it_answers();

  std::filesystem::path folder_;
  unsigned short port_;
  pid_t pid_ = -1;
  int socket_ = -1;
};

/// Whether a program is there to be run.
bool is_installed(const std::string& program);
/// Runs a program in `folder` and returns what it writes to stdout. Throws std::runtime_error where
/// it fails.
std::string run(const std::filesystem::path& folder, const std::vector<std::string>& command);

}  // namespace stackrig::dns::testing
