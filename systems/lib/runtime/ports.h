// SPDX-License-Identifier: Apache-2.0
// Opens the ports that the command line names and pairs them with their addresses.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nmio/port.h"
#include "runtime/options.h"
#include "wire/address.h"

namespace stackrig::runtime {

struct OpenPort {
  std::unique_ptr<nmio::Port> port;
  wire::Ipv4Cidr address;
};

/// `uri` with `key=value` added where it does not set that key itself.
std::string with_uri_key(std::string_view uri, std::string_view key, std::string_view value);

/// Refuses ports without addresses, cores that are not ours and the like, before anything is
/// opened. Throws UsageError.
void check_ports(const Options& options);

/// Opens all ports; each claims its address (URI key `address`) and has --chunks buffers per queue.
/// Throws UsageError or nmio::SetupError.
std::vector<OpenPort> open_ports(const Options& options);

wire::MacAddress mac_of(const nmio::Port& port);

}  // namespace stackrig::runtime
