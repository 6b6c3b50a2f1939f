# SPDX-License-Identifier: Apache-2.0
"""Things are found by being there: adding a folder or a file is all it takes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackrig import registry
from stackrig.bench import base as bars
from stackrig.collectors.base import all_collectors
from stackrig.drivers import base as drivers
from stackrig.errors import UserError


def test_a_new_folder_is_a_new_baseline(project: Path) -> None:
    before = set(registry.baselines())
    shutil.copytree(project / "baselines" / "nginx", project / "baselines" / "other")
    text = (project / "baselines" / "other" / "baseline.yaml").read_text()
    (project / "baselines" / "other" / "baseline.yaml").write_text(text.replace("name: nginx", "name: other"))
    assert set(registry.baselines()) - before == {"other"}
    assert registry.resolve_system("other/offloads")[1] == "offloads"


def test_variants_by_name() -> None:
    system, variant = registry.resolve_system("sandstorm")
    assert (variant, system.label(variant)) == ("precopy", "sandstorm/precopy")
    system, variant = registry.resolve_system("nginx")
    assert system.label(variant) == "nginx"
    assert system.label("offloads") == "nginx/offloads"
    with pytest.raises(UserError, match="did you mean memcpy"):
        registry.resolve_system("sandstorm/memcopy")


@pytest.mark.parametrize("name", sorted(registry.drivers()))
def test_every_driver_has_its_generator(name: str) -> None:
    assert drivers.get(name).name == name
    assert name in {registry.load_generator(g).driver for g in registry.generators()}


def test_every_collector_is_loaded() -> None:
    assert {c.name for c in all_collectors()} == set(registry.collectors())


@pytest.mark.parametrize("name", sorted(registry.bars()))
def test_every_bar_loads(name: str) -> None:
    bar = bars.load(name)
    assert (Path(bars.__file__).parent / f"{bar.method}.py").exists()


def test_every_workload_of_every_generator_loads() -> None:
    for name, by in registry.workloads().items():
        for generator in by:
            assert registry.load_workload(name, generator).name == name


def test_list_has_everything_for_scripts(cli: Callable[..., Any]) -> None:
    said = json.loads(cli("list", "--json").stdout)
    assert {"sandstorm"} <= set(said["systems"])
    assert set(said["artifacts"]) == set(registry.artifacts())
    assert said["bars"]


def test_list_loads_nothing_heavy() -> None:
    script = (
        "import sys, stackrig.cli.main as m\n"
        "try: m.app(['list'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'jinja2', 'execnet', 'matplotlib', 'yaml', 'stackrig.model.trial'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
