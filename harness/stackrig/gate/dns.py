# SPDX-License-Identifier: Apache-2.0
"""What is asked of a name server before it is timed, and what its answers must be.

Over random zones (dns_corpus): every section of every answer is the same as NSD's or as Knot's, who now and then
differ; where they agree, there is no choice. Over the zone of the workload itself: the addresses that were put into
it. Judging is a pure function over answers; asking is in ask().
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import dns.exception
import dns.flags
import dns.message
import dns.rrset

from stackrig import zones
from stackrig.gate.dns_corpus import Odd, Question
from stackrig.gate.report import Report
from stackrig.gateway.host import Host
from stackrig.zones import wire_name

REFERENCES = ("nsd", "knot")  # whose answers are compared with
SAMPLE = 64  # names of the workload's zone that are asked for
_TC = 0x0200
_NS = 2

Record = tuple[str, int, int, int, bytes]  # owner in lower case, type, class, TTL, canonical data


@dataclass(frozen=True)
class Answer:
    """An answer as far as it is compared."""

    rcode: int
    flags: int  # AA, TC, RD, RA, AD, CD
    answer: frozenset[Record]
    authority: frozenset[Record]
    additional: frozenset[Record]
    edns: tuple[int, bool] | None  # version, DO

    PARTS: ClassVar = ("rcode", "flags", "edns", "answer", "authority", "additional")


@dataclass
class Asked:
    """What one server said; None: nothing."""

    plain: list[bytes | None]  # to questions over UDP
    stream: dict[int, bytes | None]  # question's index → over TCP, for those that were truncated
    odd: list[bytes | None]


def ask(host: Host, address: str, port: int, wanted: Sequence[Question], odd: Sequence[Odd]) -> Asked:
    """Puts questions to a server over kernel sockets of `host`; what is truncated again over TCP."""
    messages = [question.message(number) for number, question in enumerate(wanted)]
    plain = host.call("datagrams", address=address, port=port, messages=messages)
    cut = [i for i, answer in enumerate(plain) if answer and len(answer) > 3 and _flags(answer) & _TC]
    whole = host.call("framed", address=address, port=port, messages=[messages[i] for i in cut])
    refused = host.call("datagrams", address=address, port=port, messages=[o.message for o in odd], tries=1)
    return Asked(plain, dict(zip(cut, whole, strict=True)), refused)


def judge(
    wanted: Sequence[Question], odd: Sequence[Odd], asked: Asked, references: dict[str, Asked]
) -> Report:
    """What is wrong with the answers; `references` are the baselines' to the same questions, by name."""
    report = Report()
    if not references:
        report.skipped.append("answers were not compared with a baseline's: none was there")
    for index, question in enumerate(wanted):
        theirs = {name: said.plain[index] for name, said in references.items()}
        _judge_one(report, question, index, asked.plain[index], theirs, "")
    for index, said in asked.stream.items():
        theirs = {n: r.stream[index] for n, r in references.items() if index in r.stream}
        _judge_one(report, wanted[index], index, said, theirs, " over TCP")
    for index, case in enumerate(odd):
        report.checked += 1
        theirs_rcodes = {_rcode(said.odd[index]) for said in references.values()}
        if theirs_rcodes and (got := _rcode(asked.odd[index])) not in theirs_rcodes | case.also:
            report.findings.append(
                f"{case.name}: expected {_any(map(_word, theirs_rcodes))}, got {_word(got)}"
            )
    return report


def judge_bench(report: Report, entries: int, answers: Sequence[bytes | None]) -> None:
    """The workload's own zone: sampled() names and one that is not there."""
    for index, raw in zip([*sampled(entries), None], answers, strict=True):
        report.checked += 1
        asked = zones.name(index) if index is not None else f"nope.{zones.ORIGIN}"
        try:
            said = read(raw)
        except ValueError as error:
            report.findings.append(f"{asked} A: {error}")
            continue
        if index is None:
            if said.rcode != 3 or not any(record[1] == 6 for record in said.authority):
                report.findings.append(f"{asked} A: expected NXDOMAIN with SOA, got rcode {said.rcode}")
            continue
        expected = {(f"{asked}.", zones.TYPE_A, zones.CLASS_IN, zones.TTL, zones.address(index))}
        if said.rcode != 0 or said.answer != expected:
            report.findings.append(f"{asked} A: expected its address, got {sorted(said.answer)[:2]}")


