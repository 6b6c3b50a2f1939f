# SPDX-License-Identifier: Apache-2.0
"""Numbers and facts as a page says them, and the templates that say them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from stackrig import __version__, registry
from stackrig.claims.records import show
from stackrig.claims.verdict import Outcome, Source
from stackrig.model.paper import Value
from stackrig.stats.interval import Interval

TEMPLATES = Path(__file__).parent / "templates"

SIGNS = {
    Outcome.CONFIRMED: "✓",
    Outcome.DIRECTION_ONLY: "↗",
    Outcome.CONTRADICTED: "✕",
    Outcome.INCONCLUSIVE: "?",
    Outcome.NOT_TESTABLE: "∅",
    Outcome.NOT_CHECKED: "…",
}


@cache
def templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "slug": slug,
        "sign": lambda outcome: SIGNS[Outcome(outcome)],
        "short": short,
        "span": span,
        "sentence": sentence,
        "printed": printed,
        "unique_points": unique_points,
    }
    environment.globals |= {
        "version": __version__,
        "css": (TEMPLATES / "style.css").read_text(encoding="utf-8"),
    }
    return environment


def slug(text: str) -> str:
    """A name that a link can hold: `direction only` → direction-only."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", str(text)).strip("-").lower()


def short(value: float) -> str:
    """Three digits that matter: 22.3, 0.0713, 1,240."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-3:
        return f"{value:.3g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}".replace("-", "−")


def span(interval: Interval) -> str:
    """An interval's ends: `2.1 – 2.4`, `2.1 and more`."""
    if not interval.known:
        return "none (one trial)"
    if math.isinf(interval.high) and interval.high > 0:
        return f"{short(interval.low)} and more"
    if math.isinf(interval.low):
        return f"{short(interval.high)} and less"
    return f"{short(interval.low)} – {short(interval.high)}"


def sentence(text: str) -> str:
    """With a full stop, and a capital letter unless it begins with a system's name."""
    text = text.strip()
    first = text.split(" ")[0].split("/")[0]
    if text and first not in {**registry.systems(), **registry.baselines()}:
        text = text[0].upper() + text[1:]
    return text + ("" if not text or text.endswith((".", "?", "!")) else ".")


def many(count: int, thing: str) -> str:
    """`1 trial`, `5 trials`."""
    return f"{count} {thing}" + ("" if count == 1 else "s")


def unique_points(sources: Iterable[Source]) -> list[Source]:
    """One source for each cell: several metrics of it come from the same trials."""
    return list({(source.system, source.point): source for source in sources}.values())


SCALES = {"bit/s": ((1e9, "Gb/s"), (1e6, "Mb/s")), "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))}


def printed(value: Value) -> str:
    """A published number with its unit: `about 9.2 Gb/s`, `1.23 to 3.4 times`."""
    numbers = [value.value] if value.value is not None else [value.low, value.high]
    known = [number for number in numbers if number is not None]
    if value.unit == "B":
        shown, unit = [show("file_size", int(number)) for number in known], ""
        if known[0] % 1024:
            shown = [f"{number / 1e6:g} MB" if number >= 1e6 else f"{number / 1e3:g} KB" for number in known]
    else:
        scale, unit = next(
            ((per, name) for per, name in SCALES.get(value.unit, ()) if abs(known[0]) >= per),
            (1.0, {"ratio": "times", "1": "", "1/s": "per second"}.get(value.unit, value.unit)),
        )
        shown = [
            f"{number / scale:,.0f}" if number / scale >= 1e5 else f"{number / scale:g}" for number in known
        ]
    words = [value.bound, "about" if value.approximate else "", " to ".join(shown), unit]
    return " ".join(word for word in words if word)


def flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts of a record as names and values for a page."""
    found: list[tuple[str, str]] = []
    for name, value in facts.items():
        words = f"{prefix}{str(name).replace('_', ' ')}"
        if isinstance(value, Mapping) and any(isinstance(one, Mapping) for one in value.values()):
            found += flat(value, f"{words}: ")
        elif isinstance(value, Mapping):
            found.append((words, ", ".join(f"{key}: {_plain(one)}" for key, one in value.items()) or "none"))
        elif words.endswith(" bytes") and isinstance(value, int):
            found.append((words.removesuffix(" bytes"), f"{value / (1 << 30):.3g} GiB"))
        else:
            found.append((words, _plain(value)))
    return found


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "unknown"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_plain(one) for one in value) or "none"
    return str(value)
