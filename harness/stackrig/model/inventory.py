# SPDX-License-Identifier: Apache-2.0
"""inventory/<name>.yml: the hosts, in the form that Ansible reads, with this project's variables on them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from stackrig.model.base import Model
from stackrig.model.experiment import TestbedClass


class HostVars(Model):
    reach: Literal["netns", "ssh", "here"] = Field(alias="stackrig_reach")
    cores: list[int] = Field(alias="stackrig_cores", min_length=1, description="cores for what is measured")
    ansible_connection: str | None = None
    ansible_host: str | None = None
    ansible_user: str | None = None


class Group(Model):
    hosts: dict[str, HostVars] = Field(min_length=1)
    vars: dict[str, Any] = {}


class Children(Model):
    servers: Group
    clients: Group


class Vars(Model):
    testbed_class: TestbedClass = Field(alias="stackrig_class")
    nice: int = Field(
        default=-20,
        alias="stackrig_nice",
        ge=-20,
        le=0,
        description="of server, NAPI threads and client alike",
    )
    receive: Literal["napi-threads", "rps", "sender"] = Field(
        default="napi-threads",
        alias="stackrig_receive",
        description="where receive work runs: docs/placement.md",
    )
    full_wire: Literal["wait", "drop"] = Field(
        default="wait",
        alias="stackrig_full_wire",
        description="what a frame does that finds the peer's ring full: docs/placement.md",
    )
    policy: Literal["other", "realtime"] = Field(
        default="realtime",
        alias="stackrig_policy",
        description="scheduling of server and clients; realtime keeps all other processes away, and starves them",
    )
    huge_pages: int = Field(
        default=0,
        alias="stackrig_huge_pages",
        ge=0,
        description="of 2 MiB, for packet memory while the testbed stands; at most an eighth of what is free",
    )
    congestion_control: str = Field(default="cubic", alias="stackrig_congestion_control")
    sysctls: dict[str, dict[str, str]] = Field(default={}, alias="stackrig_sysctls")


class All(Model):
    vars: Vars
    children: Children


class Inventory(Model):
    all: All

    @property
    def server(self) -> tuple[str, HostVars]:
        return next(iter(self.all.children.servers.hosts.items()))

    @property
    def client(self) -> tuple[str, HostVars]:
        return next(iter(self.all.children.clients.hosts.items()))
