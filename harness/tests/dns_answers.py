# SPDX-License-Identifier: Apache-2.0
"""Answers made by hand, for the tests of the gate: what a server says to a question, as bytes."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from stackrig.gate import dns as gate
from stackrig.gate import dns_peers
from stackrig.gate.dns_corpus import Question
from stackrig.gate.report import Report

ORIGINS = frozenset({"a.test.", "b.test."})
SOA = "{0} 60 IN SOA ns1.{0} host.{0} 1 2 3 4 60"


def reply(
    question: Question,
    answer: tuple[str, ...] = (),
    authority: tuple[str, ...] = (),
    additional: tuple[str, ...] = (),
    rcode: str = "NOERROR",
    flags: str = "QR AA",
) -> bytes:
    """To question 0. Records as `OWNER TTL CLASS TYPE DATA`."""
    made = dns.message.make_response(dns.message.from_wire(question.message(0)))
    made.flags = dns.flags.from_text(flags)
    made.set_rcode(dns.rcode.from_text(rcode))
    sections = zip(
        (made.answer, made.authority, made.additional), (answer, authority, additional), strict=True
    )
    for section, records in sections:
        for record in records:
            owner, ttl, kind, type_, data = record.split(" ", 4)
            section.append(dns.rrset.from_text(owner, int(ttl), kind, type_, data))
    return made.to_wire(max_size=65535)


def wanted(question: Question) -> gate.Wanted:
    return gate.Wanted((question,), (), b"", ORIGINS)


def judged(
    question: Question, said: tuple[bytes | None, bytes | None], **theirs: tuple[bytes | None, bytes | None]
) -> Report:
    """What the gate finds in answers over UDP and TCP, next to those of `theirs` by name."""
    return judged_along(question, said, {}, **theirs)


def judged_along(
    question: Question,
    said: tuple[bytes | None, bytes | None],
    rest: dict[Question, bytes],
    **theirs: tuple[bytes | None, bytes | None],
) -> Report:
    """The same, where Knot says `rest` to further questions."""
    asked = wanted(question)
    references = {n: gate.understood(asked, gate.Asked([a], [b], [])) for n, (a, b) in theirs.items()}
    if "knot" in references:
        dns_peers.follow(references["knot"], [question], ORIGINS, lambda found: [rest.get(q) for q in found])
    return gate.judge(asked, gate.Asked([said[0]], [said[1]], []), references)


def both(raw: bytes) -> tuple[bytes, bytes]:
    """The same over UDP and TCP."""
    return raw, raw
