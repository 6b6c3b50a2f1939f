# SPDX-License-Identifier: Apache-2.0
"""One DNS answer as the gate compares it: read from the wire, taken apart, shown."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import ClassVar

import dns.exception
import dns.flags
import dns.message
import dns.rrset

from stackrig.gate.dns_corpus import Question
from stackrig.zones import wire_name

QR, TC, Z = 0x8000, 0x0200, 0x0040
OPCODE = 0x7800
CNAME, RRSIG = 5, 46

Record = tuple[str, int, int, int, bytes]  # owner in lower case, type, class, TTL, canonical data


@dataclass(frozen=True)
class Answer:
    """An answer as far as it is compared. Sections are sets: neither order nor a record that comes twice (NSD and
    Knot repeat some along loops of aliases) means anything."""

    rcode: int
    flags: int  # AA, TC, RD, RA, AD, CD
    answer: frozenset[Record]
    authority: frozenset[Record]
    additional: frozenset[Record]
    edns: tuple[int, bool] | None  # version, DO

    HEAD: ClassVar = ("rcode", "flags", "edns")
    SECTIONS: ClassVar = ("answer", "authority", "additional")

    @property
    def is_cut(self) -> bool:
        return bool(self.flags & TC)


def flags_of(raw: bytes) -> int:
    return int.from_bytes(raw[2:4], "big")


def read(raw: bytes | None) -> Answer:
    """ValueError where there is none, or it is no DNS message."""
    if raw is None:
        raise ValueError("no answer")
    try:
        message = dns.message.from_wire(raw, one_rr_per_rrset=True)
    except (dns.exception.DNSException, struct.error, IndexError, ValueError) as error:
        raise ValueError(f"an answer that cannot be read: {type(error).__name__}: {error}") from None
    compared = dns.flags.AA | dns.flags.TC | dns.flags.RD | dns.flags.RA | dns.flags.AD | dns.flags.CD
    answer, authority, additional = (
        frozenset(record for rrset in section for record in _records(rrset))
        for section in (message.answer, message.authority, message.additional)
    )
    edns = (message.edns, bool(message.ednsflags & dns.flags.DO)) if message.edns >= 0 else None
    return Answer(int(message.rcode()), int(message.flags & compared), answer, authority, additional, edns)


def read_or_none(raw: bytes | None) -> Answer | None:
    try:
        return read(raw)
    except ValueError:
        return None


def _records(rrset: dns.rrset.RRset) -> Iterable[Record]:
    owner = rrset.name.to_text().lower()
    for rdata in rrset:
        yield owner, int(rrset.rdtype), int(rrset.rdclass), int(rrset.ttl), rdata.to_digestable()


def unlike_the_question(question: Question, number: int, raw: bytes) -> str | None:
    """What of the head or of the question's echo is not as RFC 1035 4.1 has it for an answer to this very query."""
    sent = question.message(number)
    asked = sent[12 : 12 + len(wire_name(question.name)) + 4]
    if raw[:2] != sent[:2]:
        return f"the id is not the one that was sent ({raw[:2].hex()}, not {sent[:2].hex()})"
    flags = flags_of(raw)
    if not flags & QR:
        return "the QR bit is not set"
    if flags & OPCODE:
        return f"the opcode is {(flags & OPCODE) >> 11}, not the query's 0"
    if flags & Z:
        return "the Z bit is set"
    if (count := int.from_bytes(raw[4:6], "big")) != 1:
        return f"QDCOUNT is {count}: the question does not come back"
    if raw[12 : 12 + len(asked)] != asked:
        return "the question's bytes are not those that were sent"
    return None


def covers(record: Record, kind: int) -> bool:
    """Whether it is of that type, or a signature over it."""
    return record[1] == kind or (record[1] == RRSIG and record[4][:2] == struct.pack(">H", kind))


def end_of_chain(answer: Collection[Record], name: str) -> str:
    """Where the aliases that begin at `name` lead; in lower case and with the last dot."""
    target = {record[0]: _name_of(record[4]) for record in answer if record[1] == CNAME}
    end, seen = absolute(name), set[str]()
    while end in target and end not in seen:
        seen.add(end)
        end = target[end]
    return end


def absolute(name: str) -> str:
    return f"{name.rstrip('.').lower()}."


def _name_of(data: bytes) -> str:
    labels, at = [], 0
    while at < len(data) and data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode("latin-1"))
        at += 1 + data[at]
    return absolute(".".join(labels))


def difference(said: Answer, expected: Answer) -> str | None:
    """The first part in which the two differ; of truncated answers the heads are compared only, as RFC 2181 9 gives
    what is left no meaning."""
    parts = Answer.HEAD if said.is_cut and expected.is_cut else (*Answer.HEAD, *Answer.SECTIONS)
    return next((part for part in parts if getattr(said, part) != getattr(expected, part)), None)


def show(part: object) -> str:
    if not isinstance(part, frozenset):
        return str(part)
    records = sorted(part)
    told = ", ".join(f"{r[0]} TYPE{r[1]} {r[3]} {r[4].hex()[:40]}" for r in records[:6]) or "nothing"
    return told if len(records) <= 6 else f"{told} and {len(records) - 6} more"
