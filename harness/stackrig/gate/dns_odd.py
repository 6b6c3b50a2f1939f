# SPDX-License-Identifier: Apache-2.0
"""Messages that are no plain query: only how they are refused is compared.

Some servers say nothing to some of them, and so may others. That nothing came is no proof of it, as a datagram may
be lost: behind each message goes a query that has to be answered (Worker.probes), and only who answers that one
each time has said nothing to the message before it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

import dns.exception
import dns.message

from stackrig.gate.dns_answer import OPCODE, QR, flags_of
from stackrig.gate.dns_corpus import Question, ZoneText
from stackrig.gate.report import Report

SILENCE = b""  # how an answer is written that did not come, although what was asked after it was answered
FIRST_ID = 0x4000  # every message has an id of its own: a late answer is not the next one's
_UPDATE = 5  # refused in as many ways as there are servers
_NOT_IMPLEMENTED = 4


@dataclass(frozen=True)
class Odd:
    name: str
    message: bytes
    also: frozenset[int] = frozenset()  # rcodes that are right whatever the baselines say


def messages(made: list[ZoneText]) -> list[Odd]:
    """Every opcode, counts that lie, compressed questions, cut messages, other classes."""
    name = made[0].owners[0]
    good = Question(name).message(0)
    question, in_class = good[12:], b"\0\x01\0\x01"
    with_opt = Question(name, edns=True).message(0)
    opt = with_opt[len(good) :]
    record = b"\x01x\0" + in_class + struct.pack(">IH", 60, 4) + bytes(4)
    cases = [
        # Also where a baseline knows the opcode (RFC 1035 4.1.1).
        Odd(f"opcode {op}", good[:2] + bytes([op << 3]) + good[3:], frozenset({_NOT_IMPLEMENTED}))
        for op in range(16)
        if op not in (0, _UPDATE)
    ]
    pointers = (("to itself", 12), ("into the header", 2), ("forward", 40))
    cases += [
        Odd(f"question is a pointer {how}", good[:12] + bytes([0xC0, to]) + in_class) for how, to in pointers
    ]
    cases += [
        Odd("no question", struct.pack(">HHHHHH", 0, 0, 0, 0, 0, 0)),
        Odd("two questions", good[:5] + b"\x02" + good[6:] + question),
        Odd("a label of 64 bytes", good[:12] + b"\x40" + b"a" * 64 + b"\0" + in_class),
        Odd("a name of more than 255 bytes", good[:12] + b"\x3f" * 320 + b"\0" + in_class),
        Odd("cut inside the name", good[:15]),
        Odd("cut before the class", good[:-2]),
        Odd("header only, one question announced", good[:12]),
        Odd("class ANY", good[:-2] + b"\0\xff"),
        Odd("class CHAOS", good[:-2] + b"\0\x03"),
        Odd("a response", good[:2] + b"\x80" + good[3:]),
        Odd("a record in the answer section", good[:7] + b"\x01" + good[8:] + record),
        Odd("EDNS version 1", with_opt[:-6] + b"\0\x01\0\0\0\0"),
        Odd("EDNS twice", with_opt[:11] + b"\x02" + with_opt[12:] + opt),
        Odd("EDNS announced and missing", with_opt[: len(good)]),
        Odd("EDNS cut off", with_opt[: len(good) + 3]),
        Odd("EDNS with half an option", with_opt[:-2] + b"\0\x03\0\x01\0"),
    ]
    return [
        Odd(case.name, struct.pack(">H", FIRST_ID + number) + case.message[2:], case.also)
        for number, case in enumerate(cases)
    ]


def behind(made: list[ZoneText]) -> bytes:
    """The query that is sent behind each: composed by every server, as no zone has the name."""
    return Question(f"behind-the-odd-ones.{made[0].origin}").message(0)


def judge(
    report: Report, odd: Iterable[Odd], said: Iterable[bytes | None], theirs: dict[str, list[bytes | None]]
) -> None:
    """`theirs`: the baselines' answers by name; who gave none that can be read has no say."""
    alone = list[str]()
    for index, (case, raw) in enumerate(zip(odd, said, strict=True)):
        known = {name: refusal(case, answers[index]) for name, answers in theirs.items()}
        right = {
            known_one for known_one in known.values() if known_one is not None and known_one != "unreadable"
        }
        ours = refusal(case, raw)
        if ours is None:
            report.findings.append(f"{case.name}: neither it nor the query behind it was answered")
        elif ours == "unreadable":
            assert raw is not None
            report.findings.append(f"{case.name}: {_unlike(case, raw)}")
        elif theirs and not right:
            alone.append(case.name)
            continue
        elif right and ours not in right | {f"rcode {also}" for also in case.also}:
            report.findings.append(f"{case.name}: expected {' or '.join(sorted(right))}, got {ours}")
        report.checked += 1
    if alone:
        report.skipped.append(
            f"{len(alone)} odd messages were not compared, as no baseline said anything to them: {', '.join(alone)}"
        )


def refusal(case: Odd, raw: bytes | None) -> str | None:
    """In words: an rcode, "no answer" or "unreadable"; None: not known."""
    if raw is None:
        return None
    if raw == SILENCE:
        return "no answer"
    return "unreadable" if _unlike(case, raw) else f"rcode {_rcode(raw)}"


def _unlike(case: Odd, raw: bytes) -> str | None:
    """What makes it no answer to that message (RFC 1035 4.1.1); the rest need not be readable."""
    if len(raw) < 12:
        return f"an answer of {len(raw)} bytes is shorter than a header"
    if raw[:2] != case.message[:2]:
        return "the id is not the one that was sent"
    if not flags_of(raw) & QR:
        return "the QR bit of the answer is not set"
    sent, got = ((flags_of(message) & OPCODE) >> 11 for message in (case.message, raw))
    return f"the opcode of the answer is {got}, not {sent}" if got != sent else None


def _rcode(raw: bytes) -> int:
    """With EDNS' upper bits, where it has them and they can be read."""
    try:
        return int(dns.message.from_wire(raw).rcode())
    except (dns.exception.DNSException, struct.error, IndexError, ValueError):
        return flags_of(raw) & 0xF
