# SPDX-License-Identifier: Apache-2.0
"""The DNS gate in a session: which servers are started for it, with which zones, and what they are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from stackrig import registry, server, zones
from stackrig.errors import UserError
from stackrig.gate import dns as gate
from stackrig.gate import dns_corpus, dns_odd, dns_peers
from stackrig.gate.report import Report
from stackrig.gateway.host import Host, HostError
from stackrig.server import Server, ServerError, ServerPlan
from stackrig.signals import came_of_an_interrupt
from stackrig.testbed.local import Wires
from stackrig.testbed.wiring import Wiring

if TYPE_CHECKING:
    from stackrig.session import Corpus, Session

Found = TypeVar("Found")


class DnsGate:
    """Lives as long as the session: zones are made once, and the baselines asked once."""

    def __init__(self, session: Session, seed: int | None = None) -> None:
        self.session = session
        self.seed = dns_corpus.SEED if seed is None else seed
        self._references: dict[str, dns_peers.Said] | None = None
        self._lacking: dict[str, str] = {}  # baseline → why it gave no answers

    def run(self, plan: ServerPlan, wiring: Wiring, corpus: Corpus) -> Report:
        is_reference = plan.system.name in gate.REFERENCES
        references = {} if is_reference else self._answers_of_references()
        everything = replace(plan, zones=(*plan.zones, *self._served[0]))
        # Whatever the load comes by, the gate asks from kernel sockets.
        wiring = replace(wiring, client_passes=plan.system.variants[plan.variant].answers_in_xdp)
        asked, bench = self._ask(everything, wiring, corpus.entries)
        report = gate.judge(self.wanted, asked, references)
        report.seed = self.seed
        if is_reference:
            report.skipped = ["answers were not compared with a baseline's: this is one"]
        else:
            lacking = self._lacking.items()
            report.skipped += [f"answers were not compared with {name}'s: {why}" for name, why in lacking]
        report.skipped += self._served[1]
        for where, answers in bench.items():
            gate.judge_bench(report, corpus.entries, answers, where)
        return report

    @cached_property
    def _made(self) -> list[dns_corpus.ZoneText]:
        return dns_corpus.zones(self.seed)

    @cached_property
    def wanted(self) -> gate.Wanted:
        return gate.Wanted(
            tuple(dns_corpus.questions(self._made, seed=self.seed)),
            tuple(dns_odd.messages(self._made)),
            dns_odd.behind(self._made),
            frozenset(f"{zone.origin}." for zone in self._made),
        )

    @cached_property
    def _served(self) -> tuple[list[zones.Zone], list[str]]:
        return dns_corpus.lay_out(self.session.testbed.folder / "content" / "gate-zones", self._made)

    def _answers_of_references(self) -> dict[str, dns_peers.Said]:
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

    def _ask_reference(self, name: str) -> dns_peers.Said:
        system, variant = registry.resolve_system(name)
        server.program_of(system)
        cores = self.session.testbed.server.cores[:1]
        plan = ServerPlan(system, variant, "dns", {}, "kernel", cores, "", tuple(self._served[0]))
        follows = name in dns_peers.ENDS_EARLY

        def learn(client: Host, wires: Wires) -> dns_peers.Said:
            return gate.learn(client, wires.nics[0].target(plan.wire), plan.port, self.wanted, follows)

        return self._with_server(plan, Wiring(), learn)

    def _ask(
        self, plan: ServerPlan, wiring: Wiring, entries: int
    ) -> tuple[gate.Asked, dict[str, list[bytes | None]]]:
        """Everything on the first NIC, and the workload's zone on every one."""

        def ask(client: Host, wires: Wires) -> tuple[gate.Asked, dict[str, list[bytes | None]]]:
            targets = [nic.target(plan.wire) for nic in wires.nics]
            asked = gate.ask(client, targets[0], plan.port, self.wanted)
            messages = [q.message(n) for n, q in enumerate(gate.bench_questions(entries))] if entries else []
            bench = {
                target: client.call(
                    "datagrams", address=target, port=plan.port, messages=messages, tries=gate.TRIES
                )
                for target in (targets if entries else ())
            }
            return asked, bench

        return self._with_server(plan, wiring, ask)

    def _with_server(self, plan: ServerPlan, wiring: Wiring, ask: Callable[[Host, Wires], Found]) -> Found:
        """Start the server for the gate alone, ask, stop it."""
        testbed = self.session.testbed
        wires = testbed.lay(wiring)
        instance = Server(testbed, wires, plan, self.session.folder())
        try:
            instance.start()
            found = ask(testbed.client.host, wires)
            instance.check_alive()
        except HostError as error:
            raise ServerError(f"{plan.label}: the gate could not ask: {error}", instance.excerpt()) from None
        finally:
            instance.stop()
        return found
