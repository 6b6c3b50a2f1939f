# SPDX-License-Identifier: Apache-2.0
"""One trial: fresh wires, a fresh server, load, counters, the record's content. Whatever goes wrong with the
system under test ends in a record of status "failed", never in an exception."""

from __future__ import annotations

import contextlib
import json
import shlex
import time
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stackrig import backend, loads, plan, provenance, registry, validity
from stackrig.collectors import cpu, syscalls
from stackrig.collectors.base import Collected, Context, Side, Window, all_collectors
from stackrig.drivers import base as drivers
from stackrig.drivers.base import Driver, Load, LoadResult
from stackrig.errors import RunError, StackrigError
from stackrig.gate.report import Report
from stackrig.gateway.host import HostError
from stackrig.loads import Generation, LoadError
from stackrig.model.base import Scalar
from stackrig.model.trial import Metric, Phase, Point, Provenance, Trial, Validity
from stackrig.model.workload import STREAMS
from stackrig.plan import BENCH, Plan, Planned
from stackrig.records import now
from stackrig.server import Server, ServerError, ServerPlan, program_of
from stackrig.session import Corpus, Session, box_of, server_plan, wiring_of
from stackrig.signals import came_of_an_interrupt
from stackrig.stats.percentiles import samples_needed
from stackrig.testbed import placement
from stackrig.testbed.local import Wires
from stackrig.testbed.wiring import PORTS, PREFIX_LENGTH

EDGE = 0.05  # of the measured phase at either end lies outside the counters' window
SYSCALL_WINDOW_S = 0.35
SYSCALL_WARMUP_S = 0.1
TOLERATED_ERRORS = 0.01  # of all requests may time out or be reset before the trial is invalid
SAMPLES_NEEDED = {
    name: samples_needed(q) for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999))
}
# Kinds of error after which no figure counts: of answers, and of what went through a forwarder.
WRONG_ANSWERS = ("status", "length", "content", "question")
WRONG_PASSAGE = ("lost", "duplicated", "reordered", "altered", "misdelivered")


@dataclass
class Attempt:
    """What is known of a trial so far; a failure keeps what was found before it."""

    planned: Planned
    started: str
    began: float = field(default_factory=time.monotonic)
    phases: list[Phase] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, str | bytes] = field(default_factory=dict)  # file name under raw/ → content
    result: LoadResult | None = None
    provenance: Provenance | None = None

    def phase(self, name: str, began: float) -> None:
        start = round(began - self.began, 6)
        self.phases.append(Phase(name=name, start_s=start, duration_s=round(time.monotonic() - began, 6)))


def run(session: Session, planned: Planned, whole: Plan, run_id: str, folder: Path) -> Trial:
    """Runs the trial, fills `folder` (trial.json and raw/) and returns the record."""
    attempt = Attempt(planned, now())
    status, reason, excerpt = "ok", "", ""
    try:
        status, reason = _attempt(session, attempt, whole)
    except Exception as error:
        if came_of_an_interrupt(error):
            raise KeyboardInterrupt from error
        status, reason, excerpt = "failed", _reason(error), _excerpt(error)
    record = _record(session, attempt, whole, run_id, status, reason, excerpt)
    return _store(record, attempt, folder)


def _reason(error: Exception) -> str:
    known = isinstance(error, StackrigError | OSError)
    return str(error) if known else f"the harness itself failed: {type(error).__name__}: {error}"


def _excerpt(error: Exception) -> str:
    if isinstance(error, RunError):
        return error.excerpt
    return "" if isinstance(error, StackrigError | OSError) else "".join(traceback.format_exception(error))


def _attempt(session: Session, attempt: Attempt, whole: Plan) -> tuple[str, str]:
    point = attempt.planned.point
    workload = registry.load_workload(point.workload, point.load)
    corpus = session.corpus(workload, point.settings)
    cores = session.cores("server", int(point.settings.get("server_cores", 1)))
    served = server_plan(point, corpus, cores)
    wiring = wiring_of(point, served.system)
    report = session.gate(point, served, wiring, corpus)
    attempt.raw["gate.json"] = json.dumps(report.as_json(), indent=1)
    if not report.ok:
        return "failed", f"correctness gate: {report.told()}"
    wires = session.testbed.lay(wiring)
    server = Server(session.testbed, wires, served, session.folder())
    hosts = [session.testbed.server.host, session.testbed.client.host]
    started_before = [len(host.commands) for host in hosts]
    attempt.provenance = _provenance(session, point, served, wires)
    try:
        begin = time.monotonic()
        server.start()
        _hurry(session, attempt, server)
        attempt.phase("start", begin)
        try:
            _measure(session, attempt, server, wires, corpus, report, whole.count_syscalls)
        except Exception:
            server.check_alive()  # a dead server explains what its clients complain of
            raise
        server.check_alive()
        if wires.wiring.box is not None and session.testbed.box is not None:
            session.testbed.box.check_alive()
        ended_badly = server.stop()
    finally:
        server.stop()
        if served.system.in_kernel:
            session.testbed.server.host.call("calm_workers")
        log = session.testbed.server.host.call("tail", path=server.log, size=65536)
        attempt.raw["server.log"] = log
        commands = [c for host, n in zip(hosts, started_before, strict=True) for c in host.commands[n:]]
        attempt.provenance = attempt.provenance.model_copy(update={"commands": commands})
    if ended_badly:
        raise ServerError(ended_badly, str(log)[-2000:])
    return _status(attempt)


