# SPDX-License-Identifier: Apache-2.0
"""The gate of a session for servers of byte streams: start one, put the cases to it, stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackrig.gate import stream, stream_echo, stream_forward
from stackrig.gate.report import Report
from stackrig.gate.stream import Case
from stackrig.gate.stream_scene import Scene
from stackrig.gateway.host import HostError
from stackrig.model.system import Protocol
from stackrig.server import Server, ServerError, ServerPlan
from stackrig.testbed.wiring import Nic, Wiring

if TYPE_CHECKING:
    from stackrig.session import Session

ON_EVERY_NIC = 3  # cases that are asked on the NICs behind the first, too


def cases(protocol: Protocol, address: str, port: int, nic: Nic) -> list[Case]:
    if protocol == "echo":
        return stream_echo.cases(address, port)
    return stream_forward.cases(Scene(address, port, nic.client_kernel))


def run(session: Session, plan: ServerPlan, wiring: Wiring) -> Report:
    testbed, report = session.testbed, Report()
    serial = plan.system.variants[plan.variant].serial
    wires = testbed.lay(wiring)
    instance = Server(testbed, wires, plan, session.folder())
    try:
        instance.start()
        for nic in wires.nics:
            wanted = cases(plan.protocol, nic.target(plan.wire), plan.port, nic)
            few = wanted if nic.index == 0 else wanted[:ON_EVERY_NIC]
            stream.ask(testbed.client.host, few, serial, report)
        instance.check_alive()
    except HostError as error:
        instance.check_alive()
        raise ServerError(f"{plan.label}: the gate could not ask: {error}", instance.excerpt()) from None
    finally:
        instance.stop()
    return report
