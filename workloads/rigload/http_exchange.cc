// SPDX-License-Identifier: Apache-2.0
// The answer of one slot at a time: head, checks, body.
#include "rigload/http_exchange.h"

#include <algorithm>
#include <cstring>

namespace stackrig::rigload {

HttpExchange::HttpExchange(const HttpExchangeConfig& config,
                           const std::vector<const UrlSet*>& servers, std::uint32_t slots)
    : config_(config),
      urls_(static_cast<std::uint32_t>(servers[0]->urls().size())),
      random_(config.seed ^ 0x75726c73, config.thread),  // another stream than the arrivals'
      until_check_(config.check_every),
      answers_(slots),
      memory_(urls_),
      compared_once_(urls_) {
  for (const UrlSet* s : servers) servers_.push_back(s->urls());
}

const Prepared& HttpExchange::begin(SlotId slot) {
  Answer& answer = answers_[slot];
  answer = {};
  if (urls_ > 1) answer.url = random_.below(urls_);
  const std::size_t server = servers_.size() == 1 ? 0 : slot % servers_.size();
  return servers_[server][answer.url].request;
}

void HttpExchange::drop(SlotId slot) {
  Answer& answer = answers_[slot];
  if (answer.reader == kNoReader) return;
  readers_[answer.reader].clear();
  free_readers_.push_back(answer.reader);
  answer.reader = kNoReader;
}

ErrorKind HttpExchange::cut_short(SlotId slot) {
  const Answer& answer = answers_[slot];
  if (answer.has_error) return answer.error;
  if (!answer.any_byte) return ErrorKind::reset;
  return answer.in_body ? ErrorKind::length : ErrorKind::status;
}

Progress HttpExchange::receive(SlotId slot, std::span<const std::byte> bytes) {
  Answer& answer = answers_[slot];
  answer.any_byte = true;
  while (!answer.in_body) {
    ResponseHead head;
    std::size_t taken = 0;
    const HeadResult result = read_head(answer, bytes, head, taken);
    if (result == HeadResult::incomplete) return {};
    if (result == HeadResult::malformed)
      return {.state = Progress::State::broken, .error = ErrorKind::status};
    bytes = bytes.subspan(taken);
    if (head.status < 200 && head.status != 101) continue;  // interim answer (RFC 9110 15.2)
    judge(answer, head);
    if (!head.has_length) return {.state = Progress::State::broken, .error = answer.error};
  }
  const std::size_t n = std::min<std::uint64_t>(bytes.size(), answer.left);
  if (answer.compare) compare(answer, bytes.first(n));
  answer.left -= n;
  const std::uint64_t counted = answer.status == kExpectedStatus ? n : 0;
  if (answer.left != 0) return {.body_bytes = counted};
  if (bytes.size() > n) {  // more than was announced, and nothing else was asked for
    blame(answer, ErrorKind::length);
    return {.state = Progress::State::broken, .error = answer.error, .body_bytes = counted};
  }
  Progress progress{.state = Progress::State::finished,
                    .server_closes = answer.server_closes,
                    .body_bytes = counted};
  if (answer.has_error) progress.error = answer.error;
  return progress;
}

/// Nearly every head comes whole and is the URL's last one over again.
HeadResult HttpExchange::read_head(Answer& answer, std::span<const std::byte> bytes,
                                   ResponseHead& head, std::size_t& taken) {
  if (answer.reader != kNoReader) return read_split_head(answer, bytes, head, taken);
  HeadMemory& memory = memory_[answer.url];
  if (memory.matches(bytes)) {
    head = memory.head;
    taken = head.head_bytes;
    return HeadResult::complete;
  }
  const HeadResult result = parse_head(bytes, head);
  if (result == HeadResult::incomplete) return read_split_head(answer, bytes, head, taken);
  if (result == HeadResult::complete) {
    memory.remember(bytes, head);
    taken = head.head_bytes;
  }
  return result;
}

HeadResult HttpExchange::read_split_head(Answer& answer, std::span<const std::byte> bytes,
                                         ResponseHead& head, std::size_t& taken) {
  if (answer.reader == kNoReader) {
    if (free_readers_.empty()) {
      free_readers_.push_back(static_cast<std::uint32_t>(readers_.size()));
      readers_.emplace_back();
    }
    answer.reader = free_readers_.back();
    free_readers_.pop_back();
  }
  const HeadResult result = readers_[answer.reader].add(bytes, head, taken);
  if (result != HeadResult::incomplete) {
    free_readers_.push_back(answer.reader);
    answer.reader = kNoReader;
  }
  return result;
}

/// The first thing that is wrong is what counts.
void HttpExchange::blame(Answer& answer, ErrorKind error) {
  if (answer.has_error) return;
  answer.has_error = true;
  answer.error = error;
}

void HttpExchange::judge(Answer& answer, const ResponseHead& head) {
  const Url& url = servers_[0][answer.url];
  answer.in_body = true;
  answer.status = head.status;
  answer.server_closes = head.server_closes;
  answer.length = head.content_length;
  answer.left = head.status == 204 || head.status == 304 ? 0 : head.content_length;  // RFC 9112 6.3
  if (head.status != kExpectedStatus) blame(answer, ErrorKind::status);
  if (!head.has_length) blame(answer, ErrorKind::length);
  if (!url.has_content || answer.has_error) return;
  if (answer.length != url.content.size()) {
    blame(answer, ErrorKind::length);
  } else {
    answer.compare = wants_comparing(answer);
  }
}

bool HttpExchange::wants_comparing(const Answer& answer) {
  if (config_.check_every == 0) return false;
  const bool its_turn = --until_check_ == 0;
  if (its_turn) until_check_ = config_.check_every;
  return its_turn || !compared_once_[answer.url];
}

void HttpExchange::compare(Answer& answer, std::span<const std::byte> body) {
  const std::byte* expected =
      servers_[0][answer.url].content.data() + (answer.length - answer.left);
  if (!body.empty() && std::memcmp(body.data(), expected, body.size()) != 0) {
    blame(answer, ErrorKind::content);
    answer.compare = false;
  } else if (body.size() == answer.left) {
    ++compared_;
    compared_once_[answer.url] = true;
  }
}

}  // namespace stackrig::rigload
