# SPDX-License-Identifier: Apache-2.0
"""Pages of 2 MiB that the kernel keeps for packet memory while a testbed stands.

They are counted, not set: each run adds its own to what is reserved and takes as many away again, so that several
runs, and what the machine's owner had reserved, do not hurt each other.
"""

from __future__ import annotations

from pathlib import Path

RESERVED = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
PAGE = 2 << 20  # bytes
SHARE = 8  # at most this part of the memory that is free


def affordable(wanted: int) -> int:
    """How many of the pages this machine can spare now; 0 where its kernel has none of that size."""
    if not RESERVED.exists():
        return 0
    with Path("/proc/meminfo").open() as lines:
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    return min(wanted, free // SHARE // PAGE)


def reserve(pages: int) -> int:
    """Adds to what is reserved; how many there are now more. The kernel may find fewer in one piece."""
    before = _reserved()
    RESERVED.write_text(str(before + pages))
    return max(0, _reserved() - before)


def give_back(pages: int) -> None:
    """Pages in use go back once who uses them has ended."""
    RESERVED.write_text(str(max(0, _reserved() - pages)))


def _reserved() -> int:
    return int(RESERVED.read_text())
