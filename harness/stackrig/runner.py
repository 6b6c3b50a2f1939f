# SPDX-License-Identifier: Apache-2.0
"""A whole run: trial after trial in the plan's order, each recorded, none able to stop the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackrig import loads, provenance, records, registry, server, trial
from stackrig.errors import UserError, unknown
from stackrig.model.trial import Run, Testbed, Trial
from stackrig.plan import Plan, Planned
from stackrig.records import RunFolder
from stackrig.session import Session, require_programs
from stackrig.testbed.owner import lives

Progress = Callable[[Planned, Trial], None]


def begin(plan: Plan, session: Session) -> RunFolder:
    """A folder for a new run, with its plan in it."""
    inventory = session.inventory
    points = [planned.point for planned in plan.trials]
    wires = {point.wire == "shm" for point in points}
    nics = max(int(point.settings.get("nics", 1)) for point in points)
    sides = (inventory.server, inventory.client)
    run = Run(
        id=records.new_run_id(plan.profile),
        artifact=plan.artifact,
        profile=plan.profile,
        seed=plan.seed,
        status="running",
        started=records.now(),
        plan={
            "trials": [planned.as_dict() for planned in plan.trials],
            "repetitions": plan.repetitions,
            "seconds": plan.seconds,
            "count_syscalls": plan.count_syscalls,
            "filters": plan.filters,
        },
        testbed=Testbed(
            testbed_class="softnic" if wires == {True} else inventory.all.vars.testbed_class,
            name=session.inventory_name,
            hosts=[name for name, _ in sides],
            nics=nics,
            cores={"server": inventory.server[1].cores, "client": inventory.client[1].cores},
            fidelity="network namespaces on one machine; the NICs are "
            + " or ".join(
                "shared memory between two processes" if shm else "veth pairs" for shm in sorted(wires)
            ),
        ),
        host=provenance.host_facts(),
        owner=session.testbed.owner.who,
    )
    return RunFolder.create(run)


def again(folder: RunFolder) -> Plan:
    """The plan of a run that was stopped, to go on with."""
    run = folder.load()
    if run.status == "running" and lives(run.owner):
        raise UserError(
            f"run {run.id} is still under way (process {run.owner['pid']}); wait for its end or stop that process"
        )
    return Plan(
        artifact=run.artifact,
        profile=run.profile,
        seed=run.seed,
        repetitions=int(run.plan["repetitions"]),
        trials=[Planned.from_dict(one) for one in run.plan["trials"]],
        count_syscalls=bool(run.plan["count_syscalls"]),
        filters=dict(run.plan["filters"]),
    )


def changed_programs(folder: RunFolder) -> list[str]:
    """Programs whose file is another one than when the run's trials were made."""
    was: dict[str, set[str]] = {}
    for record in folder.read():
        for name, found in (record.provenance.binary_sha256 if record.provenance else {}).items():
            was.setdefault(name, set()).add(found)
    now = {}
    for point in (planned.point for planned in again(folder).trials):
        system, generator = registry.load_system(point.system), registry.load_generator(point.load)
        now[system.name] = server.program_of(system)
        now[generator.name] = loads.program_of(generator)
    return sorted(name for name in was if name in now and was[name] != {provenance.binary_hash(now[name])})


def check(plan: Plan) -> None:
    """Everything that can be known to be missing before anything is started."""
    require_programs([planned.point for planned in plan.trials])
    from stackrig.testbed.local import load_inventory

    inventory, _ = load_inventory()
    for role, host in (("server", inventory.server[1]), ("client", inventory.client[1])):
        wanted = max(int(p.point.settings.get(f"{role}_cores", 1)) for p in plan.trials)
        if wanted > len(host.cores):
            raise unknown(f"number of {role}_cores (the inventory gives {len(host.cores)})", str(wanted), [])


def go(plan: Plan, folder: RunFolder, session: Session, progress: Progress) -> Run:
    """All trials that are not recorded yet. Ctrl-C leaves the run "stopped", to be resumed."""
    status: Any = "stopped"
    folder.save(folder.load().model_copy(update={"status": "running", "owner": session.testbed.owner.who}))
    try:
        done = folder.done()
        for planned in plan.trials:
            if planned.order not in done:
                _one(plan, planned, folder, session, progress)
        status = "complete"
    finally:
        run = folder.load()
        counts: dict[str, int] = {}
        for record in folder.read():
            counts[record.status] = counts.get(record.status, 0) + 1
        run = run.model_copy(update={"status": status, "ended": records.now(), "counts": counts})
        folder.save(run)
    return run


def _one(plan: Plan, planned: Planned, folder: RunFolder, session: Session, progress: Progress) -> None:
    name = f"{planned.order:04d}-{planned.slug}"
    owner = session.testbed.owner
    owner.unfinished = [str(folder.unfinished(name))]
    owner.save()
    with folder.writing(name) as unfinished:
        record = trial.run(session, planned, plan, folder.path.name, unfinished)
    progress(planned, record)
    if record.status == "failed" and not session.hosts_answer():
        session.renew()
