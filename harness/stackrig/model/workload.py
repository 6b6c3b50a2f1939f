# SPDX-License-Identifier: Apache-2.0
"""workloads/<generator>/workload.yaml (a load generator) and workloads/<generator>/<name>.yaml (a named
workload of it). One workload may exist for several generators: `web-short` by rigload and by wrk."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from stackrig.model.base import Model, Scalar, parse_scalars
from stackrig.model.system import Protocol, Setting, Wire

STREAMS: tuple[Protocol, ...] = ("echo", "thrift")
"""Protocols over TCP whose clients bring all the bytes: no content is laid out for them."""


class Generator(Model):
    """A load generator: which driver module runs it and what it can be told."""

    schema_version: Literal[1] = Field(alias="schema")
    name: str
    title: str
    driver: str = Field(description="module harness/stackrig/drivers/<driver>.py")
    protocols: list[Protocol] = Field(min_length=1)
    wires: list[Wire] = Field(description="how it can reach a server")
    program: str = Field(description="program on PATH, or the CMake target where build is true")
    build: bool = False
    packages: list[str] = []
    spins: bool = Field(default=False, description="it never blocks under load: its receive threads go first")
    has_xdp: bool = Field(default=False, description="puts an XDP program of its own onto its interface")
    parameters: dict[str, Setting]


class Content(Model):
    """What the server serves. `single`: one file of the point's file_size. `corpus`: many, of mixed sizes.
    `zone`: a zone of the point's zone_entries names. `stream`: nothing of its own; it sends back or passes on what
    clients send."""

    kind: Literal["single", "corpus", "zone", "stream"] = "single"
    protocol: Literal["echo", "thrift"] | None = Field(default=None, description="of a stream")
    files: int = Field(default=1, ge=1)
    distribution: Literal["fixed", "yahoo-cdn"] = "fixed"
    seed: int = 1

    @model_validator(mode="after")
    def _stream_says_which(self) -> Content:
        if (self.kind == "stream") != (self.protocol is not None):
            raise ValueError("expected kind stream and a protocol together, or neither")
        return self


class Workload(Model):
    """What clients do, by name."""

    schema_version: Literal[1] = Field(alias="schema")
    name: str
    title: str
    summary: str = ""
    content: Content = Content()
    parameters: dict[str, Scalar] = {}

    @property
    def protocol(self) -> Protocol:
        if self.content.protocol is not None:
            return self.content.protocol
        return "dns" if self.content.kind == "zone" else "http"

    @field_validator("parameters", mode="before")
    @classmethod
    def _sizes(cls, value: object) -> object:
        return parse_scalars(value)
