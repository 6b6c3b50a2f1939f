# SPDX-License-Identifier: Apache-2.0
"""What there is, found by being there: a system, a baseline, a workload, a driver, a collector, an artifact
or a bar is a folder or a file. No list of them is kept anywhere.

Names come from paths, so that `stackrig list` reads next to nothing; contents are loaded when asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from stackrig import paths
from stackrig.errors import UserError, unknown

if TYPE_CHECKING:  # pydantic costs a listing its time
    from stackrig.model.experiment import Artifact
    from stackrig.model.system import System
    from stackrig.model.workload import Generator, Workload

KINDS = ("systems", "baselines", "generators", "workloads", "artifacts", "drivers", "collectors", "bars")


def _named(found: Iterator[Path], name_of: str = "parent") -> dict[str, Path]:
    return {path.parent.name if name_of == "parent" else path.stem: path for path in sorted(found)}


def systems() -> dict[str, Path]:
    return _named((paths.root() / "systems").glob("*/system.yaml"))


def baselines() -> dict[str, Path]:
    return _named((paths.root() / "baselines").glob("*/baseline.yaml"))


def generators() -> dict[str, Path]:
    return _named((paths.root() / "workloads").glob("*/workload.yaml"))


def workloads() -> dict[str, dict[str, Path]]:
    """Workload name → generator → file."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted((paths.root() / "workloads").glob("*/*.yaml")):
        if path.name != "workload.yaml":
            found.setdefault(path.stem, {})[path.parent.name] = path
    return found


def artifacts() -> dict[str, Path]:
    return _named((paths.root() / "analysis" / "figures").glob("*/*.yaml"), "stem")


def _modules(folder: str) -> dict[str, Path]:
    found = (Path(__file__).parent / folder).glob("*.py")
    return _named((path for path in found if path.stem not in ("__init__", "base")), "stem")


def drivers() -> dict[str, Path]:
    return _modules("drivers")


def collectors() -> dict[str, Path]:
    return _modules("collectors")


def bars() -> dict[str, Path]:
    """Bar name → its file."""
    return _named((Path(__file__).parent / "bars").glob("*.yaml"), "stem")


@cache
def load_system(name: str) -> System:
    from stackrig.model.system import System
    from stackrig.yamlfile import load

    known = {**systems(), **baselines()}
    if name not in known:
        raise unknown("system", name, known)
    system = load(known[name], System)
    kind = "baseline" if name in baselines() else "system"
    if (system.name, system.kind) != (name, kind):
        raise UserError(
            f"{paths.shown(known[name])}:1: field name: expected name {name} and kind {kind}, as the folder "
            f"says, got {system.name} and {system.kind}"
        )
    return system


def resolve_system(spelled: str) -> tuple[System, str]:
    """`sandstorm/memcpy` or `nginx` → the system and the variant's name."""
    name, _, variant = spelled.partition("/")
    system = load_system(name)
    if not variant:
        return system, system.default_variant
    if variant not in system.variants:
        raise unknown(f"variant of {name}", variant, system.variants)
    return system, variant


@cache
def load_generator(name: str) -> Generator:
    from stackrig.model.workload import Generator
    from stackrig.yamlfile import load, place

    known = generators()
    if name not in known:
        raise unknown("load generator", name, known)
    generator = load(known[name], Generator)
    if generator.driver not in drivers():
        raise UserError(
            f"{place(known[name], ('driver',))}: {unknown('driver', generator.driver, drivers())}"
        )
    return generator


@cache
def load_workload(name: str, generator: str) -> Workload:
    from stackrig.model.workload import Workload
    from stackrig.names import check_workload
    from stackrig.yamlfile import load

    known = workloads()
    if name not in known:
        raise unknown("workload", name, known)
    if generator not in known[name]:
        raise unknown(f"load generator for workload {name!r}", generator, known[name])
    workload = load(known[name][generator], Workload)
    check_workload(known[name][generator], workload, load_generator(generator))
    return workload


@cache
def load_artifact(name: str) -> Artifact:
    from stackrig.model.experiment import Artifact
    from stackrig.names import check_artifact
    from stackrig.yamlfile import load

    known = artifacts()
    if name not in known:
        raise unknown("artifact", name, known)
    artifact = load(known[name], Artifact)
    if artifact.id != name:
        raise UserError(
            f"{paths.shown(known[name])}:1: field id: expected {name}, the file's name, got {artifact.id}"
        )
    if artifact.experiment_of:
        other = load_artifact(artifact.experiment_of)
        if other.experiment is None or other.experiment_of:
            raise UserError(f"{name}: experiment_of: {other.id} has no experiment of its own")
        artifact = artifact.model_copy(update={"experiment": other.experiment})
    check_artifact(known[name], artifact)
    return artifact
