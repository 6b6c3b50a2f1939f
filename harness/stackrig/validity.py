# SPDX-License-Identifier: Apache-2.0
"""What a trial's figure is worth: was it the client's, did counters agree, did each side pay for its own.

Pure functions over metrics and facts that the collectors found.
"""

from __future__ import annotations

from typing import Any

from stackrig.drivers.base import LoadResult
from stackrig.model.trial import Check, Metric, Validity

# Of its cores' time: beyond it a closed loop measures the client. Real-time tasks get 95 % of a core at most
# (sched_rt_runtime_us), so a client that has no time left shows some 0.95.
SATURATED = 0.92
OFFER_MET = 0.99
AGREE = 0.10  # windows of NIC counters and of the generator are not the same to the millisecond
FRAME_OVERHEAD = 78  # bytes per frame beyond its payload: Ethernet 14, IPv4 20, TCP 20 with options up to 24
HEADERS = 1024  # bytes of an answer's headers, at most
THREAD_PER_PACKET_S = (
    2e-8  # a NAPI thread that receives spends at least this on a packet; hundreds of ns are usual
)
STEERED = 0.9  # of its packets at least
IDLE_PACKETS = 100.0  # per second; below it there is nothing to judge
UNASKED = 0.001  # of all answers; a server that answers twice has done its work twice, and is no server
FOREIGN = 0.05  # cores' worth of other people's work on the trial's cores


def judge(
    metrics: dict[str, Metric],
    facts: dict[str, Any],
    load: LoadResult,
    placement: dict[str, Any],
    wire: str,
    link_rate: str,
    passes_on: bool = False,
    lossy: bool = False,
) -> Validity:
    """`passes_on`: what the server sends is what it was sent, as an echo's and a forwarder's is. `lossy`: the delay
    box loses or delays, or a flood is answered too, so that more is sent than arrives at the clients."""
    return Validity(
        client_saturated=client_saturated(metrics, load),
        offered_met=offered_met(load),
        counters_agree=counters_agree(metrics, passes_on, lossy),
        wire_limit=wire_limit(metrics, wire, link_rate),
        placement=placement_holds(metrics, facts, placement, wire),
        undisturbed=undisturbed(facts),
        answered_once=answered_once(load),
    )


def client_saturated(metrics: dict[str, Metric], load: LoadResult) -> Check:
    """Where more is offered than served the client may be as busy as it likes, but must take in what is served."""
    if load.sent is not None and load.requests < OFFER_MET * load.sent:
        served, counted = _packets_back(metrics), metrics.get("requests_rate")
        if served is not None and counted is not None and served.value * (1 - AGREE) > counted.value:
            told = f"the server sent {served.value:.0f} answers/s and the client counted {counted.value:.0f}"
            return Check(value=True, evidence=told)
        told = f"{load.sent} queries went out and {load.requests} were answered: more was offered than served"
        return Check(value=False, evidence=told)
    busy = metrics.get("client_busy")
    if busy is None:
        return Check(value=None, evidence="not checked: the client's CPU time could not be read")
    return Check(value=busy.value >= SATURATED, evidence=f"client's cores {busy.value:.1%} busy ({busy.how})")


def _packets_back(metrics: dict[str, Metric]) -> Metric | None:
    return _at_nic(metrics, "tx_packets_rate")


def offered_met(load: LoadResult) -> Check:
    if load.offered_rate is None:
        return Check(value=None, evidence="not checked: a closed loop offers what is served")
    served = load.requests / load.duration_s
    return Check(
        value=served >= OFFER_MET * load.offered_rate,
        evidence=f"served {served:.0f} of {load.offered_rate:.0f} per s",
    )


def counters_agree(metrics: dict[str, Metric], passes_on: bool = False, lossy: bool = False) -> Check:
    """Bytes of bodies at the clients against bytes that left the server's interfaces; where all of them were sent
    to it first, against those that came in as well."""
    body, requests = metrics.get("goodput"), metrics.get("requests_rate")
    told, holds = [], True
    for way in ("tx", "rx") if passes_on else ("tx",):
        nic, packets = _at_nic(metrics, f"{way}_bytes_rate"), _at_nic(metrics, f"{way}_packets_rate")
        if body is None or requests is None or nic is None or packets is None:
            why = "not checked: bytes at the client or at the server's NICs are unknown"
            return Check(value=None, evidence=why)
        least = body.value / 8
        headers = 0.0 if passes_on else requests.value * HEADERS
        most = least + headers + packets.value * FRAME_OVERHEAD
        holds = holds and least * (1 - AGREE) <= nic.value and (lossy or nic.value <= most * (1 + AGREE))
        sent = "sent" if way == "tx" else "received"
        told.append(f"NIC {sent} {nic.value:.4g} B/s, with all headers {most:.4g} at most")
    if lossy:
        told.append("what is lost is sent again and floods are answered, so that only the least is checked")
    return Check(value=holds, evidence=f"bodies {least:.4g} B/s; {'; '.join(told)}")


