# SPDX-License-Identifier: Apache-2.0
"""Random zones and random questions about them, from a seed: with everything that an answer may depend on, and
nothing that a baseline would refuse to load."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from pathlib import Path

from stackrig.gate import dns_signing
from stackrig.zones import Zone, wire_name

SEED = 20260607  # where a session has none
GROUPS = 8  # each a parent zone and a child of it
OWNERS = 40  # of a zone, about
QUESTIONS = 3000
TYPES = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "DNAME": 39,
    "DS": 43, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "NSEC3": 50, "NSEC3PARAM": 51, "CAA": 257, "ANY": 255,
    "TYPE65000": 65000,
}  # fmt: skip
# Of groups in turn, as further words for ldns-signzone: unsigned, NSEC, NSEC3, NSEC3 with opt-out.
SIGNINGS: tuple[tuple[str, ...] | None, ...] = (None, (), ("-n",), ("-n", "-p"))
SALTS = ("", "ab12", "0123456789abcdef")
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
    signing: tuple[str, ...] | None = None  # words for ldns-signzone; None: unsigned


def zones(seed: int = SEED) -> list[ZoneText]:
    chance = random.Random(seed)
    made: list[ZoneText] = []
    for group in range(GROUPS):
        origin = f"g{group}.test"
        elsewhere = [owner for zone in made for owner in zone.owners]
        signing = SIGNINGS[group % len(SIGNINGS)]
        parent = _zone(chance, origin, elsewhere, signing, delegate=f"kid.{origin}")
        below = signing if chance.random() < 0.5 else None
        made += [parent, _zone(chance, f"kid.{origin}", list(parent.owners), below)]
    return made


def lay_out(folder: Path, made: list[ZoneText]) -> tuple[list[Zone], list[str]]:
    """The zones as files in `folder`, those signed that are to be; what could not be signed, and why."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = dns_signing.lacking()
    found, skipped = [], list[str]()
    for zone in made:
        path = folder / f"{zone.origin}.zone"
        path.write_text(zone.text)
        if zone.signing is not None and not missing:
            try:
                path = dns_signing.sign(zone.origin, path, zone.signing)
            except dns_signing.SigningError as error:
                skipped.append(f"{zone.origin} was asked for unsigned: {error}")
        found.append(Zone(zone.origin, str(path)))
    if missing:
        many = sum(zone.signing is not None for zone in made)
        tools = " and ".join(missing)
        skipped.append(
            f"signed zones: {many} of {len(made)} zones were asked for unsigned: {tools} not found"
        )
    return found, skipped


def questions(made: list[ZoneText], count: int = QUESTIONS, seed: int = SEED) -> list[Question]:
    chance = random.Random(seed + 1)
    truncated = [Question(f"big.{zone.origin}", TYPES["TXT"]) for zone in made]
    return truncated + [_question(chance, chance.choice(made)) for _ in range(count)]


# --- one zone -------------------------------------------------------------------------------------------------


def _zone(
    chance: random.Random,
    origin: str,
    elsewhere: list[str],
    signing: tuple[str, ...] | None,
    delegate: str = "",
) -> ZoneText:
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
        lines += [f"{delegate}. NS ns1.{delegate}.", f"ns1.{delegate}. A 192.0.2.53", *_ds(chance, delegate)]
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
    if signing and "-n" in signing:
        salt = chance.choice(SALTS)
        signing = (*signing, "-t", str(chance.randrange(4)), *(("-s", salt) if salt else ()))
    return ZoneText(origin, "\n".join(lines) + "\n", (*owners, *closed, f"big.{origin}"), signing)


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
        return [
            *(inside if chance.random() < 0.7 else [f"{owner}. NS ns.other.example."]),
            *_ds(chance, owner),
        ]
    shapes = [
        *[f"A 10.9.8.{number}" for number in range(chance.choice((0, 1, 1, 2, 5)))],
        *[f"AAAA 2001:db8::{number}" for number in range(chance.choice((0, 0, 1, 2)))],
        *[f"MX {number} {target()}" for number in range(chance.choice((0, 0, 1, 2)))],
        *[f"SRV 1 2 {number} {target()}" for number in range(chance.choice((0, 0, 1)))],
        *[f'TXT "t{number}" "a;b c"' for number in range(chance.choice((0, 1, 2)))],
        *['CAA 0 issue "ca.example"'] * chance.choice((0, 1)),
    ]
    return [f"{owner}. {shape}" for shape in shapes or ["A 10.9.8.7"]]


def _ds(chance: random.Random, owner: str) -> list[str]:
    """Of a delegation, where it is a secure one. No resolver follows it: any digest will do."""
    if chance.random() < 0.5:
        return []
    return [f"{owner}. DS {chance.randrange(65536)} 13 2 {chance.randbytes(32).hex()}"]


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
    edns = chance.random() < 0.6
    return Question(
        name,
        chance.choice([1, 1, 1, *TYPES.values()]),
        edns,
        edns and chance.random() < 0.5,
        chance.choice((512, 1232, 4096)),
        chance.random() < 0.2,
    )
