# SPDX-License-Identifier: Apache-2.0
"""How a system looks, everywhere the same: colour, line and mark.

A system says so itself (`style:` in its system.yaml), or its name decides: the hash of the name picks the
first free colour. Nobody keeps a list. Variants of a system share its colour's hue and differ in line, mark
and lightness, so that they stay apart in print and for eyes that see few colours.
"""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from stackrig import registry
from stackrig.model.system import Look

# Okabe and Ito (2008), apart for colour-blind eyes; each with a lighter twin for a dark page.
COLOURS = (
    ("#0072B2", "#4DB1E8"),  # blue
    ("#D55E00", "#FF8A4C"),  # vermilion
    ("#009E73", "#3CC79D"),  # green
    ("#AA4499", "#D98BCB"),  # purple
    ("#B8860B", "#E6B94A"),  # ochre
    ("#444444", "#BBBBBB"),  # grey
    ("#7A3E0E", "#C98B5B"),  # brown
    ("#117788", "#5FBCCB"),  # teal
)
LINES = ("solid", "dashed", "dashdot", "dotted")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
NAMES = {"blue": 0, "vermilion": 1, "green": 2, "purple": 3, "ochre": 4, "grey": 5, "brown": 6, "teal": 7}


@dataclass(frozen=True)
class Theme:
    paper: str
    ink: str
    faint: str
    grid: str
    dark: bool


LIGHT = Theme(paper="#FFFFFF", ink="#1A1A1A", faint="#6E6E6E", grid="#E4E4E4", dark=False)
DARK = Theme(paper="#15181D", ink="#E8E8E8", faint="#9AA0A8", grid="#2C3138", dark=True)


@dataclass(frozen=True)
class Style:
    """Of one system or variant. `dark`: the colour on a dark page."""

    color: str
    dark: str
    line: str
    mark: str


@cache
def styles() -> dict[str, Style]:
    """Label (`sandstorm/memcpy`, `nginx`) → style, of every system that there is."""
    loaded = [registry.load_system(name) for name in sorted({**registry.systems(), **registry.baselines()})]
    return assign(
        {
            system.name: (
                {system.label(variant): body.style for variant, body in system.variants.items()},
                system.style,
            )
            for system in loaded
        }
    )


def style_of(label: str) -> Style:
    """A system's style; one that is no longer there is drawn as its name alone decides."""
    known = styles()
    if label in known:
        return known[label]
    name = label.split("/")[0]
    return assign({name: ({label: Look()}, Look())})[label]


def assign(systems: Mapping[str, tuple[Mapping[str, Look], Look]]) -> dict[str, Style]:
    """Styles for systems: name → (label → what its variant says, what the system says).

    What is said comes first; the rest take the first free colour and mark from the place on that their
    name's hash gives, so that a system keeps its look when others come whose names hash elsewhere.
    """
    taken = [NAMES[said.color] for _, said in systems.values() if said.color]
    marks_taken = [MARKS.index(said.mark) for _, said in systems.values() if said.mark]
    found: dict[str, Style] = {}
    for name in sorted(systems):
        variants, said = systems[name]
        slot = _slot(name, said.color, NAMES, taken, len(COLOURS))
        first = _slot(name, said.mark, {m: i for i, m in enumerate(MARKS)}, marks_taken, len(MARKS))
        for place, (label, own) in enumerate(variants.items()):
            light, dark = COLOURS[NAMES.get(own.color, slot)]
            shift = 0.0 if own.color else 0.16 * place
            found[label] = Style(
                color=_lighter(light, shift),
                dark=_lighter(dark, -shift / 2),
                line=own.line or said.line or LINES[place % len(LINES)],
                mark=own.mark or MARKS[(first + place) % len(MARKS)],
            )
    return found


def _slot(name: str, said: str, names: Mapping[str, int], taken: list[int], count: int) -> int:
    if said in names:
        return names[said]
    start = zlib.crc32(name.encode()) % count
    free: Iterable[int] = ((start + step) % count for step in range(count))
    slot = next((one for one in free if one not in taken), start)
    taken.append(slot)
    return slot


def _lighter(color: str, by: float) -> str:
    """The colour with its lightness moved towards white (or black), hue kept."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, light, saturation = colorsys.rgb_to_hls(red, green, blue)
    light = light + (1 - light) * by if by > 0 else light * (1 + by)
    parts: Any = colorsys.hls_to_rgb(hue, light, saturation)
    return "#" + "".join(f"{round(part * 255):02X}" for part in parts)