def _hurry(session: Session, attempt: Attempt, server: Server) -> None:
    """Who works for a server in the kernel is scheduled as a server's process is."""
    if not server.plan.system.in_kernel or attempt.provenance is None:
        return
    side = session.testbed.server
    how = session.testbed.scheduling()
    workers = side.host.call("hurry_workers", cores=server.plan.cores, **how)
    placed = {**attempt.provenance.placement, "kernel_workers": workers}
    attempt.provenance = attempt.provenance.model_copy(update={"placement": placed})


def _measure(
    session: Session,
    attempt: Attempt,
    server: Server,
    wires: Wires,
    corpus: Corpus,
    report: Report,
    count: bool,
) -> None:
    planned = attempt.planned
    driver, load = make_load(session, planned, wires, corpus, report.header_bytes)
    if refused := driver.refuses(load):
        raise LoadError(f"{planned.point.load}: {refused}", "")
    before: LoadResult | None = None
    if not driver.warms_up_itself:
        begin = time.monotonic()
        warmup = Generation(session.testbed, driver, load, "warmup")
        warmup.start()
        before = loads.parse(driver, warmup.finish(load.warmup_s), load)
        attempt.phase("warmup", begin)
    begin = time.monotonic()
    context = _context(session, server, wires, load)
    generation = Generation(session.testbed, driver, load, "measure")
    generation.start(before)
    _hurry(session, attempt, server)  # workers that came with the load
    first = (load.warmup_s if driver.warms_up_itself else 0.0) + EDGE * load.duration_s
    try:
        windows = _windows(session, context, first, (1 - 2 * EDGE) * load.duration_s)
        raw = generation.finish(load.duration_s)
    finally:
        generation.abandon()
    attempt.phase("measure" if not driver.warms_up_itself else "warmup and measure", begin)
    attempt.raw.update(
        {f"{name}.txt" if "{" not in text[:1] else f"{name}.json": text for name, text in raw.outputs.items()}
    )
    attempt.raw.update({f"{name}.log": text for name, text in raw.logs.items() if text})
    _keep_windows(attempt, windows, context)
    attempt.result = result = loads.parse(driver, raw, load)
    _load_metrics(attempt, result, driver.name)
    collected = Collected()
    for collector in all_collectors():
        collected.merge(collector.evaluate(windows, context))
    if count:
        collected.merge(_count_syscalls(session, attempt, server, driver, load, before))
    else:
        collected.merge(syscalls.evaluate(None, "no panel of this artifact asks for it"))
    attempt.metrics.update(collected.metrics)
    attempt.unavailable.update(collected.unavailable)
    attempt.facts.update(collected.facts)
    _derived(attempt, result, len(load.cores))


def make_load(
    session: Session, planned: Planned, wires: Wires, corpus: Corpus, header_bytes: int
) -> tuple[Driver, Load]:
    point = planned.point
    generator = registry.load_generator(point.load)
    parameters: dict[str, Scalar] = {
        name: setting.default for name, setting in generator.parameters.items() if setting.default is not None
    }
    parameters |= {name: value for name, value in point.settings.items() if name in generator.parameters}
    protocol = registry.load_workload(point.workload, point.load).protocol
    folder = session.folder()
    cores = session.cores("client", int(point.settings.get("client_cores", 1)))
    ports = (
        []
        if point.wire == "kernel"
        else [(n.client_uri, f"{n.client_port}/{PREFIX_LENGTH}") for n in wires.nics]
    )
    load = Load(
        program=loads.program_of(generator),
        protocol=protocol,
        targets=[f"{nic.target(point.server_wire)}:{PORTS[protocol]}" for nic in wires.nics],
        paths=[file.path for file in corpus.files],
        parameters=parameters,
        warmup_s=planned.warmup_s,
        duration_s=planned.duration_s,
        wire=point.wire,
        ports=ports,
        interfaces=wires.interfaces("client"),
        cores=cores,
        seed=planned.seed,
        folder=str(folder),
        content_root=str(corpus.root),
        file_size=corpus.files[0].size if len(corpus.files) == 1 else None,
        local_addresses=[nic.client_kernel for nic in wires.nics if nic.client_interface],
        beside=[(n.client_uri, f"{n.client_port}/{PREFIX_LENGTH}") for n in wires.nics]
        if point.wire == "kernel"
        else [],
        header_bytes=header_bytes,
    )
    return drivers.get(generator.driver), load


