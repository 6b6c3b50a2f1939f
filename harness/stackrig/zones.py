# SPDX-License-Identifier: Apache-2.0
"""What name servers serve under load: a zone of N names with an address each, the queries for them, and what
must come back. All follows from N, so that any host makes the same, and nothing of it from a server."""

from __future__ import annotations

import hashlib
import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ORIGIN = "bench.test"
TTL = 3600
DIGITS = 7  # of every name, so that zones of all sizes have queries and answers of one length
MOST = 10**DIGITS
FIRST_ADDRESS = int(ipaddress.IPv4Address("10.0.0.0"))
HEAD = f"""$ORIGIN {ORIGIN}.
$TTL {TTL}
@ SOA ns1 hostmaster 1 7200 3600 1209600 3600
@ NS ns1
ns1 A 192.0.2.1
"""
TYPE_A, CLASS_IN = 1, 1


@dataclass(frozen=True)
class Zone:
    origin: str
    file: str  # its path


def label(index: int) -> str:
    return f"h{index:0{DIGITS}d}"


def name(index: int) -> str:
    return f"{label(index)}.{ORIGIN}"


def wire_name(text: str) -> bytes:
    """Uncompressed (RFC 1035 3.1); `text` has no escapes."""
    labels = [part.encode() for part in text.rstrip(".").split(".") if part]
    return b"".join(bytes([len(part)]) + part for part in labels) + b"\0"


def address(index: int) -> bytes:
    return struct.pack(">I", FIRST_ADDRESS + index)


def digest(records: list[bytes]) -> str:
    """Of an answer section's records in canonical form, as rigload makes it (docs/rigload.md)."""
    return hashlib.sha256(b"".join(sorted(records))).hexdigest()[:16]


def answer_digest(index: int) -> str:
    head = wire_name(name(index)) + struct.pack(">HHIH", TYPE_A, CLASS_IN, TTL, 4)
    return digest([head + address(index)])


def lay_out(entries: int, folder: Path) -> None:
    """`bench.zone`, `queries.txt` (as dnsperf, kxdpgun and rigload read it) and `expected.txt` in `folder`;
    what is there already is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        "bench.zone": (
            HEAD,
            (f"{label(i)} A {'.'.join(map(str, address(i)))}\n" for i in range(entries)),
        ),
        "queries.txt": ("", (f"{name(i)} A\n" for i in range(entries))),
        "expected.txt": ("", (f"NOERROR 1 {answer_digest(i)}\n" for i in range(entries))),
    }
    for file, (head, lines) in parts.items():
        if not (folder / file).exists():
            _write(folder / file, head, lines)


def _write(path: Path, head: str, lines: Iterator[str]) -> None:
    partial = path.with_suffix(".part")
    with partial.open("w") as out:
        out.write(head)
        out.writelines(lines)
    partial.rename(path)


def bench_zone(folder: Path) -> Zone:
    return Zone(ORIGIN, str(folder / "bench.zone"))
