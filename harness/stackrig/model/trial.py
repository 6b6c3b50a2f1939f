# SPDX-License-Identifier: Apache-2.0
"""The records: results/<artifact>/<run>/run.json and .../trials/<nnnn>-<slug>/trial.json.

A trial is the sample: all statistics are over trials. A record is written once, whole, and never changed.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from stackrig.model.base import Model, Scalar
from stackrig.model.experiment import TestbedClass

Status = Literal["ok", "failed", "invalid"]


class Point(Model):
    """One cell of the grid for one system."""

    system: str
    variant: str
    label: str = Field(description="`sandstorm/precopy`, `nginx`: the name in figures")
    workload: str
    load: str
    wire: str = Field(description="how the load generator reaches the server")
    server_wire: str = Field(default="kernel", description="who answers at the server's end of it")
    settings: dict[str, Scalar] = Field(description="axes and fixed values; sizes in bytes")


class Metric(Model):
    value: float
    unit: str
    how: str


class Check(Model):
    """One answer on validity. `value` None: not checked, and `evidence` says why."""

    value: bool | None
    evidence: str


class Validity(Model):
    client_saturated: Check = Field(description="true: the figure is the client's, draw it hollow")
    offered_met: Check
    counters_agree: Check
    wire_limit: Check = Field(description="true: the rate is within what the wire can carry")
    placement: Check = Field(description="true: each side paid for its own packets")
    undisturbed: Check = Field(description="false: other processes ran on the trial's cores")
    answered_once: Check = Field(
        default=Check(value=None, evidence="not checked: made before this was looked at"),
        description="false: more than a few answers came twice, or after their query was given up",
    )


class Phase(Model):
    name: str
    start_s: float = Field(description="seconds since the trial's start")
    duration_s: float


class Provenance(Model):
    commit: str
    dirty: bool
    binary_sha256: dict[str, str] = Field(description="program name → hash of the file that ran")
    compiler: str
    kernel: str
    cpu: str
    commands: list[list[str]] = Field(description="every program started, as it was started")
    tool_versions: dict[str, str]
    inventory_sha256: str
    congestion_control: dict[str, str] = Field(description="host → algorithm, read back from the route")
    offloads: dict[str, dict[str, bool]] = Field(description="interface → feature → on")
    sysctls: dict[str, dict[str, str]] = Field(description="host → sysctl → value, read back")
    placement: dict[str, Any] = Field(description="who runs where, and how receive work is kept there")


class Trial(Model):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    id: str
    run: str
    artifact: str
    status: Status
    reason: str = ""
    point: Point
    repetition: int
    seed: int
    order: int = Field(description="place in the run's shuffled order, from 0")
    profile: str
    started: str = Field(description="ISO 8601, UTC")
    ended: str
    phases: list[Phase] = []
    metrics: dict[str, Metric] = {}
    unavailable: dict[str, str] = Field(default={}, description="metric → why it could not be read")
    validity: Validity | None = None
    provenance: Provenance | None = None
    rerun: str = ""
    log_excerpt: str = ""
    files: dict[str, str] = Field(default={}, description="what → path inside the trial's folder")
    histograms: dict[str, str] = Field(
        default={}, description="name → path of [[lower_bound_ns, count], ...]"
    )


class Testbed(Model):
    __test__ = False  # pytest: its name begins as a test's does

    testbed_class: TestbedClass = Field(validation_alias="class", serialization_alias="class")
    name: str
    hosts: list[str]
    nics: int
    cores: dict[str, list[int]]
    fidelity: str = ""


class Run(Model):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    id: str
    artifact: str
    profile: str
    seed: int
    status: Literal["running", "complete", "stopped"]
    started: str
    ended: str | None = None
    plan: dict[str, Any] = Field(description="points, repetitions, order, seconds planned")
    testbed: Testbed
    host: dict[str, Any] = Field(description="CPU, kernel, memory, tools of this machine")
    counts: dict[str, int] = Field(default={}, description="status → trials")
    owner: dict[str, str] = Field(
        default={}, description="who writes it while its status is running: process id, its start, boot"
    )
