# SPDX-License-Identifier: Apache-2.0
"""What is no message of the forwarder's service: the connection that sent it is closed, and nobody else notices."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from stackrig.gate import thrift_words as thrift
from stackrig.gate.stream import OVER, Case, Heard, Step, ends
from stackrig.gate.stream_scene import Scene, arrived, numbered, read_all

_KEY, _PAYLOAD = (
    thrift.field(thrift.I32, 1, thrift.i32(0)),
    thrift.field(thrift.STRING, 2, thrift.string(b"x")),
)
_HUGE = 2**31 - 1


def _msg(*fields: bytes) -> bytes:
    return thrift.message(thrift.ONEWAY, b"msg", 0, *fields)


def _head(word: int, length: int = 3) -> bytes:
    return (
        struct.pack(">I", word) + thrift.i32(length) + b"msg" + thrift.i32(0) + _KEY + _PAYLOAD + thrift.STOP
    )


# All of them would be for key 0, were they messages.
MALFORMED: dict[str, bytes] = {
    "another version": _head(0x80020004),
    "no version": thrift.string(b"msg") + b"\4" + thrift.i32(0) + _KEY + _PAYLOAD + thrift.STOP,
    "no type of message": _head(thrift.VERSION | 9),
    "a name of negative length": _head(thrift.VERSION | thrift.ONEWAY, -1),
    "a name of 2 GiB": _head(thrift.VERSION | thrift.ONEWAY, _HUGE),
    "a key that is a string": _msg(thrift.field(thrift.STRING, 1, thrift.string(b"0")), _PAYLOAD),
    "a payload that is a number": _msg(_KEY, thrift.field(thrift.I32, 2, thrift.i32(1))),
    "a payload of negative length": _msg(_KEY, thrift.field(thrift.STRING, 2, thrift.i32(-1) + b"x")),
    "a payload of 2 GiB": _msg(_KEY, thrift.field(thrift.STRING, 2, thrift.i32(_HUGE) + b"x")),
    "a field of no type": _msg(_KEY, thrift.field(99, 5, b"abcd"), _PAYLOAD),
    "an unknown field of 2 GiB": _msg(_KEY, thrift.field(thrift.STRING, 5, thrift.i32(_HUGE)), _PAYLOAD),
    "a list of 2 Gi numbers": _msg(_KEY, thrift.field(thrift.LIST, 5, b"\x08" + thrift.i32(_HUGE)), _PAYLOAD),
    "a list of negative length": _msg(_KEY, thrift.field(thrift.LIST, 5, b"\x08" + thrift.i32(-5)), _PAYLOAD),
    "text of another protocol": b"GET / HTTP/1.1\r\nHost: gate\r\n\r\n",
}


def cases(scene: Scene) -> list[Case]:
    return [_malformed(scene, what, data) for what, data in MALFORMED.items()] + [_behind_good_ones(scene)]


def _malformed(scene: Scene, what: str, data: bytes) -> Case:
    """Beside one that goes on; nothing of it reaches the sinks."""
    messages = numbered(6, 0, 30, what)
    wanted: dict[str, list[list[bytes]]] = {"S0.0": [messages], "S1.0": []}

    def wrong(heard: Heard) -> Iterator[str]:
        if heard["bad"].data:
            yield f"{len(heard['bad'].data)} bytes came back on the connection that sent it"
        yield from ends("the connection that sent it", heard["bad"], *OVER)

    steps: list[Step] = [scene.opened("A"), ["send", "A", b"".join(messages[:3])]]
    steps += [scene.opened("bad"), ["send", "bad", data], ["end", "bad"]]
    steps += [["send", "A", b"".join(messages[3:])], *read_all(wanted)]
    return Case(f"malformed: {what}", [*scene.set_up(), *steps], arrived(wanted, wrong))


def _behind_good_ones(scene: Scene) -> Case:
    """What was whole before it is forwarded."""
    messages = numbered(5, 1, 30, "before it")
    wanted = {"S1.0": [messages]}

    def wrong(heard: Heard) -> Iterator[str]:
        yield from ends("the connection that sent it", heard["bad"], *OVER)

    data = b"".join(messages) + MALFORMED["a key that is a string"]
    steps = [scene.opened("bad"), ["send", "bad", data], ["end", "bad"], *read_all(wanted)]
    return Case("malformed behind messages", [*scene.set_up(), *steps], arrived(wanted, wrong))
