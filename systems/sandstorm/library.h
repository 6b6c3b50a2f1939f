// SPDX-License-Identifier: Apache-2.0
// All that one queue can answer with: every resource and every error page, cut into frames, and the
// table that finds them by path.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "nmio/packet_memory.h"
#include "response.h"
#include "site.h"
#include "tcpip/frame_owner.h"
#include "url_table.h"

namespace stackrig::sandstorm {

class Library {
 public:
  /// Cuts everything into `memory`. Throws nmio::SetupError where it does not fit.
  Library(const Site& site, nmio::PacketMemory& memory,
          const tcpip::PackagedContent::Config& config);

  struct Answer {
    tcpip::ContentId content;
    std::uint16_t status;
  };
  /// The answer for a decoded, normalised path; 404 where there is none.
  [[nodiscard]] Answer find(std::string_view path) const;
  [[nodiscard]] Answer error(unsigned status) const;
  [[nodiscard]] tcpip::PackagedContent& content() { return content_; }

  /// Packet chunks that the frames of `site` take, with one copy of each.
  static std::uint64_t chunks_for(const Site& site, std::uint32_t segment_bytes);

 private:
  static constexpr std::array<std::uint16_t, 9> kErrors = {400, 403, 404, 405, 413,
                                                           414, 431, 501, 505};

  void add(const Resource& resource);
  tcpip::ContentId add_page(unsigned status, std::string_view extra = {});

  HeadStamper stamper_;
  tcpip::PackagedContent content_;
  UrlTable table_;
  std::vector<Answer> answers_;  ///< what the table's values point to
  std::array<Answer, kErrors.size()> errors_{};
};

}  // namespace stackrig::sandstorm
