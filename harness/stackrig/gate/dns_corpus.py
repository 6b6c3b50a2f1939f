# SPDX-License-Identifier: Apache-2.0
"""Random zones and random questions about them, from a seed: with everything that an answer may depend on, and
nothing that a baseline would refuse to load."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from pathlib import Path

from stackrig.zones import Zone, wire_name

SEED = 20260607
GROUPS = 3  # each a parent zone and a child of it
OWNERS = 40  # of a zone, about
QUESTIONS = 1500
TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "DNAME": 39,
    "DS": 43, "CAA": 257, "ANY": 255, "TYPE65000": 65000,
}  # fmt: skip
_UPDATE = 5  # refused in as many ways as there are servers
_LABELS = ["a", "b", "c", "www", "mail", "x-1", "_sip", "very-long-label-of-forty-and-some-letters", "7"]


@dataclass(frozen=True)
class Question:
    name: str  # without the last dot; "" is the root
    type: int = 1
    edns: bool = False
    dnssec_ok: bool = False
    payload_size: int = 1232
    rd: bool = False

    def told(self) -> str:
        known = {number: word for word, number in TYPES.items()}
        extra = f" EDNS {self.payload_size}{' DO' if self.dnssec_ok else ''}" if self.edns else ""
        return f"{self.name or '.'} {known.get(self.type, f'TYPE{self.type}')}{extra}"

    def message(self, number: int) -> bytes:
        head = struct.pack(">HHHHHH", number, 0x0100 if self.rd else 0, 1, 0, 0, int(self.edns))
        asked = wire_name(self.name) + struct.pack(">HH", self.type, 1)
        if not self.edns:
            return head + asked
        flags = 0x8000 if self.dnssec_ok else 0
        return head + asked + struct.pack(">BHHIH", 0, 41, self.payload_size, flags, 0)


@dataclass(frozen=True)
class ZoneText:
    origin: str
    text: str
    owners: tuple[str, ...]  # absolute, without the last dot


@dataclass(frozen=True)
class Odd:
    """A message that is no plain query; only how it is refused is compared."""

    name: str
    message: bytes
    also: frozenset[int | None] = frozenset()  # rcodes that are right whatever the baselines say


def zones(seed: int = SEED) -> list[ZoneText]:
    chance = random.Random(seed)
    made: list[ZoneText] = []
    for group in range(GROUPS):
        origin = f"g{group}.test"
        elsewhere = [owner for zone in made for owner in zone.owners]
        parent = _zone(chance, origin, elsewhere, delegate=f"kid.{origin}")
        made += [parent, _zone(chance, f"kid.{origin}", list(parent.owners))]
    return made


def lay_out(folder: Path) -> list[Zone]:
    """The zones as files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for zone in zones():
        path = folder / f"{zone.origin}.zone"
        path.write_text(zone.text)
        found.append(Zone(zone.origin, str(path)))
    return found


def questions(made: list[ZoneText], count: int = QUESTIONS, seed: int = SEED) -> list[Question]:
    chance = random.Random(seed + 1)
    truncated = [Question(f"big.{zone.origin}", TYPES["TXT"]) for zone in made]
    return truncated + [_question(chance, chance.choice(made)) for _ in range(count)]


def odd_messages(made: list[ZoneText]) -> list[Odd]:
    """Every opcode, counts that lie, compressed questions, cut messages, other classes."""
    name = made[0].owners[0]
    good = Question(name).message(0x4242)
    question = good[12:]
    not_implemented = frozenset({4})  # also where a baseline knows the opcode (RFC 1035 4.1.1)
    cases = [
        Odd(f"opcode {op}", good[:2] + bytes([op << 3]) + good[3:], not_implemented)
        for op in range(16)
        if op not in (0, _UPDATE)
    ]
    pointers = (("to itself", 12), ("into the header", 2), ("forward", 40))
    cases += [
        Odd(f"question is a pointer {how}", good[:12] + bytes([0xC0, to]) + b"\0\x01\0\x01")
        for how, to in pointers
    ]
    cases += [
        Odd("no question", struct.pack(">HHHHHH", 0x4242, 0, 0, 0, 0, 0)),
        Odd("two questions", good[:5] + b"\x02" + good[6:] + question),
        Odd("a label of 64 bytes", good[:12] + b"\x40" + b"a" * 64 + b"\0\0\x01\0\x01"),
        Odd("a name of more than 255 bytes", good[:12] + b"\x3f" * 320 + b"\0\0\x01\0\x01"),
        Odd("cut inside the name", good[:15]),
        Odd("cut before the class", good[:-2]),
        Odd("header only, one question announced", good[:12]),
        Odd("class ANY", good[:-2] + b"\0\xff"),
        Odd("EDNS version 1", Question(name, edns=True).message(0x4242)[:-6] + b"\0\x01\0\0\0\0"),
    ]
    return cases


