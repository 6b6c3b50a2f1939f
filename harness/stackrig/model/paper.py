# SPDX-License-Identifier: Apache-2.0
"""analysis/papers/<paper>/published.yaml and claims.yaml: what a paper prints, and what can be checked of it.

Facts are cited by section, figure and page. What a paper says is told in our words.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, field_validator, model_validator

from stackrig.model.base import Model, Scalar, parse_scalars
from stackrig.model.experiment import TestbedClass
from stackrig.model.expression import PLACES, Expression
from stackrig.model.system import Wire


class Where(Model):
    """The place in the paper."""

    section: str
    page: int
    figure: str = ""
    table: str = ""

    def __str__(self) -> str:
        thing = f"Figure {self.figure}, " if self.figure else f"Table {self.table}, " if self.table else ""
        return f"{thing}§{self.section}, p. {self.page}"


# What a paper prints ------------------------------------------------------------------------------------


class Machine(Model):
    """Hardware and software that a paper measured on."""

    id: str
    title: str
    where: Where
    artifacts: list[str] = Field(default=[], description="the artifacts measured on it")
    facts: dict[str, str]


class Value(Model):
    """One printed number, or a range of them. Units are those of records: bit/s, not Gb/s."""

    id: str
    artifact: str
    where: Where
    what: str = Field(description="what the number is of, in our words")
    quantity: str = Field(description="a metric's name, or words where it is of none")
    system: str = ""
    against: str = Field(default="", description="the system that a relative number is relative to")
    unit: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    bound: Literal["", "at least", "at most", "more than", "less than"] = ""
    approximate: bool = False
    at: dict[str, Any] = Field(default={}, description="the points it stands for")
    panel: str = ""
    draw: Literal["", "level", "place"] = Field(
        default="", description="level: a line at this y from at.<x> on; place: a mark at this x"
    )

    @field_validator("at", mode="before")
    @classmethod
    def _sizes(cls, value: object) -> object:
        return parse_scalars(value)

    @model_validator(mode="after")
    def _one(self) -> Value:
        if (self.value is None) == (self.low is None or self.high is None):
            raise ValueError("expected either value, or low and high")
        return self


class Means(Model):
    """What a column of a printed table holds, in the harness' words."""

    system: str
    quantity: str = Field(description="a metric's name")
    per: float = Field(description="records' units in one of the column's")
    unit: str = Field(description="the column's, as a person writes it: Mb/s, ms")
    at: dict[str, Scalar] = {}


class Table(Model):
    """A table, whole. `axis` and `means`: where its numbers can be held against trials."""

    id: str
    where: Where
    what: str
    columns: list[str]
    rows: list[list[str]]
    axis: str = Field(default="", description="what the first column is: an axis of experiments, in bytes")
    means: dict[str, Means] = Field(default={}, description="column → what it holds")

    @model_validator(mode="after")
    def _known_columns(self) -> Table:
        if strange := sorted(set(self.means) - set(self.columns)):
            raise ValueError(f"means: {strange[0]!r} is none of the columns")
        return self

    def place(self, row: list[str]) -> float:
        """Where a row stands on the axis: `32 bytes` → 32."""
        return number_of(row[0])

    def printed(self, column: str, at: float) -> str | None:
        """The cell as the paper prints it; None where the table has no such row."""
        index = self.columns.index(column)
        return next((row[index] for row in self.rows if self.place(row) == at), None)

    @model_validator(mode="after")
    def _rectangle(self) -> Table:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"row {row[0]!r} has {len(row)} cells, the table {len(self.columns)} columns"
                )
        return self


def number_of(text: str) -> float:
    """`103.66 mbps` → 103.66."""
    found = re.match(r"-?[\d.,]+", text)
    if found is None:
        raise ValueError(f"{text!r} has no number")
    return float(found.group(0).replace(",", ""))


class Published(Model):
    schema_version: Literal[1] = Field(alias="schema")
    paper: str
    title: str
    author: str
    year: int
    venue: str
    machines: list[Machine] = []
    values: list[Value] = []
    tables: list[Table] = []

    @model_validator(mode="after")
    def _unique(self) -> Published:
        _no_twins([value.id for value in self.values])
        return self


# What can be checked ------------------------------------------------------------------------------------


def _is_expression(text: str) -> str:
    Expression(text)
    return text


Quantity = Annotated[str, AfterValidator(_is_expression)]


class Span(Model):
    """Part of an axis, ends included where they say so."""

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _sizes(cls, value: object) -> object:
        return parse_scalars(value)

    def holds(self, value: float) -> bool:
        return not (
            (self.at_least is not None and value < self.at_least)
            or (self.at_most is not None and value > self.at_most)
            or (self.above is not None and value <= self.above)
            or (self.below is not None and value >= self.below)
        )

    def __str__(self) -> str:
        words = {"at least": self.at_least, "at most": self.at_most, "above": self.above, "below": self.below}
        return " and ".join(f"{word} {value:g}" for word, value in words.items() if value is not None)