# --- counters -------------------------------------------------------------------------------------------------


def _context(session: Session, server: Server, wires: Wires, load: Load) -> Context:
    sides = {}
    box = session.testbed.box if wires.wiring.box is not None else None
    for side, cores in ((session.testbed.server, server.plan.cores), (session.testbed.client, load.cores)):
        sides[side.role] = Side(
            role=side.role,
            cores=cores,
            cgroup=str(side.cgroup),
            interfaces=wires.interfaces(side.role),
            receive_threads=[thread.tid for thread in wires.receive_threads.get(side.role, [])],
            lodger_cgroup=str(box.cgroup) if box and side.role == "client" else "",
            lodger_threads=[t.tid for t in box.threads] if box and side.role == "client" else [],
            pids=server.pids() if side.role == "server" else [],
            telemetry=server.telemetry if side.role == "server" else None,
            in_kernel=side.role == "server" and server.plan.system.in_kernel,
        )
    return Context(session.testbed.groups, sides, load.wire)


def _windows(session: Session, context: Context, begin: float, length: float) -> dict[str, Window]:
    """Both hosts read their counters at both ends of the same window; the harness sleeps meanwhile."""
    collectors = all_collectors()
    sides = (session.testbed.server, session.testbed.client)
    for side in sides:
        known = context.sides[side.role]
        side.host.begin(
            "window",
            files=[path for c in collectors for path in c.files(known, context)],
            binaries=[path for c in collectors for path in c.binaries(known, context)],
            begin=begin,
            length=length,
            threads=cpu.THREADS,
        )
    return {side.role: Window.of(side.host.result(begin + length + 60)) for side in sides}


def _keep_windows(attempt: Attempt, windows: dict[str, Window], context: Context) -> None:
    """As they were read, so that collectors can be run again over old records."""
    texts = {
        role: {
            "seconds": window.seconds,
            "threads": [thread for thread in window.threads if thread["ns"]],
            "first": {path: text for path, text in window.first.items() if not isinstance(text, bytes)},
            "last": {path: text for path, text in window.last.items() if not isinstance(text, bytes)},
        }
        for role, window in windows.items()
    }
    attempt.raw["counters.json"] = json.dumps(texts)
    page = windows["server"].last.get(context.server.telemetry or "")
    if isinstance(page, bytes):
        attempt.raw["telemetry.page"] = page.rstrip(b"\0")


def _count_syscalls(
    session: Session, attempt: Attempt, server: Server, driver: Driver, load: Load, before: LoadResult | None
) -> Collected:
    """In a phase of its own. Its failure costs this metric, not the figures that were measured before."""
    begin = time.monotonic()
    # Another seed, so that ports which the server still holds in TIME_WAIT are not the first to be tried.
    short = replace(load, warmup_s=SYSCALL_WARMUP_S, duration_s=SYSCALL_WINDOW_S + 0.1, seed=load.seed + 1)
    generation = Generation(session.testbed, driver, short, "measure")
    host = session.testbed.server.host
    descriptors: list[int] = []
    try:
        descriptors = host.call("count_open", pids=server.pids(), tracepoint=syscalls.TRACEPOINT)
        generation.start(before)
        counted = host.call(
            "count", descriptors=descriptors, begin=SYSCALL_WARMUP_S + 0.02, length=SYSCALL_WINDOW_S
        )
        result = loads.parse(driver, generation.finish(short.duration_s), short)
        found = syscalls.evaluate(counted, "", result.requests / (result.duration_s or 1e-9))
    except (HostError, LoadError) as error:
        server.check_alive()
        found = syscalls.evaluate(None, str(error))
    finally:
        generation.abandon()
        with contextlib.suppress(HostError):
            host.call("count_close", descriptors=descriptors)
    attempt.phase("syscalls", begin)
    return found


# --- metrics --------------------------------------------------------------------------------------------------


