# SPDX-License-Identifier: Apache-2.0
"""Made-up trials, in the form in which the harness records them. No number here was ever measured."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stackrig.claims.records import RunData
from stackrig.model.base import Scalar
from stackrig.model.experiment import Artifact
from stackrig.model.trial import Check, Metric, Point, Provenance, Run, Testbed, Trial, Validity

UNITS = {
    "goodput": "bit/s",
    "requests_rate": "1/s",
    "server_cpu_cores": "cores",
    "server_cpu_percent": "%",
    "server_cpu_per_request": "s",
    "server_busy_percent": "%",
    "syscalls_rate": "1/s",
    "latency_p99": "s",
}

Truth = Callable[[str, Mapping[str, Any]], Mapping[str, float]]
"""(system, axes) -> the metrics' true values there."""


def artifact(
    *,
    grid: Mapping[str, Sequence[Scalar]],
    systems: Sequence[str] = ("sandstorm/precopy", "nginx"),
    id_: str = "figure-9.9",
    panels: Sequence[Mapping[str, Any]] = (),
) -> Artifact:
    return Artifact.model_validate(
        {
            "schema": 1,
            "id": id_,
            "title": "A made-up figure",
            "paper": "thesis-2018",
            "caption": "Something against something.",
            "fidelity": "Everything differs: it is made up.",
            "experiment": {
                "systems": list(systems),
                "workload": "web-short",
                "grid": {axis: list(values) for axis, values in grid.items()},
                "profiles": {"smoke": {}},
            },
            "panels": list(panels),
        }
    )


def check(value: bool | None, evidence: str = "made up") -> Check:
    return Check(value=value, evidence=evidence)


def validity(**found: bool | None) -> Validity:
    fine: dict[str, bool | None] = {
        "client_saturated": False,
        "offered_met": None,
        "counters_agree": True,
        "wire_limit": True,
        "placement": True,
        "undisturbed": True,
    }
    return Validity(**{name: check(value) for name, value in (fine | found).items()})


def provenance(system: str) -> Provenance:
    return Provenance(
        commit="0123456789abcdef0123456789abcdef01234567",
        dirty=False,
        binary_sha256={system.split("/")[0]: "ab" * 32},
        compiler="g++ 12.2.0",
        kernel="Linux 6.1.0",
        cpu="A made-up CPU @ 2.50GHz",
        commands=[["systems/sandstorm/sandstorm", "--port", "afxdp:rig-s0?queues=1"], ["rigload", "http"]],
        tool_versions={"nginx": "1.22.1"},
        inventory_sha256="cd" * 32,
        congestion_control={"server": "cubic"},
        offloads={"rig-s0": {"tso": False, "gso": False}},
        sysctls={"server": {"net.ipv4.tcp_congestion_control": "cubic"}},
        placement={"server": [0], "client": [1]},
    )


def run_record(artifact_: Artifact, profile: str, testbed: str, nics: int, server_cores: int) -> Run:
    return Run(
        id="20261120-120000-made-up",
        artifact=artifact_.id,
        profile=profile,
        seed=42,
        status="complete",
        started="2026-11-20T12:00:00Z",
        ended="2026-11-20T12:09:00Z",
        plan={"repetitions": 5, "seconds": 540},
        testbed=Testbed.model_validate(
            {
                "class": testbed,
                "name": "local",
                "hosts": ["server", "client"],
                "nics": nics,
                "cores": {"server": list(range(server_cores)), "client": [server_cores]},
                "fidelity": "veth pairs between two network namespaces",
            }
        ),
        host={
            "cpu": "A made-up CPU @ 2.50GHz",
            "kernel": "Linux 6.1.0",
            "memory_bytes": 24 << 30,
            "cores": 2,
        },
        counts={"ok": 1},
    )


def make(
    artifact_: Artifact,
    truth: Truth,
    *,
    repetitions: int = 8,
    noise: float = 0.02,
    seed: int = 1,
    testbed: str = "veth",
    nics: int = 2,
    server_cores: int = 1,
    profile: str = "local",
    change: Callable[[Trial], Trial | None] = lambda trial: trial,
) -> RunData:
    """A run with log-normal noise on every trial. `change` may alter a trial, or leave it out (None)."""
    experiment = artifact_.experiment
    assert experiment is not None
    source = random.Random(seed)
    run = run_record(artifact_, profile, testbed, nics, server_cores)
    trials: list[Trial] = []
    points = list(itertools.product(*experiment.grid.values()))
    cells = itertools.product(range(repetitions), experiment.systems, points)
    for order, (repetition, system, values) in enumerate(cells):
        axes = dict(zip(experiment.grid, values, strict=True))
        name, _, variant = system.partition("/")
        slug = "-".join([system.replace("/", "-"), *(f"{value}" for value in values)])
        trial = Trial(
            id=f"{order:04}-{slug}",
            run=run.id,
            artifact=artifact_.id,
            status="ok",
            point=Point(
                system=name,
                variant=variant or "default",
                label=system,
                workload="web-short",
                load="rigload",
                wire="afxdp",
                settings={"connections": 64} | axes,
            ),
            repetition=repetition,
            seed=order,
            order=order,
            profile=profile,
            started="2026-11-20T12:00:01Z",
            ended="2026-11-20T12:00:04Z",
            metrics={
                metric: Metric(
                    value=value * source.lognormvariate(0, noise), unit=UNITS.get(metric, ""), how="made up"
                )
                for metric, value in truth(system, axes).items()
            },
            unavailable={"llc_misses": "because there is no PMU"},
            validity=validity(),
            provenance=provenance(system),
            rerun=f"stackrig run {artifact_.id} --point {slug}",
            files={"load_json": "raw/rigload.json"},
        )
        if (changed := change(trial)) is not None:
            trials.append(changed)
    return RunData(Path("made-up"), run, artifact_, trials)


def write(data: RunData, results: Path) -> Path:
    """The run as a folder of records, as the harness leaves it."""
    folder = results / data.run.artifact / data.run.id
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(data.run.model_dump_json(by_alias=True))
    for trial in data.trials:
        place = folder / "trials" / trial.id
        (place / "raw").mkdir(parents=True)
        (place / "trial.json").write_text(trial.model_dump_json(by_alias=True))
        (place / "raw" / "rigload.json").write_text("{}")
    return folder


def failed(trial: Trial, reason: str = "the server died") -> Trial:
    return trial.model_copy(update={"status": "failed", "reason": reason, "metrics": {}, "validity": None})


def saturated(trial: Trial) -> Trial:
    return trial.model_copy(update={"validity": validity(client_saturated=True)})
