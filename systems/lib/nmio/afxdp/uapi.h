// SPDX-License-Identifier: Apache-2.0
// AF_XDP's kernel interface, with what is newer than Debian 12's headers (their kernel is 6.1).
#pragma once

#include <linux/if_xdp.h>
#include <sys/socket.h>

#include <cstdint>

namespace stackrig::nmio::afxdp {

inline constexpr std::uint16_t kBindUseSg = 1U << 4;      ///< XDP_USE_SG, Linux 6.6
inline constexpr std::uint32_t kDescContinues = 1U << 0;  ///< XDP_PKT_CONTD, Linux 6.6
inline constexpr std::uint32_t kDescMetadata = 1U << 1;   ///< XDP_TX_METADATA, Linux 6.8
inline constexpr std::uint32_t kUmemMetadataLen = 1U
                                                  << 2;  ///< XDP_UMEM_TX_METADATA_LEN, Linux 6.11
inline constexpr int kMaxTxBudget = 9;                   ///< XDP_MAX_TX_SKB_BUDGET, Linux 6.17

/// struct xdp_umem_reg of Linux 6.8; older kernels take its front.
struct UmemRegistration {
  std::uint64_t addr;
  std::uint64_t len;
  std::uint32_t chunk_size;
  std::uint32_t headroom;
  std::uint32_t flags;
  std::uint32_t tx_metadata_len;
};

/// struct xsk_tx_metadata, Linux 6.8: lies right before the frame.
struct TxMetadata {
  static constexpr std::uint64_t kChecksum = 1U << 1;  ///< XDP_TXMD_FLAGS_CHECKSUM
  std::uint64_t flags;
  std::uint16_t checksum_start;
  std::uint16_t checksum_offset;
  std::uint32_t reserved;
  std::uint64_t launch_time;
};
static_assert(sizeof(TxMetadata) == 24);

}  // namespace stackrig::nmio::afxdp
