// SPDX-License-Identifier: Apache-2.0
// Any text as a zone file: it is refused with a line that it has, or it is a zone, every question
// about which can be answered. The same zone with NSEC and with NSEC3, where it can be signed.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "dns/cut.h"
#include "dns/respond.h"
#include "dns/test_messages.h"
#include "dns/test_signing.h"
#include "dns/zone.h"

namespace {

using namespace stackrig::dns;
namespace messages = stackrig::dns::testing;

void require(bool held) {
  if (!held) std::abort();
}

/// Asks for names that are there and beside them, with DO, for one type of each kind, each time
/// with room for another number of bytes.
void ask_about(const ZoneSet& zones) {
  unsigned room = kPlainUdpPayload;
  Name name;
  for (NodeId n = 0; n < zones[0].names() && n < 64; ++n) {
    zones[0].name_of(n, name);
    for (const bool below : {false, true}) {
      constexpr std::uint8_t kLabel[] = {1, 'b'};
      if (below && !name.join(kLabel, name.wire())) continue;
      for (const std::uint16_t t : {type::kA, type::kMx, type::kDs, type::kAny, type::kRrsig}) {
        messages::Bytes m = messages::header(0x0100, 1, 0, 0, 1);
        m.insert(m.end(), name.data(), name.data() + name.size());
        for (const messages::Bytes& part :
             {messages::be16(t), messages::be16(kClassIn), messages::opt(room, true)}) {
          m.insert(m.end(), part.begin(), part.end());
        }
        room = room < kUdpPayload ? room + 1 : kPlainUdpPayload;
        messages::read_answer(messages::answer_to(zones, m));
      }
    }
  }
}

void ask_about_signed(std::string_view text, messages::Chain chain) {
  try {
    const std::string with_chain = messages::pretend_to_sign("z.", std::string(text), chain);
    const ZoneText z{"z.", with_chain};
    ask_about(*ZoneSet::parse({&z, 1}));
  } catch (const ZoneError&) {
    // It was signed before, or is too large with signatures.
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto lines = 1 + static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  try {
    const ZoneText z{"z.", text};
    const auto zones = ZoneSet::parse({&z, 1});
    ask_about(*zones);
    for (const messages::Chain c : {messages::Chain::nsec, messages::Chain::opt_out}) {
      ask_about_signed(text, c);
    }
    cut_answers(*zones, [](const Query& q, std::span<const std::uint8_t> answer, Clients) {
      require(answer.size() > q.question_len);
    });
  } catch (const ZoneError& e) {
    require(e.line <= lines);
  }
  return 0;
}