def _at_nic(metrics: dict[str, Metric], what: str) -> Metric | None:
    return metrics.get(f"nic_{what}") or metrics.get(f"nmio_{what}")


def wire_limit(metrics: dict[str, Metric], wire: str, link_rate: str) -> Check:
    """In the direction that has more."""
    ways = [found for way in ("tx", "rx") if (found := _at_nic(metrics, f"{way}_bytes_rate")) is not None]
    if not link_rate:
        return Check(value=True, evidence=f"the wire ({wire}) has no rate of its own here")
    if not ways:
        return Check(value=None, evidence="not checked: bytes at the NIC are unknown")
    rate, capacity = max(nic.value * 8 for nic in ways), parse_rate(link_rate)
    return Check(
        value=rate <= capacity * 1.01, evidence=f"{rate:.4g} bit/s on a wire of {capacity:.4g} bit/s"
    )


def parse_rate(text: str) -> float:
    """`10G` → 1e10 bit/s."""
    scale = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    return float(text[:-1]) * scale[text[-1]] if text[-1] in scale else float(text)


def placement_holds(
    metrics: dict[str, Metric], facts: dict[str, Any], placement: dict[str, Any], wire: str
) -> Check:
    """Receive work of a side ran in that side's threads, on that side's cores."""
    if wire == "shm":
        return Check(value=True, evidence="no kernel between the two: each side copies for itself")
    received, sent = metrics.get("nic_rx_packets_rate"), metrics.get("nic_tx_packets_rate")
    if received is None or sent is None:
        return Check(value=None, evidence="not checked: packets at the server's NICs are unknown")
    packets = {"server": received.value, "client": sent.value}
    told: list[str] = []
    threads = placement.get("threads", {})
    if placement.get("receive") == "rps":
        return _steered(facts, packets)
    for role in ("server", "client"):
        cores = set(placement["cores"][role])
        if not threads.get(role):
            return Check(value=False, evidence=f"{role}: receive work is not in threads of its own")
        astray = [t["name"] for t in threads[role] if not set(t["cores"]) <= cores]
        if astray:
            return Check(value=False, evidence=f"{role}: {astray[0]} runs outside cores {sorted(cores)}")
        spent = facts.get(f"{role}_thread_cores", 0.0) / max(packets[role], 1.0)
        if packets[role] > IDLE_PACKETS and spent < THREAD_PER_PACKET_S:
            return Check(
                value=False,
                evidence=f"{role}: its NAPI threads spent {spent * 1e9:.1f} ns per packet received: "
                "somebody else received them",
            )
        told.append(f"{role} {spent * 1e9:.0f} ns")
    evidence = f"NAPI threads on each side's cores, per packet received: {', '.join(told)}"
    if box := placement.get("delaybox"):
        evidence += (
            f"; the delay box runs on cores {box['cores']}, which it shares with {box['shares_cores_with']}"
        )
    return Check(value=True, evidence=evidence)


def _steered(facts: dict[str, Any], packets: dict[str, float]) -> Check:
    """With RPS: most packets of a side went up the stack on its cores. Other traffic there counts as well."""
    for role, rate in packets.items():
        received = facts.get(f"{role}_received_rate", 0.0)
        if rate > IDLE_PACKETS and received < STEERED * rate:
            return Check(
                value=False,
                evidence=f"{role}: {received:.0f} of its {rate:.0f} packets/s received on its cores",
            )
    rates = ", ".join(f"{role} {facts.get(f'{role}_received_rate', 0.0):.0f}" for role in packets)
    return Check(value=True, evidence=f"packets/s received on each side's cores (RPS): {rates}")


def answered_once(load: LoadResult) -> Check:
    """Answers over UDP that no query waited for: a second one, or one that came after the timeout."""
    if load.unasked is None:
        return Check(
            value=None, evidence="not checked: the load generator counts no answers that nobody waited for"
        )
    answers = load.requests + load.unasked
    return Check(
        value=load.unasked <= UNASKED * answers,
        evidence=f"{load.unasked} of {answers} answers came twice or too late",
    )


def undisturbed(facts: dict[str, Any]) -> Check:
    told = []
    worst = 0.0
    for role in ("server", "client"):
        foreign = facts.get(f"{role}_foreign_cores")
        if foreign is None:
            return Check(value=None, evidence="not checked: this kernel does not give CPU time by core")
        told.append(f"{role} {foreign:+.3f}")
        worst = max(worst, foreign)
    stolen = facts.get("stolen_cores", 0.0)
    evidence = f"cores' worth of others' work: {', '.join(told)}; stolen by the hypervisor {stolen:.3f}"
    return Check(value=worst <= FOREIGN and stolen <= FOREIGN, evidence=evidence)