# --- one zone -------------------------------------------------------------------------------------------------


def _zone(chance: random.Random, origin: str, elsewhere: list[str], delegate: str = "") -> ZoneText:
    lines = [
        f"$ORIGIN {origin}.",
        "$TTL 3600",
        f"@ {chance.choice([60, 7200])} SOA ns1 host.mail {chance.randrange(1, 9999)} 7200 3600 1209600 "
        f"{chance.choice([30, 300, 9000])}",
        "@ NS ns1",
        "@ NS ns.other.example.",
        "ns1 A 192.0.2.53",
        "ns1 AAAA 2001:db8::53",
        "@ MX 10 mx",
        "mx A 192.0.2.25",
    ]
    owners = [origin, f"ns1.{origin}", f"mx.{origin}"]
    closed: list[str] = []  # below cuts and DNAMEs there is nothing of this zone's own
    if delegate:
        lines += [f"{delegate}. NS ns1.{delegate}.", f"ns1.{delegate}. A 192.0.2.53"]
        closed.append(delegate)
    for kind in chance.choices(("data", "alias", "cut", "dname"), (20, 6, 3, 1), k=OWNERS):
        owner = _owner(chance, origin)
        if owner in owners or any(_within(owner, top) or _within(top, owner) for top in closed):
            continue
        if kind in ("cut", "dname"):
            if owner.startswith("*.") or any(_within(one, owner) for one in owners):
                continue
            closed.append(owner)
        owners.append(owner)
        lines += _records(chance, kind, owner, owners, elsewhere)
    lines += [f"big TXT {' '.join(['x' * 200] * 3)} n{number}" for number in range(12)]
    return ZoneText(origin, "\n".join(lines) + "\n", (*owners, *closed, f"big.{origin}"))


def _owner(chance: random.Random, origin: str) -> str:
    labels = [chance.choice(_LABELS) for _ in range(chance.choice((1, 1, 2, 3)))]
    if chance.random() < 0.15:
        labels.insert(0, "*")
    return ".".join([*labels, origin])


def _within(name: str, top: str) -> bool:
    return name == top or name.endswith(f".{top}")


def _records(
    chance: random.Random, kind: str, owner: str, owners: list[str], elsewhere: list[str]
) -> list[str]:
    def target() -> str:
        known = [*owners, *elsewhere, "host.other.example"]
        return chance.choice(known).replace("*", chance.choice(("*", "star"))) + "."

    if kind == "alias":
        return [f"{owner}. {chance.choice([60, 300])} CNAME {target()}"]
    if kind == "dname":
        return [f"{owner}. DNAME {target().removeprefix('*.')}"]
    if kind == "cut":
        glue = [f"ns.{owner}. A 192.0.2.{chance.randrange(1, 250)}", f"ns.{owner}. AAAA 2001:db8::1"]
        inside = [f"{owner}. NS ns.{owner}.", *glue[: chance.choice((1, 2))]]
        return inside if chance.random() < 0.7 else [f"{owner}. NS ns.other.example."]
    shapes = [
        *[f"A 10.9.8.{number}" for number in range(chance.choice((0, 1, 1, 2, 5)))],
        *[f"AAAA 2001:db8::{number}" for number in range(chance.choice((0, 0, 1, 2)))],
        *[f"MX {number} {target()}" for number in range(chance.choice((0, 0, 1, 2)))],
        *[f"SRV 1 2 {number} {target()}" for number in range(chance.choice((0, 0, 1)))],
        *[f'TXT "t{number}" "a;b c"' for number in range(chance.choice((0, 1, 2)))],
        *['CAA 0 issue "ca.example"'] * chance.choice((0, 1)),
    ]
    return [f"{owner}. {shape}" for shape in shapes or ["A 10.9.8.7"]]


def _question(chance: random.Random, zone: ZoneText) -> Question:
    name = chance.choice(zone.owners)
    turn = chance.random()
    if turn < 0.25:
        name = f"{chance.choice(['nope', 'a', '*', 'x.y'])}.{name}"
    elif turn < 0.35:
        name = name.partition(".")[2]  # an empty non-terminal, the parent, another's
    elif turn < 0.38:
        name = f"{chance.choice(['www.example.org', 'test', ''])}"
    if chance.random() < 0.3:
        name = "".join(chance.choice((letter.upper(), letter)) for letter in name)
    edns = chance.random() < 0.5
    return Question(
        name,
        chance.choice([1, 1, 1, *TYPES.values()]),
        edns,
        edns and chance.random() < 0.4,
        chance.choice((512, 1232, 4096)),
        chance.random() < 0.2,
    )
