// SPDX-License-Identifier: Apache-2.0
// Random zones as files, some of them signed, for tests that ask several servers about them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "dns/test_peers.h"
#include "dns/test_zones.h"

namespace stackrig::dns::testing {

enum class Signing { none, nsec, nsec3, opt_out };

/// Zone files in a folder of their own. A zone ready.test tells when a peer has loaded them.
class Corpus {
 public:
  Corpus(const std::filesystem::path& folder, std::uint64_t seed, bool may_sign)
      : folder_(folder), maker_(seed) {
    add({"ready.test.", "$TTL 60\n@ SOA ns mail 1 1 1 1 60\n@ NS ns\n", {"ready.test."}},
        Signing::none);
    std::vector<std::string> elsewhere;
    for (unsigned g = 0; g < kGroups; ++g) {
      const std::string origin = "g" + std::to_string(g) + ".example.";
      const auto signing = may_sign ? static_cast<Signing>(g % 4) : Signing::none;
      const RandomZone parent = maker_.zone(origin, elsewhere, {"kid." + origin, "no." + origin});
      add(parent, signing);
      const RandomZone child = maker_.zone("kid." + origin, parent.names);
      add(child, maker_.below(2) == 0 ? signing : Signing::none);
      elsewhere = parent.names;
      elsewhere.insert(elsewhere.end(), child.names.begin(), child.names.end());
    }
  }
  [[nodiscard]] const std::vector<ZoneFile>& files() const { return files_; }
  const RandomZone& any_zone() {
    return zones_[maker_.below(static_cast<unsigned>(zones_.size()))];
  }
  ZoneMaker& maker() { return maker_; }

 private:
  void add(const RandomZone& z, Signing signing) {
    const std::filesystem::path file = folder_ / (z.origin + "zone");
    std::ofstream(file) << z.text;
    files_.push_back({z.origin, file});
    zones_.push_back(z);
    if (signing != Signing::none) sign(z, signing);
  }
  void sign(const RandomZone& z, Signing signing) {
    std::string key = run(folder_, {"ldns-keygen", "-a", "ECDSAP256SHA256", "-k", z.origin});
    key.erase(key.find_last_not_of('\n') + 1);
    const std::filesystem::path out = files_.back().path.string() + ".signed";
    std::vector<std::string> command = {"ldns-signzone", "-o", z.origin, "-f", out};
    if (signing != Signing::nsec) {
      command.insert(command.end(), {"-n", "-t", std::to_string(maker_.below(4))});
      if (maker_.below(2) == 0) command.insert(command.end(), {"-s", "ab12"});
      if (signing == Signing::opt_out) command.emplace_back("-p");
    }
    command.insert(command.end(), {files_.back().path, folder_ / key});
    run(folder_, command);
    files_.back().path = out;
  }

  static constexpr unsigned kGroups = 32;  ///< each a parent zone and a child zone

  std::filesystem::path folder_;
  ZoneMaker maker_;
  std::vector<ZoneFile> files_;
  std::vector<RandomZone> zones_;
};

}  // namespace stackrig::dns::testing
