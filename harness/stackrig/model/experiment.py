# SPDX-License-Identifier: Apache-2.0
"""analysis/figures/<paper>/<artifact>.yaml: a table or figure of a paper as data.

The harness plans and runs `experiment`; the analysis draws `panels` and judges the paper's claims.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from stackrig.model.base import Model, Scalar, parse_scalars
from stackrig.model.system import Wire

TestbedClass = Literal["veth", "softnic", "lab"]


class Part(Model):
    """Some of a grid's points. Axes in `at` stand at one value, the others take all of theirs."""

    systems: list[str] | None = Field(default=None, description="of the experiment's; none: all of them")
    at: dict[str, Scalar] = {}
    fixed: dict[str, Scalar] = {}

    @field_validator("at", "fixed", mode="before")
    @classmethod
    def _sizes(cls, value: object) -> object:
        return parse_scalars(value)

    def changed(self, by: Part) -> Part:
        """This part as a profile wants it."""
        return Part(
            systems=by.systems or self.systems, at={**self.at, **by.at}, fixed={**self.fixed, **by.fixed}
        )


class Profile(Model):
    """How much of the grid is run and for how long: smoke, local, paper."""

    grid: dict[str, list[Scalar]] = Field(
        default={}, description="axes that are narrower than the experiment's"
    )
    systems: list[str] | None = None
    fixed: dict[str, Scalar] = {}
    parts: dict[str, Part] = Field(default={}, description="what is different in the experiment's parts")
    repetitions: int = Field(default=1, ge=1)
    warmup_s: float = Field(default=0.5, gt=0)
    duration_s: float = Field(default=1.5, gt=0)

    @field_validator("grid", "fixed", mode="before")
    @classmethod
    def _sizes(cls, value: object) -> object:
        return parse_scalars(value)


class Experiment(Model):
    """A grid of points, every cell for every system; or `parts` of it, each with systems of its own.

    Axes and fixed settings with a meaning of the harness: `nics`, `queues`, `file_size` (bytes), `mtu`,
    `server_cores`, `client_cores`; `frames`; the axis `wire` stands for the field of that name. Every other
    name is a parameter of the load generator or a setting of the system, in that order.
    """

    systems: list[str] = Field(min_length=1, description="`system/variant` or a bare name for the default")
    workload: str
    load: str = "rigload"
    wire: Wire = Field("afxdp", description="how the load generator reaches the server")
    server_wire: Wire | None = Field(
        default=None, description="our systems' wire; the baselines' is the kernel's"
    )
    grid: dict[str, list[Scalar]] = {}
    parts: dict[str, Part] = Field(
        default={}, description="instead of all combinations: these, such as one part for each panel"
    )
    fixed: dict[str, Scalar] = {}
    profiles: dict[str, Profile]

    @field_validator("grid", "fixed", mode="before")
    @classmethod
    def _sizes(cls, value: object) -> object:
        return parse_scalars(value)

    @model_validator(mode="after")
    def _axes(self) -> Experiment:
        for name, profile in self.profiles.items():
            for axis in profile.grid:
                if axis not in self.grid:
                    known = ", ".join(self.grid)
                    raise ValueError(f"profile {name!r} has axis {axis!r}, which is none of {known}")
        for axis, values in self.grid.items():
            if not values:
                raise ValueError(f"axis {axis!r} has no value")
            if axis in self.fixed:
                raise ValueError(f"{axis!r} is both an axis and fixed")
        return self

    @model_validator(mode="after")
    def _whole_parts(self) -> Experiment:
        for name, profile in self.profiles.items():
            if strange := sorted(set(profile.parts) - set(self.parts)):
                known = ", ".join(self.parts) or "none"
                raise ValueError(f"profile {name!r} changes part {strange[0]!r}; the parts: {known}")
        everywhere = [self.parts, *(profile.parts for profile in self.profiles.values())]
        for part, body in (one for parts in everywhere for one in parts.items()):
            if strange := sorted(set(body.at) - set(self.grid)):
                raise ValueError(f"part {part!r} is at {strange[0]!r}, which is no axis of the grid")
            if both := sorted(set(body.fixed) & set(self.grid)):
                raise ValueError(f"part {part!r} fixes axis {both[0]!r}; give it in `at`")
        return self


class Panel(Model):
    """One plot. `where` picks points by axis; `paper_where` the published ones."""

    id: str
    title: str
    x: str
    y: str | list[str]
    systems: list[str] = Field(default=[], description="only these; none: all that have such points")
    where: dict[str, Scalar] = {}
    paper_where: dict[str, Scalar] = {}
    x_label: str = ""
    x_scale: Literal["linear", "log2", "log10", "category"] = "linear"
    y_scale: Literal["linear", "log10"] = "linear"
    y_unit: str = ""
    relative_to: str = Field(
        default="", description="a system: y is the others' over this one's, pair by pair"
    )
    printed: str = Field(
        default="", description="table of the paper whose ratios are drawn beside: relative only"
    )
    y_label: str = ""

    @field_validator("where", "paper_where", mode="before")
    @classmethod
    def _sizes(cls, value: object) -> object:
        return parse_scalars(value)


class TableOf(Model):
    """What a table shows: the paper's own rows and columns, or systems beside each other along an axis."""

    published: str = Field(
        default="", description="table of the paper, whose numbers stand beside the measured"
    )
    title: str = ""
    where: dict[str, Scalar] = Field(default={}, description="points that are meant")
    rows: str = Field(default="", description="axis; only without `published`, as what follows")
    metrics: list[str] = []
    units: dict[str, str] = Field(
        default={}, description="metric → unit that it is shown in, if not its usual"
    )
    systems: list[str] = Field(default=[], description="only these; none: all")

    @field_validator("where", mode="before")
    @classmethod
    def _sizes(cls, value: object) -> object:
        return parse_scalars(value)

    @model_validator(mode="after")
    def _one_kind(self) -> TableOf:
        if bool(self.published) == bool(self.rows and self.metrics):
            raise ValueError("expected either `published`, or `rows` and `metrics`")
        return self


class Needs(Model):
    """What the artifact needs to be run at all, beyond two cores and root."""

    testbed: list[TestbedClass] = ["veth"]
    server_cores: int = 1
    client_cores: int = 1
    tools: list[str] = []


class Artifact(Model):
    schema_version: Literal[1] = Field(alias="schema")
    id: str
    title: str
    paper: str
    caption: str
    kind: Literal["figure", "table", "interface", "machines"] = "figure"
    needs: Needs = Needs()
    fidelity: str = Field(default="", description="one sentence: what differs here from the paper's")
    experiment: Experiment | None = None
    experiment_of: str = Field(default="", description="another artifact, whose experiment it has as well")
    panels: list[Panel] = []
    tables: list[TableOf] = []
    # Interface tables (table-3.1): what is looked up and where; read by the analysis.
    interface: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Artifact:
        given = (self.experiment is not None) + bool(self.experiment_of)
        if given != (0 if self.kind in ("interface", "machines") else 1):
            raise ValueError("a figure or table needs one experiment, and nothing else has one")
        if self.kind in ("table", "machines") and not self.tables:
            raise ValueError("a table needs tables")
        if self.kind == "machines" and not self.tables[0].published:
            raise ValueError("a table of machines is one that is published")
        return self

    @property
    def metrics(self) -> list[str]:
        """All that its panels and tables show, the paper's tables aside."""
        shown = [y for panel in self.panels for y in ([panel.y] if isinstance(panel.y, str) else panel.y)]
        return list(dict.fromkeys([*shown, *(name for table in self.tables for name in table.metrics)]))
