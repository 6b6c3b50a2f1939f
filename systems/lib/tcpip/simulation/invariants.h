// SPDX-License-Identifier: Apache-2.0
// What must hold of every connection after every step, and of a whole stack when all is over.
#pragma once

#include "tcpip/simulation/host.h"

namespace stackrig::tcpip::simulation {

/// Throws Broken.
void check_step(Host& host);
void check_end(Host& host, const Plan& plan);

}  // namespace stackrig::tcpip::simulation
