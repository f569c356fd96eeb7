"""Parameters as the ``executionParameters`` facet may show them: scalars and short lists of them, without secrets.

Everything else is shown as the name of its type: a data frame's ``repr`` costs time and tells secrets.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import os
import pathlib
import re
import uuid
from collections.abc import Mapping
from typing import Any

import attrs

MAX_VALUE = 256
"""Characters of a value that are shown."""

MAX_PARAMETERS = 100
"""Parameters that are shown."""

MAX_ITEMS = 50
"""Items of a list or tuple up to which it is shown; a longer one is data."""

SCALARS = (
    str,
    int,
    float,
    bool,
    type(None),
    decimal.Decimal,
    dt.date,
    dt.time,
    dt.timedelta,
    uuid.UUID,
    pathlib.PurePath,
)
"""Types whose values are immutable and whose text is their value."""

REDACTED = "***"

PARAMETERS_KEY = "OPENLINEAGE_BRIDGE_PARAMETERS"
"""Switch: with ``false``, no parameter of a run is told, neither its name nor its value."""

SECRET_NAME = re.compile(
    r"pass(word|wd|phrase|code)?($|[^a-z])|pwd|secret|token|credential|api_?key|access_?key|private_?key|auth(?!or)|"
    r"signature|salt|cookie|session|connection_?string|dsn",
    re.IGNORECASE,
)
"""Names whose values are not shown."""

URL_PASSWORD = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*://[^/\s:@]*):[^\s@\"'<>]+@")
"""A URL with a password in it; rather too much is taken for one than too little."""


@attrs.frozen
class Parameter:
    """A parameter of a run.

    Args:
        name: Name in the signature of the flow or task.
        value: A scalar; a short list or tuple of scalars as JSON, as Prefect's API has it; the name of the type of anything else.
    """

    name: str
    value: Any


def copies(values: Mapping[str, Any] | None) -> tuple[Parameter, ...]:
    """Copies that later changes of the user's objects do not reach; cheap, for the user's thread."""
    if not values or _untold():
        return ()
    return tuple(Parameter(name, _copy(value)) for name, value in list(values.items())[:MAX_PARAMETERS])


def _untold() -> bool:
    return os.environ.get(PARAMETERS_KEY, "").strip().lower() in {"0", "false", "no", "off"}


def shown(parameter: Parameter) -> str:
    """The text that the facet shows for a parameter."""
    if SECRET_NAME.search(parameter.name):
        return REDACTED
    return without_passwords(str(parameter.value))[:MAX_VALUE]


def origin(parameter: Parameter, defaults: Mapping[str, Any]) -> str | None:
    """Where a parameter of a deployment's run has its value from; None where that cannot be told.

    Args:
        parameter: The parameter.
        defaults: The deployment's parameters, as the API's JSON has them.
    """
    name = parameter.name
    if name not in defaults:
        # The flow's own default, or given for the run: the API keeps them alike.
        return None
    default = defaults[name]
    if not isinstance(default, SCALARS):
        return None
    return "as the deployment has it" if str(_copy(default)) == str(parameter.value) else "given for this run"


def without_passwords(text: str) -> str:
    """The text with the passwords of its URLs replaced."""
    return URL_PASSWORD.sub(rf"\g<scheme>:{REDACTED}@", text)


def _copy(value: Any) -> Any:
    if (
        type(value) in {list, tuple}
        and len(value) <= MAX_ITEMS
        and all(isinstance(each, SCALARS) for each in value)
    ):
        return json.dumps([_copy(each) for each in value], default=str, ensure_ascii=False)
    if not isinstance(value, SCALARS):
        return f"<{type(value).__name__}>"
    # A little more than is shown, so that cutting happens after redaction.
    return value[: 4 * MAX_VALUE] if isinstance(value, str) else value
