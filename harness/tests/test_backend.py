# SPDX-License-Identifier: Apache-2.0
"""Proxies under test: what their descriptions say, the backend behind them, and their command lines."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from stackrig import backend, registry, server
from stackrig.server import Server, ServerPlan
from stackrig.testbed.local import Wires
from stackrig.testbed.wiring import Wiring, nic

WIRES = Wires(Wiring(), [nic("rig1-", Wiring(), 0)])
PROXIES = ("in-kernel-proxy", "nginx-proxy", "haproxy")


def proxy(name: str, folder: Path) -> Server:
    system = registry.load_system(name)
    side = SimpleNamespace(host=SimpleNamespace(call=lambda *_, **words: put.update(words)), cores=[1])
    put: dict[str, object] = {}
    testbed = SimpleNamespace(server=side, client=side)
    plan = ServerPlan(system, system.default_variant, "http", {}, "kernel", [0], str(folder))
    made = Server(testbed, WIRES, plan, folder)  # type: ignore[arg-type]
    made.put = put  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_is_told_where_its_backend_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "program_of", lambda _: "/program")
    made = proxy(name, tmp_path)
    assert made.backend is not None
    said = " ".join(made._argv()) + str(made.put.get("data", ""))  # type: ignore[attr-defined]
    assert "10.77.0.101:8080" in said
    assert "10.77.0.1:80" in said


def test_haproxy_takes_its_configuration(tmp_path: Path) -> None:
    if not (haproxy := shutil.which("haproxy", path="/usr/sbin:/usr/bin")):
        pytest.skip("not checked: haproxy is not installed")
    made = proxy("haproxy", tmp_path)
    made._argv()
    config = tmp_path / "haproxy.cfg"
    config.write_text(str(made.put["data"]))  # type: ignore[attr-defined]
    asked = subprocess.run([haproxy, "-c", "-f", config], capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr


def test_the_backend_serves_the_runs_files_from_the_clients_address(tmp_path: Path) -> None:
    made = proxy("nginx-proxy", tmp_path)
    assert made.backend is not None
    config = made.backend._config()
    assert f"listen 10.77.0.101:{backend.PORT} " in config
    assert f"root {tmp_path};" in config
    assert "worker_processes 1;" in config


def test_a_web_server_has_no_backend(tmp_path: Path) -> None:
    assert proxy("nginx", tmp_path).backend is None
