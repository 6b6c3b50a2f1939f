# SPDX-License-Identifier: Apache-2.0
"""The stages of `make test`, in the order in which they say something useful soonest."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from check.outcome import Outcome, read_cases, read_ctest
from check.tidy import run_tidy

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
VENV = ROOT / ".venv" / "bin"
CORES = os.cpu_count() or 1


def run(*command: str | Path, env: dict[str, str] | None = None, quiet: bool = False) -> bool:
    """Run a command with its output shown, or if quiet only when it failed; True when it succeeded."""
    sys.stdout.flush()
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        check=False,
    )
    if quiet and done.returncode != 0:
        print(done.stdout, flush=True)
    return done.returncode == 0


def check(name: str, *command: str | Path) -> Outcome:
    """One command that counts as one test."""
    if run(*command):
        return Outcome(passed=1)
    words = " ".join(str(word) for word in command)
    return Outcome(failed=[f"{name}: see above; to run it again: {words}"])


def tool(*names: str) -> str | None:
    """The first of these programs that is installed: releases name them with or without a version."""
    return next((name for name in names if shutil.which(name)), None)


def tracked(*patterns: str) -> list[str]:
    """Files of the project that match, committed or not, but not those that git ignores."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in set(listed.splitlines()) if (ROOT / name).exists())


def check_format(name: str, formatter: list[str | Path], files: list[str], of_output: str) -> Outcome:
    """A formatter in its checking mode: the files it would change, named by `of_output`, a pattern."""
    command = [*formatter, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return Outcome(passed=1)
    unformatted = dict.fromkeys(re.findall(of_output, done.stdout + done.stderr, re.MULTILINE))
    print(*(unformatted or [done.stderr]), sep="\n", flush=True)
    return Outcome(failed=[f"{name}: {len(unformatted)} files are not formatted; make format does it"])


def format_stage() -> Outcome:
    ruff: list[str | Path] = [VENV / "ruff", "format", "--check"]
    outcome = check_format("ruff format", ruff, tracked("*.py"), r"^\s*--> (.*?):\d+")
    clang_format = tool("clang-format-14", "clang-format")
    if clang_format is None:
        outcome.skipped.append("clang-format: not installed")
    elif files := tracked("*.cc", "*.h", "*.c"):
        command: list[str | Path] = [clang_format, "--dry-run", "-Werror"]
        outcome.add(check_format("clang-format", command, files, r"^(\S+?):\d+:\d+: error:"))
    return outcome


def lint_stage() -> Outcome:
    outcome = check("ruff", VENV / "ruff", "check", "--quiet", ".")
    outcome.add(check("mypy", VENV / "mypy"))
    return outcome


def configure(preset: str) -> bool:
    return run("cmake", "--preset", preset, quiet=True)


def build(preset: str, *targets: str) -> bool:
    # On a terminal ninja shows one moving line; in a log only what went wrong is worth keeping.
    quiet = [] if sys.stdout.isatty() else ["--", "--quiet"]
    selected = ["--target", *targets] if targets else []
    return run("cmake", "--build", "--preset", preset, *selected, *quiet)


def build_stage() -> Outcome:
    if configure("release") and build("release"):
        return Outcome(passed=1)
    return Outcome(failed=["build: the release preset does not build; see above"])


def run_ctest(preset: str, *selection: str, env: dict[str, str] | None = None) -> Outcome:
    folder = BUILD / preset / "test-results"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    junit = folder / "ctest.junit"
    # setarch -R: the sanitizers' shadow memory and a kernel that spreads mappings widely do not go together.
    command = ["ctest", "--test-dir", f"build/{preset}", "--output-on-failure", "--no-tests=ignore"]
    command += ["-j", str(CORES), "--output-junit", str(junit), *selection]
    run("setarch", "-R", *command, env={"GTEST_OUTPUT": f"xml:{folder}/", **(env or {})})
    if not junit.exists():
        return Outcome(failed=[f"ctest: no result for the {preset} preset; see above"])
    return read_ctest(junit, folder)


def unit_stage() -> Outcome:
    return run_ctest("release")


def asan_stage() -> Outcome:
    if not (configure("asan") and build("asan", "tests")):
        return Outcome(failed=["asan: the asan preset does not build; see above"])
    options = {"ASAN_OPTIONS": "detect_stack_use_after_return=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
    return run_ctest("asan", env=options)


def labelled_tests(preset: str, label: str) -> list[str]:
    command = ["ctest", "--test-dir", str(BUILD / preset), "--show-only=json-v1", "-L", f"^{label}$"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [test["name"] for test in json.loads(shown)["tests"]]


def tsan_stage() -> Outcome:
    """Only what has threads: tests labelled so (LABELS threads)."""
    if not configure("tsan"):
        return Outcome(failed=["tsan: the tsan preset does not configure; see above"])
    tests = labelled_tests("tsan", "threads")
    if not tests:
        return Outcome(skipped=["tsan: no test is labelled threads"])
    if not build("tsan", *tests):
        return Outcome(failed=["tsan: the tsan preset does not build; see above"])
    # A million packets through one thread tell the thread sanitizer nothing, and take a minute each under it.
    env = {"TSAN_OPTIONS": "halt_on_error=1", "GTEST_FILTER": "-*Million*"}
    return run_ctest("tsan", "-L", "^threads$", env=env)


def tidy_stage() -> Outcome:
    program = tool("clang-tidy-14", "clang-tidy")
    if program is None:
        return Outcome(skipped=["clang-tidy: not installed"])
    if not (BUILD / "asan" / "compile_commands.json").exists() and not configure("asan"):
        return Outcome(failed=["clang-tidy: the asan preset does not configure; see above"])
    databases = [BUILD / part / "compile_commands.json" for part in ("asan", "python")]
    return run_tidy(databases, ROOT, program, BUILD / "tidy")


def python_stage() -> Outcome:
    junit = BUILD / "pytest.junit"
    junit.unlink(missing_ok=True)
    run(VENV / "python", "-m", "pytest", "-q", f"--junit-xml={junit}")
    if not junit.exists():
        return Outcome(failed=["pytest: no result; see above"])
    outcome = read_cases(junit)
    if outcome == Outcome():
        outcome.failed.append("pytest: no test was found")
    return outcome


def fuzz_stage() -> Outcome:
    """Each fuzz target for a while, from its seeds and what earlier runs found to be worth keeping."""
    if tool("clang++-14") is None:
        return Outcome(skipped=["fuzz: clang++-14 is not installed"])
    if not (configure("fuzz") and build("fuzz", "fuzzers")):
        return Outcome(failed=["fuzz: the fuzz preset does not build; see above"])
    outcome = Outcome()
    for program in sorted((BUILD / "asan" / "fuzzers").glob("*")):
        found = BUILD / "fuzz-corpus" / program.name
        found.mkdir(parents=True, exist_ok=True)
        seeds = {ROOT / Path(seed).parent for seed in tracked(f"*/corpus/{program.name}/*")}
        limit = f"-max_total_time={os.environ.get('FUZZ_SECONDS', '5')}"
        crash = f"-artifact_prefix={found}-crash-"
        outcome.add(check(program.name, program, limit, crash, "-verbosity=0", found, *sorted(seeds)))
    return outcome


STAGES: dict[str, Callable[[], Outcome]] = {
    "format": format_stage,
    "lint": lint_stage,
    "build": build_stage,
    "unit": unit_stage,
    "python": python_stage,
    "asan": asan_stage,
    "tsan": tsan_stage,
    "tidy": tidy_stage,
    "fuzz": fuzz_stage,
}
# What a stage cannot do without.
NEEDS = {"unit": "build", "python": "build"}
