# SPDX-License-Identifier: Apache-2.0
"""bootstrap says what it does, does it once, and where it cannot go on names the cause and the remedy.

Each refusal is provoked for real (another user, another /etc/os-release, a lost capability, no network); only
apt is replaced, so that no test changes the machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes mount and network namespaces")


@pytest.fixture
def clone() -> Iterator[Path]:
    """What bootstrap reads, in a folder that any user can enter, with nothing set up."""
    with tempfile.TemporaryDirectory(prefix="rigt-setup-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        for name in ("bootstrap", "requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, path / name)
        yield path


def run(
    *command: str | Path, cwd: Path, path: Path | None = None, **options: str | int | Path
) -> tuple[int, str]:
    """Exit code and output; `path` holds programs that stand before the machine's; options are environment,
    but for `user`."""
    user = options.pop("user", None)
    assert user is None or isinstance(user, int)
    env = {**os.environ, **{key: str(value) for key, value in options.items()}}
    if path is not None:
        env["PATH"] = f"{path}:{env['PATH']}"
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        user=user,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@needs_root
def test_another_user_is_told_to_be_root(clone: Path) -> None:
    code, said = run("./bootstrap", cwd=clone, user=NOBODY)
    assert code == 2
    assert said.startswith("bootstrap: root: ")
    assert "sudo" in said


@needs_root
def test_another_system_is_named_and_what_to_do_there(clone: Path) -> None:
    other = clone / "os-release"
    other.write_text('ID=fedora\nID_LIKE="rhel"\nPRETTY_NAME="Fedora Linux 40"\n')
    script = f"mount --bind {other} /etc/os-release && ./bootstrap"
    code, said = run("unshare", "--mount", "sh", "-c", script, cwd=clone)
    assert code == 2
    assert "operating system: Fedora Linux 40 is neither Debian nor Ubuntu" in said
    assert "Use Debian 12" in said


@needs_root
def test_without_network_namespaces_it_stops_before_it_installs(clone: Path) -> None:
    fakes = clone / "fakes"
    program(fakes, "apt-get", f"touch {clone}/installed")
    code, said = run("setpriv", "--bounding-set=-sys_admin", "./bootstrap", cwd=clone, path=fakes)
    assert code == 2
    assert "network namespaces: cannot make one here" in said
    assert "--privileged" in said
    assert not (clone / "installed").exists()


@needs_root
def test_no_archive_names_the_packages_that_are_missing(clone: Path) -> None:
    fakes = clone / "fakes"
    program(fakes, "dpkg-query", "exit 0")
    program(fakes, "apt-cache", "exit 0")
    program(fakes, "apt-get", "echo 'E: Failed to fetch InRelease'; exit 100")
    code, said = run("./bootstrap", cwd=clone, path=fakes)
    assert code == 2
    assert "no archive could be reached" in said
    assert "iproute2" in said
    assert "E: Failed to fetch InRelease" in said


@needs_root
def test_a_wanted_package_that_the_release_lacks_is_told_and_passed_over(clone: Path) -> None:
    fakes = clone / "fakes"
    program(fakes, "dpkg-query", "exit 0")
    program(fakes, "apt-cache", 'case "$*" in *clang-tidy*) ;; *) echo "Package: x" ;; esac')
    program(fakes, "apt-get", f'case "$1" in install) echo "$*" >{clone}/asked; exit 100 ;; esac')
    code, said = run("./bootstrap", cwd=clone, path=fakes)
    assert code == 2
    assert "clang-tidy-14          not in this release" in said
    asked = (clone / "asked").read_text().split()
    assert "nginx-light" in asked
    assert "clang-tidy-14" not in asked


@needs_root
def test_no_service_starts_while_packages_are_installed(clone: Path) -> None:
    fakes = clone / "fakes"
    policy = Path("/usr/sbin/policy-rc.d")
    before = policy.exists()
    program(fakes, "dpkg-query", "exit 0")
    program(fakes, "apt-cache", "echo 'Package: x'")
    program(fakes, "apt-get", f'case "$1" in install) {policy}; echo $? >{clone}/policy; exit 100 ;; esac')
    run("./bootstrap", cwd=clone, path=fakes)
    assert (clone / "policy").read_text().strip() == "101"
    assert policy.exists() == before


@needs_root
def test_tools_of_an_older_release_are_named(clone: Path) -> None:
    fakes = clone / "fakes"
    program(fakes, "cmake", "echo cmake version 3.22.1")
    code, said = run("./bootstrap", cwd=clone, path=fakes)
    assert code == 2
    assert "cmake: this is 3.22.1, 3.25 or newer is needed" in said


@needs_root
def test_a_python_that_is_too_old_is_named(clone: Path) -> None:
    fakes = clone / "fakes"
    program(fakes, "python3.9", 'case "$1" in --version) echo Python 3.9.2 ;; *) exit 1 ;; esac')
    code, said = run("./bootstrap", cwd=clone, STACKRIG_PYTHON=fakes / "python3.9")
    assert code == 2
    assert "STACKRIG_PYTHON" in said
    assert "Python 3.9.2" in said
    assert "3.11" in said


@needs_root
def test_no_package_index_says_what_to_check(clone: Path) -> None:
    code, said = run("unshare", "--net", "./bootstrap", cwd=clone)
    assert code == 2
    assert "Python packages: pip could not install it; check the network" in said


@needs_root
@pytest.mark.skipif(
    not (ROOT / ".venv/.stackrig-module").exists(), reason="this clone is not set up: make setup"
)
def test_a_second_run_does_nothing_and_needs_no_network() -> None:
    assert run("./bootstrap", cwd=ROOT)[0] == 0
    assert run("unshare", "--net", "./bootstrap", cwd=ROOT) == (0, "")


def test_the_list_says_why_each_package_is_wanted() -> None:
    code, said = run("./bootstrap", "--list", cwd=ROOT)
    assert code == 0
    lines = [line.split(maxsplit=2) for line in said.splitlines() if not line.startswith("#")]
    assert len(lines) > 20
    assert all(len(line) == 3 and line[0] in ("need", "want") for line in lines)


def test_an_unknown_argument_is_refused() -> None:
    code, said = run("./bootstrap", "--instal", cwd=ROOT)
    assert code == 2
    assert "--instal: unknown argument" in said
