// SPDX-License-Identifier: Apache-2.0
// Random zones, and random questions about them, from a seed: with everything that an answer may
// depend on, and nothing that the peers would refuse to load.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "dns/test_messages.h"

namespace stackrig::dns::testing {

struct RandomZone {
  std::string origin;  ///< with the last dot
  std::string text;
  std::vector<std::string> names;  ///< absolute, of all owners
};

class ZoneMaker {
 public:
  explicit ZoneMaker(std::uint64_t seed) : random_(seed) {}

  /// `elsewhere`: names in other zones that aliases and hosts may have.
  RandomZone zone(const std::string& origin, const std::vector<std::string>& elsewhere,
                  const std::vector<std::string>& delegate_to = {});
  /// A name in, below, beside or outside of the zone.
  std::string question_name(const RandomZone& zone);
  std::uint16_t question_type();
  Edns edns();
  unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }

 private:
  enum class Kind { data, cut, alias, dname };
  // One call an expression: compilers differ in the order in which they evaluate several, and the
  // zones are to be the same whatever has compiled them.
  std::string label();
  const std::string& any_name(const RandomZone& zone);
  std::string below_name(const std::string& name);
  std::string target(const RandomZone& zone, const std::vector<std::string>& elsewhere);
  std::string data(const std::string& owner, const RandomZone& zone,
                   const std::vector<std::string>& elsewhere);
  std::string cut(const std::string& owner, const RandomZone& zone,
                  const std::vector<std::string>& elsewhere);
  std::string random_case(std::string text);

  std::mt19937_64 random_;
};

}  // namespace stackrig::dns::testing
