# SPDX-License-Identifier: Apache-2.0
"""The quantity that a claim is about, as arithmetic over the metrics of systems:

    goodput('sandstorm/precopy') / goodput('nginx')
    goodput('nginx', nics=largest) / goodput('nginx', nics=1)
    max(goodput('nginx', run=1), goodput('nginx', run=2)) / min(goodput('nginx', run=1), goodput('nginx', run=2))

A term is a metric of a system at the point looked at; keywords look at another value of an axis. It is
evaluated over medians of trials, one number or a bootstrap's whole array of them at a time.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stackrig.errors import nearest
from stackrig.model.base import Scalar, parse_scalar
from stackrig.model.metrics import METRICS

Array = NDArray[np.float64]

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_CHOICES: dict[str, Callable[[Any, Any], Any]] = {"max": np.maximum, "min": np.minimum}
PLACES = ("largest", "smallest")
"""Words for a place on an axis: the largest and the smallest value that the run has."""


@dataclass(frozen=True)
class Term:
    """One metric of one system. `pins`: axes looked at elsewhere than at the current point."""

    metric: str
    system: str
    pins: tuple[tuple[str, Scalar], ...] = ()


class Expression:
    """A parsed quantity. ValueError where the text is none; it says what is wrong with it."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._tree = ast.parse(text, mode="eval").body
        except SyntaxError as error:
            raise ValueError(f"{text!r} is no expression: {error.msg}") from error
        self.terms: list[Term] = []
        self._collect(self._tree)
        if not self.terms:
            raise ValueError(f"{text!r} names no metric of a system, such as goodput('nginx')")

    def evaluate(self, values: Sequence[Array]) -> Array:
        """The quantity, where values[i] are those of terms[i]. A division by zero gives an infinity."""
        numbers = dict(zip(self.terms, values, strict=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self._value(self._tree, numbers), dtype=np.float64)

    def _collect(self, node: ast.expr) -> None:
        match node:
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                self._collect(left)
                self._collect(right)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                self._collect(operand)
            case ast.Constant(value=int() | float()):
                pass
            case ast.Call(func=ast.Name(id=name), args=[first, second], keywords=[]) if name in _CHOICES:
                self._collect(first)
                self._collect(second)
            case ast.Call():
                term = self._term(node)
                if term not in self.terms:
                    self.terms.append(term)
            case _:
                said = ast.unparse(node)
                raise ValueError(
                    f"{said!r} in {self.text!r}: expected +, -, *, /, a number or metric('system')"
                )

    def _term(self, node: ast.Call) -> Term:
        said = ast.unparse(node)
        match node:
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(system))]):
                if name not in METRICS:
                    close = nearest(name, METRICS)
                    hint = f"; did you mean {' or '.join(close)}?" if close else ""
                    raise ValueError(f"{said!r}: unknown metric {name!r}{hint}")
                return Term(name, system, tuple(_pin(said, word) for word in node.keywords))
        raise ValueError(f"{said!r}: expected metric('system', axis=value)")

    def _value(self, node: ast.expr, numbers: dict[Term, Array]) -> Any:
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                return _OPERATORS[type(op)](self._value(left, numbers), self._value(right, numbers))
            case ast.UnaryOp(operand=operand):
                return -self._value(operand, numbers)
            case ast.Constant(value=value):
                return np.float64(float(value))  # type: ignore[arg-type]
            case ast.Call(func=ast.Name(id=name), args=[first, second]) if name in _CHOICES:
                return _CHOICES[name](self._value(first, numbers), self._value(second, numbers))
            case ast.Call():
                return numbers[self._term(node)]
        raise AssertionError("checked when parsed")


def _pin(said: str, word: ast.keyword) -> tuple[str, Scalar]:
    match word:
        case ast.keyword(arg=str(axis), value=ast.Constant(value=str() | int() | float() as value)):
            return axis, parse_scalar(value)
        case ast.keyword(arg=str(axis), value=ast.Name(id=place)) if place in PLACES:
            return axis, place
    raise ValueError(f"{said!r}: expected axis=value, axis=largest or axis=smallest")
