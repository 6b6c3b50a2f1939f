# SPDX-License-Identifier: Apache-2.0
"""What NSD and Knot say to a question, and in which ways a server may differ from both and yet be right.

One baseline has to be matched in all parts together: a mixture of two is what nobody says. The ways below are those
that were looked at, each with its reason; systems/lib/dns/peers_test.cc goes by the same.

  LEAN      NSD puts the zone's NS and their addresses behind positive answers. RFC 1034 4.3.2 asks for no such thing.
  COMPOSED  Knot ends an answer where an alias leaves the zone, or after some aliases. RFC 1034 4.3.2 goes on in every
            zone that the server has. So Knot is asked for the alias' target too, and its answers are put together.
  SOME      ANY may be answered by any RRset of the name, whole (RFC 8482 4.1). NSD gives all over TCP.
  NO ROOM   Over UDP: what a server says over TCP (which has to be a baseline's), but that it does not fit: truncated,
            or without some of the additional section, which is sent as far as there is room (RFC 2181 9).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from stackrig.gate.dns_answer import (
    RRSIG,
    TC,
    Answer,
    Record,
    absolute,
    covers,
    difference,
    end_of_chain,
    read_or_none,
    show,
)
from stackrig.gate.dns_corpus import TYPES, Question
from stackrig.zones import wire_name

ENDS_EARLY = ("knot",)  # whose answers are put together along aliases
ADDS_NS = ("nsd",)  # whose answers may do without the zone's NS
LINKS = 20  # of a chain that is followed
LEAST_ROOM, MOST_ROOM = 512, 1232  # of an answer over UDP: RFC 1035 4.2.1; what baselines/*/ allow
_AA = 0x0400
_HOST_AT = {TYPES["NS"]: 0, TYPES["MX"]: 2, TYPES["SRV"]: 6}  # where in its data the name of a host begins

Ask = Callable[[Sequence[Question]], Sequence[bytes | None]]


@dataclass
class Said:
    """A baseline's answers, by the question's index. None: none came, or it cannot be read."""

    plain: list[Answer | None]
    stream: list[Answer | None]  # over TCP
    odd: list[bytes | None]
    rest: dict[Question, Answer | None] = field(default_factory=dict)  # what aliases lead to, over TCP
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Way:
    """One answer that is right."""

    who: str
    answer: Answer


def ways(
    name: str, said: Answer, question: Question, origins: Collection[str], rest: Said | None
) -> Iterator[Way]:
    """A baseline's answer as it is, and as it may be as well. `rest`: where the ends of aliases are found."""
    yield Way(name, said)
    if name in ADDS_NS and (lean := without_ns(said, origins)) != said:
        yield Way(f"{name} without the zone's NS", lean)
    if (
        name in ENDS_EARLY
        and rest is not None
        and (whole := composed(said, question, origins, rest.rest)) != said
    ):
        yield Way(f"{name} along the aliases", whole)


# --- LEAN -----------------------------------------------------------------------------------------------------


def without_ns(said: Answer, origins: Collection[str]) -> Answer:
    """Without a zone's own NS, their signatures and their addresses, in so far as these do not belong to the answer
    section itself (an MX may name the same host)."""
    if not said.flags & _AA or not said.answer:
        return said
    ns = {r for r in said.authority if covers(r, TYPES["NS"]) and r[0] in origins}
    wanted = {r[4][_HOST_AT[r[1]] :] for r in said.answer if r[1] in _HOST_AT}
    hosts = {r[4] for r in ns if r[1] == TYPES["NS"]}
    dropped = {r for r in said.additional if (host := wire_name(r[0])) in hosts and host not in wanted}
    return replace(said, authority=said.authority - ns, additional=said.additional - dropped)


# --- COMPOSED -------------------------------------------------------------------------------------------------


