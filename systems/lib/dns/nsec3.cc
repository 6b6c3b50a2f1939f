// SPDX-License-Identifier: Apache-2.0
#include "dns/nsec3.h"

// The functions of SHA-1 alone. Those that OpenSSL 3 would rather see used allocate for every hash,
// and take locks to find what implements it.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <cstring>
#include <span>

#include "dns/name.h"

namespace stackrig::dns {
namespace {

constexpr std::string_view kAlphabet = "0123456789abcdefghijklmnopqrstuv";

static_assert(sizeof(Nsec3Hash) == SHA_DIGEST_LENGTH);

void sha1(std::span<const std::uint8_t> bytes, Nsec3Hash& hash) {
  SHA_CTX context;
  SHA1_Init(&context);
  SHA1_Update(&context, bytes.data(), bytes.size());
  SHA1_Final(hash.data(), &context);
}

}  // namespace

Nsec3Hash nsec3_hash(const Nsec3Parameters& parameters, const std::uint8_t* name) {
  std::array<std::uint8_t, kMaxName + 255> salted;
  std::size_t size = name_length(name);
  for (std::size_t i = 0; i < size; ++i) salted[i] = lower(name[i]);
  Nsec3Hash hash;
  for (unsigned i = 0; i <= parameters.iterations; ++i) {
    std::memcpy(&salted[size], parameters.salt.data(), parameters.salt_length);
    sha1({salted.data(), size + parameters.salt_length}, hash);
    size = hash.size();
    std::memcpy(salted.data(), hash.data(), size);
  }
  return hash;
}

bool nsec3_hash_of(std::string_view text, Nsec3Hash& hash) {
  if (text.size() * 5 != hash.size() * 8) return false;
  unsigned bits = 0, have = 0;
  std::size_t at = 0;
  for (const char c : text) {
    const std::size_t digit =
        kAlphabet.find(static_cast<char>(lower(static_cast<std::uint8_t>(c))));
    if (digit == std::string_view::npos) return false;
    bits = bits << 5 | static_cast<unsigned>(digit);
    have += 5;
    if (have >= 8) {
      have -= 8;
      hash[at++] = static_cast<std::uint8_t>(bits >> have);
    }
  }
  return true;
}

std::array<std::uint8_t, 33> nsec3_label(const Nsec3Hash& hash) {
  std::array<std::uint8_t, 33> label;
  label[0] = 32;
  unsigned bits = 0, have = 0;
  std::size_t at = 1;
  for (const std::uint8_t byte : hash) {
    bits = bits << 8 | byte;
    have += 8;
    while (have >= 5) {
      have -= 5;
      label[at++] = static_cast<std::uint8_t>(kAlphabet[bits >> have & 31]);
    }
  }
  return label;
}

}  // namespace stackrig::dns
