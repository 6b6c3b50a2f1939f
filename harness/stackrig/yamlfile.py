# SPDX-License-Identifier: Apache-2.0
"""YAML files into models, with errors that name the file, the line, the field, what was expected and the
nearest name. A field that nobody knows, or one given twice, is an error."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from stackrig.errors import UserError, nearest
from stackrig.paths import shown

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Loc = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)


def place(path: Path, loc: Loc) -> str:
    """`file.yaml:12: field experiment.load`: where a field stands, or the nearest field around it."""
    lines: dict[Loc, int] = {}
    _index(path, yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader), (), lines)
    known = next(loc[:length] for length in range(len(loc), -1, -1) if loc[:length] in lines)
    return f"{shown(path)}:{lines[known]}: field {_dotted(loc)}"


def load(path: Path, model: type[M]) -> M:
    """The file as `model`; UserError with every mistake in it, one per line."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _syntax(path, error) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{shown(path)}: cannot be read: {error}") from None
    if node is None:
        raise UserError(
            f"{shown(path)}:1: the file is empty; expected a mapping with the fields of {model.__name__}"
        )
    lines: dict[Loc, int] = {}
    _index(path, node, (), lines)
    data = yaml.load(text, Loader=_Loader)  # noqa: S506  (a safe loader)
    if not isinstance(data, dict):
        raise UserError(f"{shown(path)}:1: expected a mapping with the fields of {model.__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        told = [_tell(path, lines, data, model, dict(one)) for one in error.errors()]
        raise UserError("\n".join(told)) from None


def _syntax(path: Path, error: yaml.YAMLError) -> UserError:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    problem = getattr(error, "problem", None) or str(error)
    return UserError(f"{shown(path)}:{line}: not YAML: {problem}")


def _index(path: Path, node: Any, loc: Loc, lines: dict[Loc, int]) -> None:
    """Line of every field; a field given twice is an error, for YAML would silently take the last."""
    lines.setdefault(loc, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*loc, key.value)
            if inner in lines:
                raise UserError(
                    f"{shown(path)}:{key.start_mark.line + 1}: field {_dotted(inner)}: given twice, "
                    f"first in line {lines[inner]}"
                )
            lines[inner] = key.start_mark.line + 1
            _index(path, value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            _index(path, value, (*loc, position), lines)


def _dotted(loc: Loc) -> str:
    return ".".join(str(part) for part in loc) or "(the file)"


def _within(data: Any, loc: Loc) -> Loc:
    """`loc` as far as it leads into the data: pydantic appends names of union members and the like."""
    kept: list[str | int] = []
    for part in loc:
        in_map = isinstance(data, dict) and part in data
        in_list = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if not (in_map or in_list):
            break
        data = data[part]
        kept.append(part)
    return tuple(kept)


def _tell(path: Path, lines: dict[Loc, int], data: Any, model: type[BaseModel], error: dict[str, Any]) -> str:
    loc = _within(data, error["loc"])
    missing = error["type"] == "missing"
    field = _dotted((*loc, error["loc"][-1]) if missing else loc)
    line = lines.get(loc, 1)
    if error["type"] == "extra_forbidden":
        fields = _fields_at(model, loc[:-1])
        close = nearest(str(loc[-1]), fields)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        said = f"unknown field; expected one of {', '.join(fields)}{hint}"
    elif missing:
        said = "missing; it must be given"
    else:
        said = error["msg"].removeprefix("Value error, ")
        said = said[:1].lower() + said[1:]
        given = error.get("input")
        if error["type"] != "value_error" and isinstance(given, str | int | float | bool | None):
            said += f", got {given!r}"
        if error["type"] == "literal_error" and isinstance(given, str):
            choices = [word.strip("' ") for word in error["ctx"]["expected"].replace(" or ", ",").split(",")]
            if close := nearest(given, choices):
                said += f"; did you mean {close[0]}?"
    return f"{shown(path)}:{line}: field {field}: {said}"


def _fields_at(model: type[BaseModel], loc: Loc) -> list[str]:
    """The fields that may stand at `loc`, found by walking the model's annotations."""
    here: Any = model
    for part in loc:
        here = _step(here, part)
    found = _model_in(here)
    if found is None:
        return []
    return [field.alias or name for name, field in found.model_fields.items()]


def _step(kind: Any, part: str | int) -> Any:
    found = _model_in(kind)
    if found is not None and isinstance(part, str):
        for name, field in found.model_fields.items():
            if part in (name, field.alias):
                return field.annotation
    for inner in typing.get_args(kind):
        origin = typing.get_origin(inner)
        if origin in (dict, list):
            return typing.get_args(inner)[-1]
    arguments = typing.get_args(kind)
    return arguments[-1] if typing.get_origin(kind) in (dict, list) and arguments else None


def _model_in(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        for inner in typing.get_args(kind):
            if (found := _model_in(inner)) is not None:
                return found
    return None
