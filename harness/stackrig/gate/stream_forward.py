# SPDX-License-Identifier: Apache-2.0
"""What is asked of a Thrift forwarder (Slick 3.3): backends connected and closed over Thrift, messages that reach
the sink of their key whole, once and in their sender's order, whatever their shape and however they are cut."""

from __future__ import annotations

from collections.abc import Iterator

from stackrig.gate import stream_malformed
from stackrig.gate import thrift_words as thrift
from stackrig.gate.stream import OVER, Case, Heard, Step, ends, noise
from stackrig.gate.stream_scene import (
    CLOSE_REPLY,
    CONNECT_REPLY,
    SINKS,
    Scene,
    answered,
    arrived,
    at_sinks,
    connected,
    numbered,
    passage,
    read_all,
    sent,
)

PAYLOADS = (0, 1, 2, 31, 32, 33, 64, 128, 255, 256, 1024, 1418, 1419, 1420, 4096, 16384, 60000)
APART_S = 0.003  # two sends with that between them arrive apart
MUCH = 8 << 20  # bytes sent to a sink that does not listen


def cases(scene: Scene) -> list[Case]:
    return [
        _connects(scene),
        *(_payload(scene, size) for size in PAYLOADS),
        _spread(scene),
        _split_everywhere(scene),
        _byte_by_byte(scene),
        _shapes(scene),
        _several_senders(scene),
        _on_the_control_connection(scene),
        _unknown_key(scene),
        _unknown_method(scene),
        _nobody_there(scene),
        _replaced(scene),
        _backend_gone(scene),
        _sender_closes(scene),
        _sender_ends_in_a_message(scene),
        _slow_sink(scene),
        _close(scene),
        *stream_malformed.cases(scene),
    ]


def _connects(scene: Scene) -> Case:
    """Answers alone: what comes to the sinks is other cases' matter."""
    return Case("connect", [*scene.set_up(), ["pause", 0.02]], arrived({"S0.0": [], "S2.0": []}))


def _payload(scene: Scene, size: int) -> Case:
    messages = [thrift.msg(1, noise(size, f"payload {n}"), n) for n in range(8)]
    return sent(scene, f"payloads of {size} B", {"S1.0": [messages]}, ["send", "A", b"".join(messages)])


def _spread(scene: Scene) -> Case:
    """Many messages in one go, for all sinks in turn."""
    by_key = [numbered(400, key, 40, f"spread {key}") for key in range(SINKS)]
    mixed = b"".join(one for turn in zip(*by_key, strict=True) for one in turn)
    wanted = {f"S{key}.0": [messages] for key, messages in enumerate(by_key)}
    return sent(scene, "messages for all sinks in turn", wanted, ["send", "A", mixed])


def _split_everywhere(scene: Scene) -> Case:
    """A message for each place at which it can be cut in two."""
    length = len(thrift.msg(2, b"cut in two"))
    messages = [thrift.msg(2, b"cut in two", at) for at in range(1, length)]
    steps: list[Step] = []
    for at, one in enumerate(messages, 1):
        steps += [["send", "A", one[:at]], ["pause", APART_S], ["send", "A", one[at:]], ["pause", APART_S]]
    return sent(scene, "split at every byte", {"S2.0": [messages]}, *steps)


def _byte_by_byte(scene: Scene) -> Case:
    messages = numbered(2, 0, 8, "byte by byte")
    steps = [
        step for byte in b"".join(messages) for step in (["send", "A", bytes([byte])], ["pause", APART_S])
    ]
    return sent(scene, "a byte at a time", {"S0.0": [messages]}, *steps)


