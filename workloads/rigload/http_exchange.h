// SPDX-License-Identifier: Apache-2.0
// HTTP GETs and what is checked in the answers: the status and the length of every one, the content
// of some, as it streams by and without copying it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rigload/http_response.h"
#include "rigload/http_urls.h"
#include "rigload/load_client.h"
#include "rigload/random.h"

namespace stackrig::rigload {

struct HttpExchangeConfig {
  std::uint64_t seed = 0;
  unsigned thread = 0;            ///< its own stream of the seed
  std::uint32_t check_every = 0;  ///< every so many answers are compared with the file; 0: none
};

class HttpExchange final : public Exchange {
 public:
  /// One set of URLs per server; slot i asks the (i modulo their number)-th. They differ in the
  /// Host field only and outlive the exchange. The first answer of each URL is compared too, where
  /// any is.
  HttpExchange(const HttpExchangeConfig& config, const std::vector<const UrlSet*>& servers,
               std::uint32_t slots);

  const Prepared& begin(SlotId slot) override;
  Progress receive(SlotId slot, std::span<const std::byte> bytes) override;
  ErrorKind cut_short(SlotId slot) override;
  void drop(SlotId slot) override;

  [[nodiscard]] std::uint64_t compared() const { return compared_; }  ///< answers compared whole

 private:
  static constexpr std::uint16_t kExpectedStatus = 200;
  static constexpr std::uint32_t kNoReader = ~std::uint32_t{0};
  struct Answer {
    std::uint64_t left = 0;    ///< body bytes still to come
    std::uint64_t length = 0;  ///< of the body
    std::uint32_t url = 0;
    std::uint32_t reader = kNoReader;  ///< holds pieces of a split head
    std::uint16_t status = 0;
    bool in_body = false;
    bool server_closes = false;
    bool compare = false;
    bool has_error = false;
    bool any_byte = false;
    ErrorKind error{};
  };

  HeadResult read_head(Answer& answer, std::span<const std::byte> bytes, ResponseHead& head,
                       std::size_t& taken);
  HeadResult read_split_head(Answer& answer, std::span<const std::byte> bytes, ResponseHead& head,
                             std::size_t& taken);
  void judge(Answer& answer, const ResponseHead& head);
  void compare(Answer& answer, std::span<const std::byte> body);
  [[nodiscard]] bool wants_comparing(const Answer& answer);
  static void blame(Answer& answer, ErrorKind error);

  HttpExchangeConfig config_;
  std::vector<std::span<const Url>> servers_;
  std::uint32_t urls_;  ///< number of them
  Random random_;
  std::uint32_t until_check_ = 0;
  std::uint64_t compared_ = 0;
  std::vector<Answer> answers_;
  std::vector<HeadMemory> memory_;   ///< per URL
  std::vector<bool> compared_once_;  ///< per URL
  std::vector<HeadReader> readers_;
  std::vector<std::uint32_t> free_readers_;
};

}  // namespace stackrig::rigload
