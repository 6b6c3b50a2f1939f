# SPDX-License-Identifier: Apache-2.0
"""A name server that is right, or wrong in one way: for the tests of the gate. ADDRESS PORT ZONES... [lie=LIE]

It answers from the zone files by dnspython: enough to be one of two servers that agree with each other.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zone

ADDRESS, PORT = sys.argv[1], int(sys.argv[2])
LIE = next((word.removeprefix("lie=") for word in sys.argv[3:] if word.startswith("lie=")), "")
ZONES = {
    dns.name.from_text(origin): dns.zone.from_file(path, origin=origin + ".", relativize=False)
    for origin, path in (word.split("=", 1) for word in sys.argv[3:] if not word.startswith("lie="))
}


def answer(raw: bytes, stream: bool) -> bytes | None:
    try:
        query = dns.message.from_wire(raw)
    except Exception:
        return odd(raw, 1) if len(raw) >= 12 else None
    if query.flags & dns.flags.QR:
        return None
    if query.opcode() != 0 or len(query.question) != 1:
        return odd(raw, 4)
    reply = dns.message.make_response(query)
    _fill(reply, query.question[0])
    wire = bytearray(reply.to_wire(max_size=65535))
    if LIE == "cut" and len(reply.answer) > 0:
        reply.answer = []
        wire = bytearray(reply.to_wire(max_size=65535))
    if not stream and len(wire) > 512:
        reply.answer, reply.authority = [], []
        reply.flags |= dns.flags.TC
        wire = bytearray(reply.to_wire())
    if LIE == "lower-case question":
        end = wire.index(0, 12)
        wire[12:end] = wire[12:end].lower()
    if LIE == "no question":
        wire[4:6] = b"\0\0"
        del wire[12 : wire.index(0, 12) + 5]
    wire[2] ^= {"another opcode": 0x10, "no QR": 0x80}.get(LIE, 0)
    wire[3] ^= {"Z": 0x40}.get(LIE, 0)
    return bytes(wire)


def odd(raw: bytes, rcode: int) -> bytes | None:
    """To what is no query: the head alone."""
    first = {"odd without QR": raw[2] & 0x78, "odd with opcode 0": 0x80}.get(LIE, 0x80 | raw[2] & 0x78)
    return None if LIE == "silent to odd" else raw[:2] + struct.pack(">BB", first, rcode) + bytes(8)


def _fill(reply: dns.message.Message, question: dns.rrset.RRset) -> None:
    name = question.name
    origin = max((origin for origin in ZONES if name.is_subdomain(origin)), key=len, default=None)
    if origin is None:
        reply.set_rcode(dns.rcode.REFUSED)
        return
    zone = ZONES[origin]
    if LIE != "no AA":
        reply.flags |= dns.flags.AA
    found = zone.get_rrset(name, question.rdtype)
    if found is not None:
        shown = dns.rrset.from_rdata_list(name, found.ttl + (LIE == "another TTL"), list(found))
        reply.answer.append(shown)
        return
    if LIE != "no SOA":
        reply.authority.append(zone.find_rrset(origin, dns.rdatatype.SOA))
    if zone.get_node(name) is None and LIE != "no NXDOMAIN":
        reply.set_rcode(dns.rcode.NXDOMAIN)


def udp(mine: socket.socket) -> None:
    while True:
        raw, peer = mine.recvfrom(4096)
        if (said := answer(raw, False)) is not None:
            mine.sendto(said, peer)


def tcp() -> None:
    with socket.create_server((ADDRESS, PORT)) as server:
        while True:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as stream:
                while len(size := stream.read(2)) == 2:
                    said = answer(stream.read(struct.unpack(">H", size)[0]), True)
                    if LIE == "silent over TCP" or said is None:
                        break
                    connection.sendall(struct.pack(">H", len(said)) + said)


datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind((ADDRESS, PORT))  # before TCP listens, which is what the tests wait for
threading.Thread(target=tcp, daemon=True).start()
udp(datagrams)
