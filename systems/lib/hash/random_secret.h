// SPDX-License-Identifier: Apache-2.0
// What keys are made of.
#pragma once

#include <cstdint>

namespace stackrig::hash {

/// 64 bits that nobody else knows, from the kernel. Throws std::system_error where it has none.
std::uint64_t random_secret();

}  // namespace stackrig::hash
