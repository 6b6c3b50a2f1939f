# SPDX-License-Identifier: Apache-2.0
"""systems/<name>/system.yaml and baselines/<name>/baseline.yaml: what can be put under test."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from stackrig.model.base import Model, Scalar, parse_scalars

Wire = Literal["kernel", "afxdp", "shm"]
Protocol = Literal["http", "dns", "echo", "thrift"]
Frames = Literal["mtu", "offloads"]


_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}


class Setting(Model):
    """One word on a command line: its type, default and unit."""

    type: Literal["int", "float", "bool", "str"]
    default: Scalar | None = None
    unit: str = ""
    arg: str | None = Field(default=None, description="the program's option, such as --tx-interval-us")
    choices: list[Scalar] = []
    help: str = ""

    @field_validator("default", "choices", mode="before")
    @classmethod
    def _sizes(cls, value: object) -> object:
        return parse_scalars(value)

    def check(self, value: Scalar) -> str | None:
        """Why `value` cannot be this setting's, or None."""
        if isinstance(value, bool) is not (self.type == "bool") or not isinstance(value, _TYPES[self.type]):
            return f"expected {self.type}, got {value!r}"
        if self.choices and value not in self.choices:
            return f"expected one of {', '.join(map(str, self.choices))}, got {value!r}"
        return None


class Look(Model):
    """How figures draw it; what is not said follows from the name (figures/style.py)."""

    color: Literal["", "blue", "vermilion", "green", "purple", "ochre", "grey", "brown", "teal"] = ""
    line: Literal["", "solid", "dashed", "dashdot", "dotted"] = ""
    mark: Literal["", "o", "s", "^", "D", "v", "P", "X", "*", "<", ">"] = ""


class Variant(Model):
    """A system with settings that a paper compares."""

    title: str = ""
    protocols: list[Protocol] = Field(default=[], description="only these of the system's; none: all of them")
    settings: dict[str, Scalar] = {}
    frames: Frames = Field(default="mtu", description="mtu: frames as long as the MTU really cross the wire")
    answers_in_xdp: bool = Field(
        default=False,
        description="its XDP program sends answers itself: a veth's other end needs an XDP program too",
    )
    serial: bool = Field(default=False, description="it serves one connection after the other")
    style: Look = Look()


class System(Model):
    """A server under test, ours (kind: system) or someone else's unmodified one (kind: baseline)."""

    schema_version: Literal[1] = Field(alias="schema")
    name: str
    kind: Literal["system", "baseline"]
    title: str
    summary: str = ""
    notes: str = Field(
        default="", description="what a comparison with it must know; on every page that has one"
    )
    paper: str | None = None
    protocols: list[Protocol] = Field(min_length=1, description="what it can serve, one at a time")
    wires: list[Wire]
    variants: dict[str, Variant]
    default_variant: str
    settings: dict[str, Setting] = {}
    wire_settings: dict[Wire, dict[str, Scalar]] = Field(
        default={}, description="settings that suit a wire better than the defaults"
    )
    style: Look = Look()
    # Ours:
    build_target: str | None = Field(
        default=None, description="CMake target; binary systems/<name>/<build_target>, unless `program` says"
    )
    arguments: list[str] = Field(
        default=[], description="jinja2: what the command line has beyond the common words"
    )
    per_zone: list[str] = Field(
        default=[], description="jinja2: words of the command line for each `zone` that it serves (dns)"
    )
    program: str = Field(
        default="", description="where the build makes it: path in the build folder, instead of PATH"
    )
    # Someone else's:
    packages: list[str] = []
    command: list[str] = Field(default=[], description="jinja2: the whole command line")
    config_template: str | None = None
    version_command: list[str] = []
    says_ready: bool = Field(default=False, description="takes --ready-fd, as ours do")
    in_kernel: bool = Field(
        default=False,
        description="the kernel does its work: softirq and kernel workers on its cores are its CPU time",
    )
    backend: bool = Field(
        default=False, description="a proxy: the testbed starts a web server behind it, `backend` is where"
    )
    differs: dict[str, str] = Field(
        default={},
        description="cases of the correctness gate whose answers may be others than the peer's, with the reason (http)",
    )
    floor: bool = Field(
        default=False, description="no server: what the wire itself costs, so that its answers are not judged"
    )

    @model_validator(mode="after")
    def _whole(self) -> System:
        if self.default_variant not in self.variants:
            known = ", ".join(self.variants)
            raise ValueError(f"default_variant {self.default_variant!r} is none of {known}")
        if self.kind == "system" and not self.build_target:
            raise ValueError("a system needs build_target, the CMake target that makes its program")
        if self.kind == "baseline" and not self.command:
            raise ValueError("a baseline needs command, the command line that starts it")
        for name, body in self.variants.items():
            if strange := [one for one in body.protocols if one not in self.protocols]:
                raise ValueError(f"variant {name!r} has protocol {strange[0]!r}, which the system has not")
        chosen = [(f"variant {name!r}", body.settings) for name, body in self.variants.items()]
        chosen += [(f"wire {wire!r}", settings) for wire, settings in self.wire_settings.items()]
        for who, settings in chosen:
            for name, value in settings.items():
                if name not in self.settings:
                    raise ValueError(f"{who} sets {name!r}, which is none of the settings")
                if wrong := self.settings[name].check(value):
                    raise ValueError(f"{who}, setting {name!r}: {wrong}")
        return self

    def speaks(self, variant: str) -> list[Protocol]:
        """What this variant serves."""
        return self.variants[variant].protocols or self.protocols

    def label(self, variant: str) -> str:
        """The name in results: `sandstorm/precopy`; a baseline's default variant goes by its bare name."""
        if self.kind == "baseline" and variant == self.default_variant:
            return self.name
        return f"{self.name}/{variant}"
