// SPDX-License-Identifier: Apache-2.0
#include "xdp/answers_map.h"

#include <bpf/bpf.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "dns/message.h"
#include "wire/checksum.h"
#include "xdp/layout.h"

namespace stackrig::namestorm {
namespace {

std::size_t tail_at(const dns::CutAnswer& cut) {
  return dns::Header::kSize + cut.qname_len + 4U;
}

answer_key key_of(const dns::CutAnswer& cut) {
  const std::uint8_t* question = cut.payload() + dns::Header::kSize;
  answer_key key{};
  std::memcpy(key.name, question, cut.qname_len);
  key.length = cut.qname_len;
  std::memcpy(key.type, question + cut.qname_len, sizeof key.type);
  return key;
}

answer_value value_of(const dns::CutAnswer& cut) {
  const std::uint8_t* tail = cut.payload() + tail_at(cut);
  const auto& header = dns::Header::at(cut.payload());
  answer_value value{};
  value.flags = header.flags.raw();
  value.answers = header.answers.raw();
  value.authorities = header.authorities.raw();
  value.additionals = cut.additionals;
  value.tail_len = static_cast<std::uint16_t>(cut.length - tail_at(cut));
  value.tail_sum = wire::fold(wire::sum(tail, value.tail_len));
  std::memcpy(value.tail, tail, value.tail_len);
  return value;
}

}  // namespace

int AnswersMap::create_in_kernel(std::uint32_t entries) {
  return bpf_map_create(BPF_MAP_TYPE_HASH, "answers", sizeof(answer_key), sizeof(answer_value),
                        entries, nullptr);
}

AnswersMap::~AnswersMap() {
  if (fd_ >= 0) ::close(fd_);
}

bool AnswersMap::fits(const dns::CutAnswer& cut) {
  const std::size_t at = tail_at(cut);
  return cut.clients != dns::Clients::dnssec && cut.qname_len <= ANSWERS_MOST_NAME &&
         cut.length > at && cut.length - at <= ANSWERS_MOST_TAIL;
}

/// All entries' memory is taken when a map is made: half as many may be had where all may not.
void AnswersMap::fill(const std::vector<const dns::CutAnswer*>& answers, const Create& create) {
  int error = 0;
  for (auto room = static_cast<std::uint32_t>(std::max<std::size_t>(answers.size(), 1));
       fd_ < 0 && room != 0; room /= 2) {
    fd_ = create(room);
    if (fd_ < 0 && error == 0) error = errno;
  }
  for (const dns::CutAnswer* cut : answers) {
    if (fd_ >= 0 && add(*cut)) continue;
    if (error == 0) error = errno;
    ++left_out_;
  }
  if (left_out_ == 0) return;
  spdlog::warn(
      "--xdp: the kernel has room for {} of {} answers ({}); the server answers the others itself",
      size_, answers.size(), std::strerror(error));
}

/// False where there is no room.
bool AnswersMap::add(const dns::CutAnswer& cut) {
  const answer_key key = key_of(cut);
  const answer_value value = value_of(cut);
  if (bpf_map_update_elem(fd_, &key, &value, BPF_NOEXIST) == 0) {
    ++size_;
    return true;
  }
  return errno == EEXIST;  // two zones have the name: the answer is one
}

}  // namespace stackrig::namestorm
