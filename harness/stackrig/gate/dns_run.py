# SPDX-License-Identifier: Apache-2.0
"""The DNS gate in a session: which servers are started for it, with which zones, and what they are asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from stackrig import registry, server, zones
from stackrig.errors import UserError
from stackrig.gate import dns as gate
from stackrig.gate import dns_corpus
from stackrig.gate.dns_corpus import Odd, Question
from stackrig.gate.report import Report
from stackrig.gateway.host import HostError
from stackrig.server import Server, ServerError, ServerPlan
from stackrig.signals import came_of_an_interrupt
from stackrig.testbed.wiring import Wiring

if TYPE_CHECKING:
    from stackrig.session import Corpus, Session


# veth_xdp_flush() of Linux wakes the receiver only where that has a program; else frames wait for the next one.
NO_KERNEL_CLIENT = "what a program sends reaches a veth's other end only if that has a program too"


@dataclass(frozen=True)
class Wanted:
    questions: tuple[Question, ...]
    odd: tuple[Odd, ...]


@cache
def wanted() -> Wanted:
    made = dns_corpus.zones()
    return Wanted(tuple(dns_corpus.questions(made)), tuple(dns_corpus.odd_messages(made)))


class DnsGate:
    """Lives as long as the session: the baselines are asked once."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._references: dict[str, gate.Asked] | None = None
        self._lacking: dict[str, str] = {}  # baseline → why it gave no answers

    def run(self, plan: ServerPlan, wiring: Wiring, corpus: Corpus) -> Report:
        is_reference = plan.system.name in gate.REFERENCES
        references = {} if is_reference else self._answers_of_references()
        everything = replace(plan, zones=(*plan.zones, *self._zones()))
        if in_xdp := plan.system.variants[plan.variant].answers_in_xdp:
            wiring = replace(wiring, xdp_mode="generic")
        asked, bench = self._ask(everything, wiring, corpus.entries)
        report = gate.judge(wanted().questions, wanted().odd, asked, references)
        if is_reference:
            report.skipped = ["answers were not compared with a baseline's: this is one"]
        elif self._lacking:
            told = (f"answers were not compared with {name}'s: {why}" for name, why in self._lacking.items())
            report.skipped = list(told)
        if in_xdp:
            report.skipped.append(f"XDP in native mode: {NO_KERNEL_CLIENT}; asked in generic mode")
        gate.judge_bench(report, corpus.entries, bench)
        return report

    def _zones(self) -> list[zones.Zone]:
        return dns_corpus.lay_out(self.session.testbed.folder / "content" / "gate-zones")

    def _answers_of_references(self) -> dict[str, gate.Asked]:
        """The baselines' answers. One that gives none (not installed, broken) is not the failure of the system
        under test."""
        if self._references is None:
            self._references = {}
            for name in gate.REFERENCES:
                try:
                    self._references[name] = self._ask_reference(name)
                except (UserError, ServerError, HostError) as error:
                    if came_of_an_interrupt(error):
                        raise
                    self._lacking[name] = str(error)
        return self._references

    def _ask_reference(self, name: str) -> gate.Asked:
        system, variant = registry.resolve_system(name)
        server.program_of(system)
        cores = self.session.testbed.server.cores[:1]
        plan = ServerPlan(system, variant, {}, "kernel", cores, "", tuple(self._zones()))
        return self._ask(plan, Wiring(), 0)[0]

    def _ask(self, plan: ServerPlan, wiring: Wiring, entries: int) -> tuple[gate.Asked, list[bytes | None]]:
        """Start the server for the gate alone, ask on every NIC, stop it."""
        testbed = self.session.testbed
        wires = testbed.lay(wiring)
        instance = Server(testbed, wires, plan, self.session.folder())
        client = testbed.client.host
        try:
            instance.start()
            targets = [nic.target(plan.wire) for nic in wires.nics]
            asked = gate.ask(client, targets[0], plan.port, wanted().questions, wanted().odd)
            bench: list[bytes | None] = []
            for target in targets if entries else ():
                messages = [q.message(n) for n, q in enumerate(gate.bench_questions(entries))]
                bench = client.call("datagrams", address=target, port=plan.port, messages=messages)
            instance.check_alive()
        except HostError as error:
            raise ServerError(f"{plan.label}: the gate could not ask: {error}", instance.excerpt()) from None
        finally:
            instance.stop()
        return asked, bench
