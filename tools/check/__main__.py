# SPDX-License-Identifier: Apache-2.0
"""python -m check [STAGE ...]: run stages, tell each one's time, close with one line of counts."""

from __future__ import annotations

import argparse
import sys
import time

from check.outcome import Outcome
from check.stages import NEEDS, STAGES


def run_stages(names: list[str]) -> dict[str, tuple[float, Outcome]]:
    """A stage that fails does not keep the others from running, unless they need what it makes."""
    results: dict[str, tuple[float, Outcome]] = {}
    for number, name in enumerate(names, 1):
        need = NEEDS.get(name, "")
        if need in results and results[need][1].failed:
            results[name] = (0.0, Outcome(failed=[f"{name}: not run, because {need} failed"]))
            continue
        print(f"\n==== {number}/{len(names)} {name}", flush=True)
        start = time.monotonic()
        outcome = STAGES[name]()
        took = time.monotonic() - start
        results[name] = (took, outcome)
        print(f"---- {name}: {outcome.counts} in {took:.1f} s", flush=True)
    return results


def print_summary(results: dict[str, tuple[float, Outcome]]) -> Outcome:
    total = Outcome()
    print("\n==== summary")
    for name, (took, outcome) in results.items():
        print(f"{name:8} {took:7.1f} s   {outcome.counts}")
        total.add(outcome)
    print(f"{'all':8} {sum(took for took, _ in results.values()):7.1f} s")
    for title, entries in (("skipped:", total.skipped), ("failed:", total.failed)):
        if entries:
            print("", title, *(f"  {entry}" for entry in entries), sep="\n")
    print()
    print(total.counts, flush=True)
    return total


def main() -> int:
    parser = argparse.ArgumentParser(prog="check", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"{', '.join(STAGES)}; default: all")
    names = parser.parse_args().stages or list(STAGES)
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        parser.error(f"unknown stage {unknown[0]}; there are {', '.join(STAGES)}")
    return 1 if print_summary(run_stages(names)).failed else 0


if __name__ == "__main__":
    sys.exit(main())
