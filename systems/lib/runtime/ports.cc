// SPDX-License-Identifier: Apache-2.0
// Opens ports with what the command line says about each.
#include "runtime/ports.h"

#include <algorithm>
#include <set>

#include "runtime/errors.h"
#include "runtime/process.h"

namespace stackrig::runtime {
namespace {

std::string count_of(std::size_t n, const char* one, const char* many) {
  return std::to_string(n) + " " + (n == 1 ? one : many);
}

}  // namespace

std::string with_uri_key(std::string_view uri, std::string_view key, std::string_view value) {
  const std::size_t query = uri.find('?');
  std::string out(uri);
  const std::string wanted = std::string(key) + "=";
  if (query != std::string_view::npos) {
    for (std::size_t at = query; at != std::string_view::npos; at = uri.find('&', at + 1)) {
      if (uri.substr(at + 1).starts_with(wanted)) return out;
    }
  }
  if (query == std::string_view::npos) {
    out += '?';
  } else if (out.back() != '?' && out.back() != '&') {
    out += '&';
  }
  return out.append(wanted).append(value);
}

void check_ports(const Options& o) {
  for (const unsigned core : o.cores) check_core(core);
  if (o.ports.empty()) {
    throw UsageError("--port: none given; name at least one, as --port afxdp:eth0");
  }
  if (o.addresses.size() != o.ports.size()) {
    throw UsageError("--address: " + count_of(o.ports.size(), "port", "ports") + " but " +
                     count_of(o.addresses.size(), "address", "addresses") +
                     "; give one --address per --port");
  }
  std::set<std::string> uris;
  for (const std::string& uri : o.ports) {
    if (!uris.insert(uri).second)
      throw UsageError("--port " + uri + ": given twice; once is enough");
  }
  std::set<std::uint32_t> addresses;
  for (const wire::Ipv4Cidr& a : o.addresses) {
    if (!addresses.insert(a.address.value).second) {
      throw UsageError("--address " + wire::to_string(a.address) +
                       ": given twice; each port has its own");
    }
  }
}

std::vector<OpenPort> open_ports(const Options& o) {
  check_ports(o);
  std::vector<OpenPort> ports;
  for (std::size_t i = 0; i < o.ports.size(); ++i) {
    std::string uri = with_uri_key(o.ports[i], "address", wire::to_string(o.addresses[i].address));
    if (o.chunks) uri = with_uri_key(uri, "chunks", std::to_string(*o.chunks));
    ports.push_back({nmio::Port::open(uri), o.addresses[i]});
  }
  return ports;
}

wire::MacAddress mac_of(const nmio::Port& port) {
  wire::MacAddress mac;
  std::ranges::copy(port.mac(), mac.bytes.begin());
  return mac;
}

}  // namespace stackrig::runtime
