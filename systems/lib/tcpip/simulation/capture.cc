// SPDX-License-Identifier: Apache-2.0
#include "tcpip/simulation/capture.h"

#include <cstdio>
#include <stdexcept>

#include "wire/frame.h"

namespace stackrig::tcpip::simulation {
namespace {

constexpr std::uint32_t kPcapNanoseconds = 0xa1b23c4d;
constexpr std::uint32_t kEthernetLink = 1;

void put32(std::ofstream& out, std::uint32_t v) {
  out.write(reinterpret_cast<const char*>(&v), sizeof v);
}

const char* name_of(nmio::SimFate fate) {
  constexpr const char* kNames[] = {"sent",       "dropped by rule", "cut",       "lost",
                                    "queue full", "no such port",    "ring full", "delivered"};
  return kNames[static_cast<std::size_t>(fate)];
}

}  // namespace

Capture::Capture(std::function<void(const std::string&)> line, const std::string& pcap,
                 nmio::Time began)
    : line_(std::move(line)), began_(began) {
  if (pcap.empty()) return;
  pcap_.open(pcap, std::ios::binary);
  if (!pcap_) throw std::runtime_error(pcap + ": cannot be written");
  put32(pcap_, kPcapNanoseconds);
  put32(pcap_, 2 | 4U << 16);  // version 2.4
  put32(pcap_, 0);
  put32(pcap_, 0);
  put32(pcap_, 65535);
  put32(pcap_, kEthernetLink);
}

void Capture::note(const nmio::SimFrame& frame, nmio::SimFate fate, nmio::Time now) {
  const bool sent = fate == nmio::SimFate::sent;
  if (pcap_.is_open() && sent) {
    const auto size = static_cast<std::uint32_t>(frame.bytes.size());
    put32(pcap_, static_cast<std::uint32_t>(now / nmio::kSecond));
    put32(pcap_, static_cast<std::uint32_t>(now % nmio::kSecond));
    put32(pcap_, size);
    put32(pcap_, size);
    pcap_.write(reinterpret_cast<const char*>(frame.bytes.data()), size);
  }
  if (!line_) return;
  char text[64];
  std::snprintf(text, sizeof text, "%12.6f #%llu %s ", static_cast<double>(now - began_) / 1e9,
                static_cast<unsigned long long>(frame.number), name_of(fate));
  line_(text + wire::describe(frame.bytes));
}

}  // namespace stackrig::tcpip::simulation
