# SPDX-License-Identifier: Apache-2.0
"""Method `instructions`: instructions that the TCP core executes per unit of work, counted under callgrind, over
a committed count.

No clock is read and nothing runs beside it: one trial is as good as many. The program is built in a folder of its
own for a processor that valgrind knows, so that the count does not depend on the machine's. It does depend on the
compiler: the note says which made the reference.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from stackrig import paths
from stackrig.bench.base import Measured, Outcome, Tell
from stackrig.errors import RunError, SetupError
from stackrig.model.bar import Bar
from stackrig.session import Session

TARGET = "tcpip_fastpath_bench"
MARCH = "x86-64-v3"
COUNTED = "*server_turn*"  # the server's calls, without the script that plays the clients


def measure(bar: Bar, session: Session, tell: Tell) -> Measured:
    if shutil.which("valgrind") is None:
        raise SetupError("valgrind is not installed; ./bootstrap installs it")
    program = build(tell)
    measured = Measured([], bar.options["reference"], 1, candidate_name="this checkout")
    measured.wanted = len(bar.options["cases"])
    for name, case in bar.options["cases"].items():
        try:
            count = instructions(program, [str(word) for word in case["arguments"]], session.folder())
        except RunError as error:
            measured.failures.append(f"{name}: {error}")
            continue
        each, before = count / float(case["units"]), float(case["reference"])
        value = each / before
        notes = [f"{each - before:+.1f} instructions per {case['unit']}"]
        measured.outcomes.append(Outcome(name, value, value, value, [each], [before], "instructions", notes))
        tell(f"{name}: {each:.1f} instructions per {case['unit']}, reference {before:.1f}: {value:.4f}")
    notes = [f"reference made by {bar.options['compiler']}, this by {compiler()}"]
    for outcome in measured.outcomes[:1]:
        outcome.notes += notes
    return measured


def build(tell: Tell) -> Path:
    folder = paths.root() / "build" / "instructions"
    tell(f"building {TARGET} for {MARCH} in {paths.shown(folder)}")
    _run(
        ["cmake", "--preset", "release", "-B", str(folder), f"-DSTACKRIG_MARCH={MARCH}"],
        f"configuring {TARGET}",
    )
    _run(["cmake", "--build", str(folder), "--target", TARGET], f"building {TARGET}")
    return folder / "systems" / "lib" / "tcpip" / TARGET


def instructions(program: Path, arguments: list[str], folder: Path) -> int:
    done = _run(
        [
            "valgrind",
            "--tool=callgrind",
            "--collect-atstart=no",
            f"--toggle-collect={COUNTED}",
            f"--callgrind-out-file={folder / 'callgrind.out'}",
            str(program),
            *arguments,
        ],
        f"{program.name} {' '.join(arguments)} under callgrind",
    )
    return counted(done.stderr)


def counted(told: str) -> int:
    """What callgrind says at its end."""
    found = re.search(r"Collected : (\d+)", told)
    if found is None or int(found[1]) == 0:
        raise RunError(f"callgrind counted nothing in {COUNTED}", told[-2000:])
    return int(found[1])


def compiler() -> str:
    done = _run(["c++", "--version"], "asking the compiler for its version")
    return done.stdout.splitlines()[0]


def _run(command: list[str], what: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=paths.root(), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise RunError(f"{what} ended with exit code {done.returncode}", (done.stderr or done.stdout)[-4000:])
    return done
