// SPDX-License-Identifier: Apache-2.0
#include "hash/random_secret.h"

#include <sys/random.h>

#include <cerrno>
#include <system_error>

namespace stackrig::hash {

std::uint64_t random_secret() {
  std::uint64_t secret = 0;
  if (::getrandom(&secret, sizeof secret, 0) != static_cast<ssize_t>(sizeof secret)) {
    throw std::system_error(errno, std::generic_category(), "getrandom");
  }
  return secret;
}

}  // namespace stackrig::hash