def _shapes(scene: Scene) -> Case:
    """Fields in any order, others between them, whatever their type: all forwarded as they came."""
    key, payload = (
        thrift.field(thrift.I32, 1, thrift.i32(1)),
        thrift.field(thrift.STRING, 2, thrift.string(b"p" * 33)),
    )
    strange = [
        thrift.field(thrift.BOOL, 3, b"\1"),
        thrift.field(thrift.BYTE, 4, b"\x7f"),
        thrift.field(thrift.DOUBLE, 5, bytes(8)),
        thrift.field(thrift.I16, 6, b"\1\2"),
        thrift.field(thrift.I32, 77, thrift.i32(2)),
        thrift.field(thrift.I64, -3, bytes(range(8))),
        thrift.field(thrift.STRING, 300, thrift.string(noise(90, "strange"))),
        thrift.field(thrift.STRUCT, 9, thrift.field(thrift.I32, 1, thrift.i32(2)) + thrift.STOP),
        thrift.field(thrift.LIST, 10, b"\x06" + thrift.i32(3) + bytes(6)),
        thrift.field(thrift.SET, 11, b"\x0b" + thrift.i32(2) + thrift.string(b"x") + thrift.string(b"")),
        thrift.field(thrift.MAP, 12, b"\x08\x0b" + thrift.i32(1) + thrift.i32(7) + thrift.string(b"seven")),
        thrift.field(thrift.MAP, 13, b"\0\0" + thrift.i32(0)),
    ]
    orders = [
        [payload, key],
        [key, *strange, payload],
        [*strange, payload, key],
        [payload, *strange[::-1], key],
    ]
    orders += [[one, key, payload] for one in strange] + [[key, payload, one] for one in strange]
    messages = [thrift.message(thrift.ONEWAY, b"msg", n, *fields) for n, fields in enumerate(orders)]
    return sent(
        scene, "fields in any order, unknown ones", {"S1.0": [messages]}, ["send", "A", b"".join(messages)]
    )


