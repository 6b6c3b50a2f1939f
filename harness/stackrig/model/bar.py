# SPDX-License-Identifier: Apache-2.0
"""bars/<name>.yaml: a performance bar, what is measured against what, and how high it hangs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from stackrig.model.base import Model, Scalar, parse_scalars
from stackrig.model.system import Wire


class Bar(Model):
    """`method` is a module of stackrig.bench; it says which of the other fields it reads."""

    schema_version: Literal[1] = Field(alias="schema")
    name: str
    title: str
    method: str
    bar: float
    unit: str = "ratio"
    better: Literal["higher", "lower"] = "higher"
    trials: int = Field(default=7, ge=1, description="of each side, at each point")
    warmup_s: float = 0.3
    duration_s: float = 1.0
    candidate: str = "sandstorm/precopy"
    peer: str | None = None
    metric: str = "requests_rate"
    workload: str = "web-short"
    load: str = "rigload"
    wire: Wire = "afxdp"
    points: list[dict[str, Scalar]] = Field(default=[], description="the bar must hold at each of them")
    fixed: dict[str, Scalar] = {}
    candidate_fixed: dict[str, Scalar] = Field(default={}, description="as suits the candidate best")
    peer_fixed: dict[str, Scalar] = Field(default={}, description="as suits the peer best")
    options: dict[str, Any] = Field(default={}, description="what the method alone understands")

    @field_validator("points", "fixed", "candidate_fixed", "peer_fixed", mode="before")
    @classmethod
    def _sizes(cls, value: object) -> object:
        return parse_scalars(value)

    def holds(self, value: float) -> bool:
        return value >= self.bar if self.better == "higher" else value <= self.bar

    def worst(self, values: list[float]) -> float:
        return min(values) if self.better == "higher" else max(values)