def _load_metrics(attempt: Attempt, result: LoadResult, tool: str) -> None:
    how = f"{tool}, measured phase of {result.duration_s:.3f} s"

    def put(name: str, value: float | None, unit: str, why_not: str) -> None:
        if value is None:
            attempt.unavailable[name] = f"because {why_not}"
        else:
            attempt.metrics[name] = Metric(value=value, unit=unit, how=how)

    seconds = result.duration_s or 1e-9
    put("requests_rate", result.requests / seconds, "1/s", "")
    connections = None if result.connections is None else result.connections / seconds
    put("connections_rate", connections, "1/s", f"{tool} does not count connections in this mode")
    body = None if result.body_bytes is None else 8 * result.body_bytes / seconds
    put("goodput", body, "bit/s", f"{tool} does not count bytes of bodies")
    count = sum(n for _, n in result.histogram) if result.histogram is not None else result.requests
    for name in ("p50", "p90", "p99", "p999", "mean"):
        if name in result.latency_s and (needed := SAMPLES_NEEDED.get(name, 1)) > count:
            attempt.unavailable[f"latency_{name}"] = (
                f"because it needs {needed:,} samples; there are {count:,}"
            )
            continue
        why_not = result.unavailable.get(f"latency_{name}") or result.unavailable.get(
            "latency", "not measured"
        )
        put(f"latency_{name}", result.latency_s.get(name), "s", why_not.removeprefix("because "))
    for name, value in result.beside.items():
        put(name, value, "1/s", "")
    put("answers_unasked", result.unasked, "1", f"{tool} does not count them")
    for kind, count in result.errors.items():
        put(f"errors_{kind}", float(count), "1", "")
    if result.histogram is not None:
        attempt.raw["latency.hist.json"] = json.dumps(result.histogram)


def _derived(attempt: Attempt, result: LoadResult, client_cores: int) -> None:
    metrics = attempt.metrics
    cpu, rate = metrics.get("server_cpu_cores"), metrics.get("requests_rate")
    if cpu is not None and rate is not None and rate.value > 0:
        how = "server_cpu_cores over requests_rate"
        metrics["server_cpu_per_request"] = Metric(value=cpu.value / rate.value, unit="s", how=how)
    process, receive = metrics.get("client_process_cpu_cores"), metrics.get("client_receive_cpu_cores")
    if process is None or receive is None:
        attempt.unavailable["client_busy"] = "because the clients' CPU time could not be read"
        return
    work = process.value
    how = "control group and NAPI threads over the client's cores"
    if result.busy is not None and result.looks:
        # Such a client looks for work when it has none: what counts is the share in which it had some.
        work = min(process.value, result.busy * client_cores)
        how = "the generator's busy cycles and NAPI threads over the client's cores"
    if (box := metrics.get("delaybox_cpu_cores")) is not None:
        how += f", with the delay box, which shares them ({box.value:.2f} cores)"
        work += box.value
    metrics["client_busy"] = Metric(value=(work + receive.value) / client_cores, unit="ratio", how=how)


def _status(attempt: Attempt) -> tuple[str, str]:
    result = attempt.result
    assert result is not None
    wrong = {
        kind: result.errors[kind] for kind in (*WRONG_ANSWERS, *WRONG_PASSAGE) if result.errors.get(kind)
    }
    if wrong:
        told = ", ".join(f"{count} of kind {kind}" for kind, count in wrong.items())
        return "failed", f"wrong answers under load: {told}"
    besieged = _besieged(attempt.planned.point)
    if result.requests == 0 and not result.body_bytes and not besieged:
        kinds = {kind: count for kind, count in result.errors.items() if count}
        return "failed", f"no request was answered; errors: {kinds or 'none'}"
    if besieged:
        return "ok", ""  # what real clients lost beside a flood is what was asked for
    lost = result.failed_requests / (result.requests + result.failed_requests)
    if lost > TOLERATED_ERRORS:
        return "invalid", f"{lost:.1%} of the requests ended in errors: {result.errors}"
    return "ok", ""


def _besieged(point: Point) -> bool:
    return point.settings.get("flood", "none") != "none"


def why_invalid(checks: Validity) -> str:
    """Why no figure of the trial counts though its server did nothing that is wrong; empty where they do."""
    if checks.wire_limit.value is False:
        return f"faster than the wire: {checks.wire_limit.evidence}"
    if checks.answered_once.value is False:
        return f"answers that nobody waited for: {checks.answered_once.evidence}"
    return ""


# --- record ---------------------------------------------------------------------------------------------------