def open_end(said: Answer, question: Question, origins: Collection[str]) -> Question | None:
    """What the last alias of an answer leads to, where the server has that zone and says nothing of it: neither a
    record, nor a denial (SOA), nor a referral (NS). Proofs that a wildcard was expanded may be there."""
    if said.is_cut or said.rcode != 0 or question.type == TYPES["CNAME"]:
        return None
    if any(r[1] in (TYPES["SOA"], TYPES["NS"]) for r in said.authority):
        return None
    end = end_of_chain(said.answer, question.name)
    if end == absolute(question.name) or any(r[0] == end for r in said.answer):
        return None
    if not any(end == origin or end.endswith(f".{origin}") for origin in origins):
        return None
    return replace(question, name=end.rstrip("."))


def composed(
    said: Answer, question: Question, origins: Collection[str], rest: dict[Question, Answer | None]
) -> Answer:
    """The answer and those for what its aliases lead to, as one; as far as they are known."""
    for _ in range(LINKS):
        further = open_end(said, question, origins)
        found = rest.get(further) if further is not None else None
        if found is None:
            break
        together = {part: getattr(said, part) | getattr(found, part) for part in Answer.SECTIONS}
        said, before = replace(said, rcode=found.rcode, **together), said
        if said == before:
            break
    return said


def follow(said: Said, wanted: Sequence[Question], origins: Collection[str], ask: Ask) -> None:
    """Asks for what the aliases lead to until all of it is known."""
    for _ in range(LINKS):
        lacking = set[Question]()
        for question, answer in zip(wanted, said.stream, strict=True):
            if answer is None:
                continue
            further = open_end(composed(answer, question, origins, said.rest), question, origins)
            if further is not None and further not in said.rest:
                lacking.add(further)
        if not lacking:
            return
        ordered = sorted(lacking, key=repr)
        said.rest |= dict(zip(ordered, map(read_or_none, ask(ordered)), strict=True))


# --- SOME, NO ROOM --------------------------------------------------------------------------------------------


def is_some_of(said: Answer, whole: Answer) -> bool:
    """Whether an answer to ANY has whole RRsets of those that are there, at least one; and is the same otherwise."""
    if not said.answer or difference(replace(said, answer=whole.answer, additional=whole.additional), whole):
        return False
    theirs = _sets(whole.answer)
    # Additional data belongs to the RRsets that were chosen; no more than belongs to all of them.
    return said.additional <= whole.additional and all(
        theirs.get(key) == records for key, records in _sets(said.answer).items()
    )


def _sets(records: Collection[Record]) -> dict[tuple[str, int, bytes], set[Record]]:
    """RRsets by owner and type; signatures also by what they cover."""
    found: dict[tuple[str, int, bytes], set[Record]] = {}
    for record in records:
        covered = record[4][:2] if record[1] == RRSIG else b""
        found.setdefault((record[0], record[1], covered), set()).add(record)
    return found


def is_cut_down(said: Answer, whole: Answer, whole_bytes: int, question: Question) -> bool:
    """Whether this is what fits of `whole`, the same server's answer over TCP."""
    if difference(said, whole) is None:
        return True
    if whole.is_cut or whole_bytes <= room(question):
        return False
    if said.is_cut:
        has_same_head = difference(replace(said, flags=said.flags & ~TC), whole) not in Answer.HEAD
        return has_same_head and all(getattr(said, part) <= getattr(whole, part) for part in Answer.SECTIONS)
    return (
        said.additional < whole.additional
        and difference(replace(said, additional=whole.additional), whole) is None
    )


def room(question: Question) -> int:
    """For an answer over UDP, in bytes."""
    return min(max(question.payload_size, LEAST_ROOM), MOST_ROOM) if question.edns else LEAST_ROOM


def told(said: Answer, known: Sequence[Way]) -> str:
    """What is wrong, next to the one that comes closest: the first part that is not as it says."""

    def likeness(way: Way) -> tuple[int, int]:
        head, sections = (
            sum(getattr(said, part) == getattr(way.answer, part) for part in parts)
            for parts in (Answer.HEAD, Answer.SECTIONS)
        )
        return head, sections

    closest = max(known, key=likeness)
    part = difference(said, closest.answer) or Answer.HEAD[0]
    expected = "; ".join(f"{way.who}: {show(getattr(way.answer, part))}" for way in known)
    return f"{part}: got {show(getattr(said, part))}, expected {expected}; no one server says all of it"