def bench_questions(entries: int) -> list[Question]:
    return [*(Question(zones.name(i)) for i in sampled(entries)), Question(f"nope.{zones.ORIGIN}")]


def sampled(entries: int) -> list[int]:
    """Indexes spread over the zone, first and last among them."""
    many = min(SAMPLE, entries)
    return [round(step * (entries - 1) / max(1, many - 1)) for step in range(many)]


# --- one answer -----------------------------------------------------------------------------------------------


def read(raw: bytes | None) -> Answer:
    """ValueError where there is none, or it is no DNS message."""
    if raw is None:
        raise ValueError("no answer")
    try:
        message = dns.message.from_wire(raw, one_rr_per_rrset=True)
    except (dns.exception.DNSException, struct.error, IndexError) as error:
        raise ValueError(f"an answer that cannot be read: {type(error).__name__}: {error}") from None
    compared = dns.flags.AA | dns.flags.TC | dns.flags.RD | dns.flags.RA | dns.flags.AD | dns.flags.CD
    answer, authority, additional = (
        frozenset(record for rrset in section for record in _records(rrset))
        for section in (message.answer, message.authority, message.additional)
    )
    edns = (message.edns, bool(message.ednsflags & dns.flags.DO)) if message.edns >= 0 else None
    return Answer(int(message.rcode()), int(message.flags & compared), answer, authority, additional, edns)


def _records(rrset: dns.rrset.RRset) -> Iterable[Record]:
    owner = rrset.name.to_text().lower()
    for rdata in rrset:
        yield owner, int(rrset.rdtype), int(rrset.rdclass), int(rrset.ttl), rdata.to_digestable()


def _judge_one(
    report: Report,
    question: Question,
    number: int,
    raw: bytes | None,
    theirs: dict[str, bytes | None],
    how: str,
) -> None:
    report.checked += 1
    told = f"{question.told()}{how}"
    try:
        said = read(raw)
    except ValueError as error:
        report.findings.append(f"{told}: {error}")
        return
    assert raw is not None
    sent = question.message(number)
    echoed = raw[12 : 12 + len(wire_name(question.name)) + 4]
    if raw[:2] != sent[:2] or not _flags(raw) & 0x8000 or echoed != sent[12 : 12 + len(echoed)]:
        report.findings.append(f"{told}: id, QR bit or the question's bytes are not those that were sent")
    known = {name: read(answer) for name, answer in theirs.items() if answer is not None}
    known |= {f"{name} without the zone's NS": _lean(answer) for name, answer in known.items()}
    if known and (wrong := _difference(said, known)):
        report.findings.append(f"{told}: {wrong}")


def _difference(said: Answer, known: dict[str, Answer]) -> str | None:
    """The first part that is no baseline's; of a truncated answer its head only is compared."""
    cut = said.flags & _TC
    for part in Answer.PARTS[: 3 if cut else None]:
        ours = getattr(said, part)
        if any(ours == getattr(answer, part) for answer in known.values()):
            continue
        expected = "; ".join(f"{name}: {_show(getattr(answer, part))}" for name, answer in known.items())
        return f"{part}: got {_show(ours)}, expected one of {expected}"
    return None


def _lean(answer: Answer) -> Answer:
    """The same without what a server may add to a positive answer that asked for something else: the zone's NS
    and their addresses (RFC 1034 3.7 calls both "may be useful")."""
    if not answer.answer or any(record[1] != _NS for record in answer.authority):
        return answer
    wanted = b"".join(record[4] for record in answer.answer)
    hosts = {record[4] for record in answer.authority}
    kept = {r for r in answer.additional if (host := wire_name(r[0])) not in hosts or host in wanted}
    return replace(answer, authority=frozenset(), additional=frozenset(kept))


def _show(part: object) -> str:
    if not isinstance(part, frozenset):
        return str(part)
    return ", ".join(f"{r[0]} TYPE{r[1]} {r[3]} {r[4].hex()[:40]}" for r in sorted(part)[:6]) or "nothing"


def _flags(raw: bytes) -> int:
    return int.from_bytes(raw[2:4], "big")


def _rcode(raw: bytes | None) -> int | None:
    """Of the header alone: an answer to nonsense need not be readable."""
    return _flags(raw) & 0xF if raw is not None and len(raw) >= 12 else None


def _word(rcode: int | None) -> str:
    return "no answer" if rcode is None else f"rcode {rcode}"


def _any(words: Iterable[str]) -> str:
    return " or ".join(sorted(words))