def _provenance(session: Session, point: Point, served: ServerPlan, wires: Wires) -> Provenance:
    name, dirty = provenance.commit()
    generator = registry.load_generator(point.load)
    programs = {served.system.name: program_of(served.system), generator.name: loads.program_of(generator)}
    driver = drivers.get(generator.driver)
    versions = {generator.name: provenance.tool_version(*driver.version_command(programs[generator.name]))}
    if served.system.version_command:
        versions[served.system.name] = provenance.tool_version(*served.system.version_command)
    sides = {side.role: side for side in (session.testbed.server, session.testbed.client)}
    cores = {
        "server": served.cores,
        "client": session.cores("client", int(point.settings.get("client_cores", 1))),
    }
    return Provenance(
        commit=name,
        dirty=dirty,
        binary_sha256={n: provenance.binary_hash(p) for n, p in programs.items()},
        compiler=provenance.compiler(),
        kernel=provenance.host_facts()["kernel"],
        cpu=provenance.cpu_model(),
        commands=[],
        tool_versions=versions,
        inventory_sha256=session.inventory_hash,
        congestion_control=wires.congestion_control,
        offloads=wires.offloads,
        sysctls={role: side.sysctls for role, side in sides.items()},
        placement={
            **placement.describe(
                session.inventory.all.vars, wires.wiring.frames, wires.receive_threads, cores
            ),
            "huge_pages": session.testbed.owner.huge_pages,
            **({"backend": f"{backend.BASELINE}, with the clients"} if served.system.backend else {}),
            **_delay_box(session, wires, cores["client"]),
        },
    )


def _delay_box(session: Session, wires: Wires, client_cores: list[int]) -> dict[str, object]:
    box = session.testbed.box
    if wires.wiring.box is None or box is None:
        return {}
    return {"delaybox": box.describe(wires.wiring, client_cores)}


def rerun_command(whole: Plan, planned: Planned) -> str:
    """The exact command that runs this trial's point again."""
    is_bar = whole.profile == BENCH
    experiment = None if is_bar else registry.load_artifact(whole.artifact).experiment
    names = plan.AXES if experiment is None else experiment.grid
    axes = [f"{n}={plan.shown(n, v)}" for n, v in planned.point.settings.items() if n in names]
    if is_bar:  # both sides at that point
        name = whole.artifact.removeprefix(f"{BENCH}-")
        return shlex.join(["stackrig", "bench", name, "--trials", "1", "--point", ",".join(axes)])
    axes.insert(0, f"system={planned.point.label}")
    words = ["stackrig", "run", whole.artifact, "--profile", whole.profile, "--seed", str(whole.seed)]
    return shlex.join([*words, "--repetitions", "1", "--point", ",".join(axes)])


def _record(
    session: Session, attempt: Attempt, whole: Plan, run_id: str, status: Any, reason: str, excerpt: str
) -> Trial:
    planned = attempt.planned
    checks = None
    if attempt.result is not None and attempt.provenance is not None:
        checks = validity.judge(
            attempt.metrics,
            attempt.facts,
            attempt.result,
            attempt.provenance.placement,
            planned.point.wire,
            str(planned.point.settings.get("link_rate", "")),
            registry.load_workload(planned.point.workload, planned.point.load).protocol in STREAMS,
            box_of(planned.point.settings) is not None or _besieged(planned.point),
        )
        if status == "ok" and (why := why_invalid(checks)):
            status, reason = "invalid", why
    attempt.raw["facts.json"] = json.dumps(attempt.facts, indent=1, default=str)
    return Trial(
        id=f"{planned.order:04d}-{planned.slug}",
        run=run_id,
        artifact=whole.artifact,
        status=status,
        reason=reason,
        point=planned.point,
        repetition=planned.repetition,
        seed=planned.seed,
        order=planned.order,
        profile=whole.profile,
        started=attempt.started,
        ended=now(),
        phases=attempt.phases,
        metrics=attempt.metrics,
        unavailable=attempt.unavailable,
        validity=checks,
        provenance=attempt.provenance,
        rerun=rerun_command(whole, planned),
        log_excerpt=excerpt,
    )


def _store(record: Trial, attempt: Attempt, folder: Path) -> Trial:
    from stackrig.records import dump

    files = {}
    for name, text in attempt.raw.items():
        (folder / "raw" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        files[name.partition(".")[0] if name != "latency.hist.json" else "latency_histogram"] = f"raw/{name}"
    histograms = {"latency": "raw/latency.hist.json"} if "latency.hist.json" in attempt.raw else {}
    whole = record.model_copy(update={"files": files, "histograms": histograms})
    (folder / "trial.json").write_text(dump(whole), encoding="utf-8")
    return whole


__all__ = ["Attempt", "make_load", "rerun_command", "run"]