def _several_senders(scene: Scene) -> Case:
    """Four senders for the same sinks, cut into pieces that end anywhere, a piece of each in turn."""
    names = ("A", "B", "D", "E")
    by_sender = {name: [numbered(60, key, 70, f"{name}{key}") for key in range(SINKS)] for name in names}
    streams = {
        name: b"".join(one for turn in zip(*by_key, strict=True) for one in turn)
        for name, by_key in by_sender.items()
    }
    wanted = {f"S{key}.0": [by_sender[name][key] for name in names] for key in range(SINKS)}
    steps: list[Step] = [scene.opened(name) for name in names]
    for turn in range(20):
        for name, stream in streams.items():
            piece = -(-len(stream) // 20)
            steps.append(["send", name, stream[turn * piece : (turn + 1) * piece]])
    return Case("several senders at once", [*scene.set_up(), *steps, *read_all(wanted)], arrived(wanted))


def _on_the_control_connection(scene: Scene) -> Case:
    wanted = {"S0.0": [numbered(20, 0, 30, "control")]}
    steps = [["send", "C", b"".join(wanted["S0.0"][0])], *read_all(wanted)]
    return Case("messages on the connection that connected", [*scene.set_up(), *steps], arrived(wanted))


def _unknown_key(scene: Scene) -> Case:
    """Dropped, and what comes behind it is not."""
    messages = numbered(6, 1, 30, "known key")
    between = [thrift.msg(key, b"nobody's", 99) for key in (SINKS, -1, 4711, 2**31 - 1, -(2**31))]
    stream = b"".join(one + other for one, other in zip(messages, between, strict=False)) + messages[-1]
    return sent(
        scene, "keys without a backend", {"S1.0": [messages], "S0.0": [], "S2.0": []}, ["send", "A", stream]
    )


def _unknown_method(scene: Scene) -> Case:
    """A call gets TApplicationException UNKNOWN_METHOD, a oneway nothing; the connection goes on."""
    wanted = {"S1.0": [numbered(2, 1, 30, "unknown method")]}
    argument = thrift.field(thrift.STRING, 1, thrift.string(b"argument"))
    call = thrift.message(thrift.CALL, b"no_such", 4242, argument)
    oneway = thrift.message(thrift.ONEWAY, b"nor_this", 4243, argument)

    def wrong(heard: Heard) -> Iterator[str]:
        exception = thrift.Answer(thrift.EXCEPTION, b"no_such", 4242, thrift.UNKNOWN_METHOD)
        yield from answered("A", heard["A"], [exception])
        yield from ends("A", heard["A"], "open")

    first, second = wanted["S1.0"][0]
    steps = [
        scene.opened("A"),
        ["send", "A", first + call + oneway + second],
        ["read", "A", 27],
        ["pause", 0.05],
    ]
    return Case("unknown methods", [*scene.set_up(), *steps, *read_all(wanted)], arrived(wanted, wrong))


def _nobody_there(scene: Scene) -> Case:
    """What cannot be connected is told by a number that is not 0, and nobody else notices."""
    wanted = {"S1.0": [numbered(3, 1, 30, "nobody there")]}
    calls = [
        scene.connect(7, 90),  # no sink listens there
        thrift.connect(8, "no address", scene.sink_port, 1008),
        thrift.connect(9, scene.sink_address, 0, 1009),
        thrift.connect(10, scene.sink_address, 70000, 1010),
    ]

    def wrong(heard: Heard) -> Iterator[str]:
        try:
            said = thrift.answers(heard["A"].data)
        except thrift.AnswerError as error:
            yield f"A: {error}"
            return
        for n, what in enumerate(("a port where nobody listens", "no address", "port 0", "port 70000")):
            one = said[n] if n < len(said) else None
            if one is None or (one.kind, one.sequence) != (thrift.REPLY, 1007 + n) or not one.value:
                yield f"connect to {what}: expected a reply with an errno, got {one}"

    steps = [scene.opened("A"), ["send", "A", b"".join(calls)], ["read", "A", len(calls) * CONNECT_REPLY]]
    steps += [["send", "A", b"".join(wanted["S1.0"][0])]]
    return Case(
        "backends that cannot be reached",
        [*scene.set_up(), *steps, *read_all(wanted)],
        arrived(wanted, wrong),
    )


def _replaced(scene: Scene) -> Case:
    """A key that is connected again: what was sent before goes to the old backend, what comes after to the new."""
    before, after = numbered(5, 0, 30, "before"), numbered(5, 0, 30, "after")
    wanted = {"S0.0": [before], "S2.1": [after], "S2.0": []}

    def wrong(heard: Heard) -> Iterator[str]:
        yield from answered("C", heard["C"], [*connected(), *connected([0])])
        yield from at_sinks(heard, wanted)

    steps: list[Step] = [["send", "C", b"".join(before)], *read_all({"S0.0": [before]})]
    steps += [["send", "C", scene.connect(0, 2)], ["read", "C", (SINKS + 1) * CONNECT_REPLY]]
    steps += [["send", "C", b"".join(after)], *read_all({"S2.1": [after]})]
    return Case("a key connected again", [*scene.set_up(), *steps], wrong)


def _backend_gone(scene: Scene) -> Case:
    """Its messages are dropped until it is connected again; senders and other sinks go on."""
    first, lost, last = (numbered(4, 0, 30, name) for name in ("first", "lost", "last"))
    beside = numbered(8, 1, 30, "beside")
    wanted = {"S0.0": [first], "S0.1": [last], "S1.0": [beside]}

    def wrong(heard: Heard) -> Iterator[str]:
        yield from answered("C", heard["C"], [*connected(), *connected([0])])
        yield from ends("C", heard["C"], "open")
        yield from ends("A", heard["A"], "open")
        yield from at_sinks(heard, wanted)

    steps: list[Step] = [scene.opened("A"), ["send", "A", b"".join(first)], *read_all({"S0.0": [first]})]
    steps += [["reset", "S0.0"], ["pause", 0.1]]
    for one, other in zip(lost, beside, strict=False):
        steps += [["send", "A", one + other], ["pause", APART_S]]
    steps += [["pause", 0.05], ["send", "C", scene.connect(0, 0)], ["read", "C", (SINKS + 1) * CONNECT_REPLY]]
    steps += [["send", "A", b"".join(last + beside[4:])], *read_all({"S0.1": [last], "S1.0": [beside]})]
    return Case("a backend that goes away", [*scene.set_up(), *steps], wrong)


def _sender_closes(scene: Scene) -> Case:
    """Everything of one that closes as soon as it has sent is forwarded, though it ends in one go with its end."""
    by_sender = [numbered(150, 0, 200, f"closes {n}") for n in range(4)]
    steps: list[Step] = []
    for n, messages in enumerate(by_sender):
        steps += [scene.opened(f"A{n}"), ["send", f"A{n}", b"".join(messages)], ["close", f"A{n}"]]
    wanted = {"S0.0": by_sender}
    return Case("senders that close at once", [*scene.set_up(), *steps, *read_all(wanted)], arrived(wanted))


def _sender_ends_in_a_message(scene: Scene) -> Case:
    messages, half = numbered(10, 2, 60, "whole"), numbered(1, 2, 60, "half")[0][:50]
    wanted = {"S2.0": [messages]}

    def wrong(heard: Heard) -> Iterator[str]:
        yield from ends("A", heard["A"], *OVER)

    steps = [scene.opened("A"), ["send", "A", b"".join(messages) + half], ["half", "A"], ["end", "A"]]
    steps += [scene.opened("B"), ["send", "B", half], ["reset", "B"], *read_all(wanted)]
    return Case("senders that end in a message", [*scene.set_up(), *steps], arrived(wanted, wrong))


def _slow_sink(scene: Scene) -> Case:
    """Held back, not lost, and no matter of other senders with other sinks."""
    size = 8000
    slow = numbered(MUCH // size, 0, size, "slow")
    beside = numbered(20, 1, 30, "not slow")
    wanted = {"S0.0": [slow], "S1.0": [beside]}
    steps: list[Step] = [["deaf", "S0"], *scene.set_up(), scene.opened("A"), scene.opened("B")]
    steps += [["pour", "A", b"".join(slow), 0.5], ["send", "B", b"".join(beside)]]
    steps += [
        *read_all({"S1.0": [beside]}),
        ["note", "S1.0"],
        ["hear", "S0.0"],
        ["rest", "A"],
        *read_all(wanted),
    ]

    def wrong(heard: Heard) -> Iterator[str]:
        if heard["S1.0"].notes != [sum(map(len, beside))]:
            yield "another sender's messages to another sink waited for it"

    return Case("a sink that does not listen", steps, arrived(wanted, wrong))


def _close(scene: Scene) -> Case:
    """`close` tells how many backends there were and ends them behind what was sent before; without them messages
    are dropped, and the second close finds none."""
    before = [numbered(50, key, 500, f"before close {key}") for key in range(SINKS)]

    def wrong(heard: Heard) -> Iterator[str]:
        closes = [thrift.Answer(thrift.REPLY, b"close", n, count) for n, count in ((1, SINKS), (2, 0))]
        yield from answered("C", heard["C"], [*connected(), *closes])
        for key, messages in enumerate(before):
            name = f"S{key}.0"
            if told := passage(heard[name].data, messages):
                yield f"sink {name}: {told} (the connection: {heard[name].end})"
            yield from ends(name, heard[name], "closed")

    steps: list[Step] = [["send", "C", b"".join(one for by in before for one in by) + thrift.close(1)]]
    steps += [
        ["read", "C", SINKS * CONNECT_REPLY + CLOSE_REPLY],
        *(["end", f"S{key}.0"] for key in range(SINKS)),
    ]
    steps += [["send", "C", thrift.msg(0, b"nobody's") + thrift.close(2)]]
    steps += [["read", "C", SINKS * CONNECT_REPLY + 2 * CLOSE_REPLY]]
    return Case("close", [*scene.set_up(), *steps], wrong)
