# SPDX-License-Identifier: Apache-2.0
"""What is asked of an echo server (Slick 3.2.2: buffer size in four bytes, then buffers of that size)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from stackrig.gate.stream import OVER, Case, Heard, Step, differs, ends, noise

MOST = 65536  # bytes of a buffer
SIZES = (1, 2, 3, 31, 32, 33, 64, 128, 1000, 1447, 1448, 1449, 4096, 16384, 65535, MOST)
REFUSED = (0, MOST + 1, 1 << 31, (1 << 32) - 1)
SILENCE_S = 0.2  # in which nothing may come
APART_S = 0.003  # two sends with that between them arrive apart
MUCH = 8 << 20  # bytes sent to a server whose client does not listen

Wrong = Callable[[Heard], Iterable[str]]


def word(size: int) -> bytes:
    return struct.pack(">I", size)


def cases(address: str, port: int) -> list[Case]:
    def opened(name: str) -> Step:
        return ["open", name, address, port]

    return [
        *(_size(opened(f"size {size}"), size) for size in SIZES),
        _every_byte(opened("c")),
        _odd_pieces(opened("c")),
        _not_before_whole(opened("c")),
        *_half_closes(opened("c")),
        *(_refused(opened("bad"), opened("good"), size) for size in REFUSED),
        _refused_with_bytes(opened("bad"), opened("good")),
        _at_once([opened(f"c{n}") for n in range(8)]),
        _in_turn([opened(f"c{n}") for n in range(3)]),
        _others_go_on(opened("good"), opened("bad")),
        _vanishing([opened(f"gone{n}") for n in range(20)], opened("c")),
        _slow_reader(opened("c")),
    ]


def _echoed(wanted: dict[str, bytes], *end: str) -> Wrong:
    """Exactly these bytes on each connection, which then ended so."""

    def wrong(heard: Heard) -> Iterable[str]:
        for name, data in wanted.items():
            if told := differs(heard[name].data, data):
                yield f"{name}: {told} (the connection: {heard[name].end})"
            else:
                yield from ends(name, heard[name], *(end or ("closed",)))

    return wrong


def _size(opened: Step, size: int) -> Case:
    """Some buffers of one size, the first alone, the others in one go."""
    name = opened[1]
    data = noise(size * max(3, min(100, 200_000 // size)), f"echo {size}")
    steps: list[Step] = [
        opened,
        ["send", name, word(size)],
        ["send", name, data[:size]],
        ["read", name, size],
    ]
    steps += [["send", name, data[size:]], ["read", name, len(data)], ["half", name], ["end", name]]
    return Case(f"buffers of {size} B", steps, _echoed({name: data}))


def _every_byte(opened: Step) -> Case:
    name, data = opened[1], noise(48, "every byte")
    steps: list[Step] = [opened]
    for byte in word(24) + data:
        steps += [["send", name, bytes([byte])], ["pause", APART_S]]
    return Case("split at every byte", [*steps, ["half", name], ["end", name]], _echoed({name: data}))


def _odd_pieces(opened: Step) -> Case:
    """Pieces that end before, in and behind a buffer and its size."""
    name, data = opened[1], noise(1500 * 20, "odd pieces")
    whole, steps = word(1500) + data, [opened]
    at = 0
    for piece in (3, 2, 1498, 1, 1502, 1500, 2999, 2, 1447, 1449, 4096, 7):
        steps += [["send", name, whole[at : at + piece]], ["pause", APART_S]]
        at += piece
    steps += [["send", name, whole[at:]], ["half", name], ["end", name]]
    return Case("split at odd places", steps, _echoed({name: data}))


def _not_before_whole(opened: Step) -> Case:
    name, data = opened[1], noise(300, "not before whole")
    wanted = (0, 100, 200)

    def wrong(heard: Heard) -> Iterable[str]:
        for count, least in zip(heard[name].notes, wanted, strict=False):
            if count > least:
                yield f"{count} bytes came back when {least} were of buffers that it had whole"
        yield from _echoed({name: data})(heard)

    steps = [opened, ["send", name, word(100) + data[:99]], ["pause", SILENCE_S], ["note", name]]
    steps += [["send", name, data[99:150]], ["read", name, 100], ["pause", SILENCE_S], ["note", name]]
    steps += [["send", name, data[150:299]], ["read", name, 200], ["pause", SILENCE_S], ["note", name]]
    steps += [["send", name, data[299:]], ["half", name], ["end", name]]
    return Case("nothing before a buffer is whole", steps, wrong)


def _half_closes(opened: Step) -> list[Case]:
    """What was whole comes back, what was not does not, and then the server closes."""
    name, data = opened[1], noise(10_000, "half close")
    found = []
    for what, sent, back in (
        ("in a buffer", word(1000) + data[:9999], data[:9000]),
        ("behind a buffer", word(1000) + data, data),
        ("behind the size", word(1000), b""),
        ("in the size", word(1000)[:2], b""),
        ("at once", b"", b""),
    ):
        steps: list[Step] = [opened, *([["send", name, sent]] if sent else []), ["half", name], ["end", name]]
        found.append(Case(f"half close {what}", steps, _echoed({name: back})))
    return found


def _works(opened: Step) -> tuple[list[Step], bytes]:
    name, data = opened[1], noise(96, "still works")
    return [opened, ["send", name, word(32) + data], ["half", name], ["end", name]], data


def _refused(bad: Step, good: Step, size: int) -> Case:
    """Closed for its size, whether anything follows or not, and the next connection is served."""
    after, data = _works(good)

    def wrong(heard: Heard) -> Iterable[str]:
        if heard["bad"].data:
            yield f"{len(heard['bad'].data)} bytes came back"
        yield from ends("bad", heard["bad"], *OVER)
        yield from _echoed({"good": data})(heard)

    steps = [bad, ["send", "bad", word(size)], ["end", "bad"], *after]
    return Case(f"size {size} is refused", steps, wrong)


def _refused_with_bytes(bad: Step, good: Step) -> Case:
    case = _refused(bad, good, 0)
    steps = [bad, ["send", "bad", word(0) + noise(3000, "refused")], *case.steps[2:]]
    return Case("size 0 with bytes behind it is refused", steps, case.wrong)


def _at_once(opened: list[Step]) -> Case:
    """Several connections of different sizes, a piece of each in turn."""
    sizes = {step[1]: 17 * 3**number for number, step in enumerate(opened)}
    data = {name: noise(size * 12, name) for name, size in sizes.items()}
    whole = {name: word(sizes[name]) + data[name] for name in sizes}
    steps = list(opened)
    for turn in range(12):
        for name, stream in whole.items():
            piece = -(-len(stream) // 12)
            steps.append(["send", name, stream[turn * piece : (turn + 1) * piece]])
    steps += [["read", name, len(data[name])] for name in reversed(sizes)]
    steps += [[what, name] for name in sizes for what in ("half", "end")]
    return Case("several connections at once", steps, _echoed(data), serial=False)


def _in_turn(opened: list[Step]) -> Case:
    """Connections that wait for each other where the server wants it so: each ends before the next is read."""
    data = {step[1]: noise(64 * 30, f"in turn {step[1]}") for step in opened}
    steps = list(opened)
    steps += [step for name in data for step in (["send", name, word(64) + data[name]], ["half", name])]
    steps += [["end", name] for name in data]
    return Case("connections that wait", steps, _echoed(data))


def _others_go_on(good: Step, bad: Step) -> Case:
    """One that is refused and one that is reset leave the one beside them alone."""
    data = noise(640, "others go on")
    steps = [good, ["send", "good", word(64) + data[:320]], ["read", "good", 320]]
    steps += [bad, ["send", "bad", word(0)], ["end", "bad"]]
    steps += [["open", "torn", *bad[2:]], ["send", "torn", word(64) + data[:100]], ["reset", "torn"]]
    steps += [["send", "good", data[320:]], ["read", "good", 640], ["half", "good"], ["end", "good"]]
    return Case("others go on", steps, _echoed({"good": data}), serial=False)


def _vanishing(gone: list[Step], good: Step) -> Case:
    """Clients that reset their connections in the middle of a buffer, and one that comes after them."""
    steps: list[Step] = []
    for step in gone:
        steps += [step, ["send", step[1], word(64) + noise(100, "gone")], ["reset", step[1]]]
    after, data = _works(good)
    return Case("clients that vanish", [*steps, *after], _echoed({good[1]: data}))


def _slow_reader(opened: Step) -> Case:
    """A client that sends much before it reads anything: nothing is lost and nothing altered."""
    name, data = opened[1], noise(MUCH, "slow reader")
    steps = [opened, ["deaf", name], ["pour", name, word(16384) + data, 0.5], ["hear", name], ["rest", name]]
    steps += [["read", name, len(data)], ["half", name], ["end", name]]
    return Case("a client that reads late", steps, _echoed({name: data}))