Selector = Span | list[Scalar] | Scalar
"""One value of an axis, several, part of it, or a word: largest, smallest."""


class _Rule(Model):
    over: dict[str, Selector] = Field(
        default={}, description="axis → which of the run's values; an axis that is not named: all"
    )
    margin: float = Field(default=0.05, ge=0, lt=1, description="relative difference that is none")

    @field_validator("over", mode="before")
    @classmethod
    def _sizes(cls, value: object) -> object:
        return parse_scalars(value)

    @field_validator("over")
    @classmethod
    def _words(cls, over: dict[str, Selector]) -> dict[str, Selector]:
        for axis, chosen in over.items():
            wire = axis == "wire" and chosen in get_args(Wire)
            if isinstance(chosen, str) and chosen not in PLACES and not wire:
                raise ValueError(f"{axis}: {chosen!r}; expected a value, largest or smallest")
        return over


class _Bounded(_Rule):
    of: Quantity
    at_least: float = -math.inf
    at_most: float = math.inf
    points: Literal["every", "some", "geometric mean"] = Field(
        default="every", description="must hold at every point, at one of them, or for their mean"
    )

    @model_validator(mode="after")
    def _some_bound(self) -> _Bounded:
        if self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least} is above at_most {self.at_most}")
        if math.isinf(self.at_least) and math.isinf(self.at_most):
            raise ValueError("expected at_least, at_most or both")
        return self


class RatioRule(_Bounded):
    """A ratio lies within bounds. Its direction is the side of 1 that it is on."""

    direction: Literal["above", "below", "none"] = Field(
        description="the side of 1 that a weaker reading of the claim still says; none: equality is claimed"
    )


class RangeRule(_Bounded):
    """A quantity lies within bounds. It has no direction."""


class OrderingRule(_Rule):
    """Systems in the order of a metric, the greatest first."""

    metric: str
    order: list[str] = Field(min_length=2)


class ShapeRule(_Rule):
    """A quantity rises, falls or stays level along an axis. `margin`: what is no change."""

    of: Quantity
    along: str
    trend: Literal["rising", "falling", "level"]


class CrossingRule(_Rule):
    """Along an axis, a quantity passes a level (from above or from below) within bounds of the axis."""

    of: Quantity
    along: str
    level: float
    start: Literal["above", "below"]
    at_least: float = -math.inf
    at_most: float = math.inf

    @field_validator("at_least", "at_most", mode="before")
    @classmethod
    def _size(cls, value: object) -> object:
        return parse_scalars({"": value})[""]


class InterfaceRule(Model):
    """Every function of a published table exists, and a test uses it: one verdict for each."""

    table: str


Rule = RatioRule | RangeRule | OrderingRule | ShapeRule | CrossingRule | InterfaceRule


class ClaimNeeds(Model):
    """What it takes to check the claim; what is missing is told in the verdict."""

    testbed: list[TestbedClass] = ["veth", "softnic", "lab"]
    nics: int = 1
    server_cores: int = 1
    link_gbps: float | None = Field(default=None, description="NICs of this rate, which the claim is about")
    other: list[str] = Field(default=[], description="what no testbed here can have, such as FreeBSD 10")


FORMS = ("ratio", "range", "ordering", "shape", "crossing", "interface")


class Claim(Model):
    """One statement of a paper that can be checked."""

    id: str
    artifact: str
    panel: str = ""
    where: Where
    says: str = Field(description="the statement, in our words")
    reading: str = Field(default="", description="how loose words of the paper were made a rule, and why")
    level: Literal["relative", "absolute"] = Field(
        default="relative", description="absolute: depends on the paper's hardware; class lab only"
    )
    needs: ClaimNeeds = ClaimNeeds()
    ratio: RatioRule | None = None
    range: RangeRule | None = None
    ordering: OrderingRule | None = None
    shape: ShapeRule | None = None
    crossing: CrossingRule | None = None
    interface: InterfaceRule | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Claim:
        given = [form for form in FORMS if getattr(self, form) is not None]
        if len(given) != 1:
            said = f"got {' and '.join(given)}" if given else "got none"
            raise ValueError(f"claim {self.id}: expected exactly one of {', '.join(FORMS)}; {said}")
        return self

    @property
    def form(self) -> str:
        return next(form for form in FORMS if getattr(self, form) is not None)

    @property
    def rule(self) -> Rule:
        rule: Rule = getattr(self, self.form)
        return rule


class Claims(Model):
    schema_version: Literal[1] = Field(alias="schema")
    paper: str
    claims: list[Claim]

    @model_validator(mode="after")
    def _unique(self) -> Claims:
        _no_twins([claim.id for claim in self.claims])
        return self


def _no_twins(ids: list[str]) -> None:
    twins = sorted({one for one in ids if ids.count(one) > 1})
    if twins:
        raise ValueError(f"the id {twins[0]} is given twice")
