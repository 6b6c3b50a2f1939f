// SPDX-License-Identifier: Apache-2.0
#include "nmio/port.h"

#include <array>
#include <string>
#include <vector>

#include "nmio/afxdp/port.h"
#include "nmio/shm/port.h"
#include "nmio/sim.h"
#include "nmio/tap/port.h"
#include "nmio/uri.h"

namespace stackrig::nmio {
namespace {

struct Scheme {
  const char* name;
  std::unique_ptr<Port> (*open)(const PortUri&);
};

/// Every backend that a URI can name.
constexpr std::array kSchemes = {
    Scheme{"afxdp", afxdp::open},
    Scheme{"shm", shm::open},
    Scheme{"sim", sim_open},
    Scheme{"tap", tap::open},
};

}  // namespace

std::unique_ptr<Port> Port::open(std::string_view text) {
  const PortUri uri = parse_uri(text);
  std::vector<std::string> names;
  for (const Scheme& scheme : kSchemes) {
    if (uri.scheme == scheme.name) return scheme.open(uri);
    names.emplace_back(scheme.name);
  }
  throw SetupError("port '" + uri.text + "': no scheme '" + uri.scheme + "'; " +
                   nearest_hint(uri.scheme, names));
}

}  // namespace stackrig::nmio
