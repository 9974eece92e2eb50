# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that belong together, as one parameter of a command: a dataclass whose fields are options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, TypeVar, get_type_hints

_Result = TypeVar("_Result")


def expanded(command: Callable[..., _Result]) -> Callable[..., _Result]:
    """The command as typer wants it: the fields of each parameter that is a dataclass stand in its place.

    The parameter's default, an instance, says the options' defaults.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {}
    parameters: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        group = hints[parameter.name]
        if not is_dataclass(group):
            parameters.append(parameter.replace(annotation=group, kind=Parameter.KEYWORD_ONLY))
            continue
        assert isinstance(group, type)
        groups[parameter.name] = group
        options = get_type_hints(group, include_extras=True)
        parameters += [
            Parameter(name, Parameter.KEYWORD_ONLY, default=getattr(parameter.default, name), annotation=options[name])
            for name in _names(group)
        ]

    @wraps(command)
    def call(**values: object) -> _Result:
        for parameter, group in groups.items():
            values[parameter] = group(**{name: values.pop(name) for name in _names(group)})
        return command(**values)

    call.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _names(group: type[Any]) -> list[str]:
    return [field.name for field in fields(group)]
