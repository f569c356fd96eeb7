"""Writes the pages of the reference that the code itself knows: commands, configuration, metrics, custom facets."""  # noqa: INP001  - a script beside its pages

from __future__ import annotations

import inspect
import json
import re
import sys
import types
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs
import click

from openlineage_bridge import config
from openlineage_bridge.cli import group
from openlineage_bridge.forwarding import OpenLineageSink
from openlineage_bridge.outgoing import Connection
from openlineage_bridge.server.metrics import GAUGES, Metrics
from openlineage_bridge_datahub.options import Options
from openlineage_bridge_datahub.sinks.file import FileSink
from openlineage_bridge_datahub.sinks.kafka import KafkaSink
from openlineage_bridge_datahub.sinks.rest import RestSink

REFERENCE = Path(__file__).parent / "reference"
SCHEMA = "openlineage-bridge.schema.json"
WRITTEN = "Written by `python docs/generate.py` from the code; a test fails when it is out of date.\n"
WIDTH = 100

SINKS: dict[str, tuple[type, dict[str, str]]] = {
    "rest": (RestSink, {"datasets": "", "connection": ""}),
    "kafka": (
        KafkaSink,
        {
            "registry": "schema_registry_url",
            "registry_auth": "schema_registry_auth",
            "held": "",
            "connection": "",
        },
    ),
    "file": (FileSink, {}),
    "openlineage": (OpenLineageSink, {"connection": ""}),
}
"""By name the class whose arguments are its keys, and the arguments that are called otherwise, or are no keys."""

FACETS = ("openlineage_bridge_prefect", "openlineage_bridge_dagster")


# --- what classes say -----------------------------------------------------------------------------------------------


def said(kind: type) -> dict[str, str]:
    """What the docstring of a class says of each argument."""
    text = inspect.getdoc(kind) or ""
    block = re.search(r"^Args:\n((?:(?:    .*)?\n?)*)", text, flags=re.MULTILINE)
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", block[1] if block else "", flags=re.MULTILINE)
    return {name: " ".join(words.replace("``", "`").split()) for name, words in entries}


def keys(kind: type, where: str = "") -> Iterator[tuple[str, Any, Any, str]]:
    """Dotted key, type, default and meaning, those of sections below their section."""
    meanings, hints = said(kind), get_type_hints(kind)
    for field in attrs.fields(kind):
        if not field.init or field.name == "options":
            continue
        section = section_of(hints[field.name])
        yield f"{where}{field.name}", hints[field.name], default(field), meanings[field.name]
        if section:
            yield from keys(section, f"{where}{field.name}.")


def section_of(hint: Any) -> type | None:
    """The class that a value of this type holds keys of, if it is one."""
    return next(
        (each for each in (hint, *get_args(hint)) if isinstance(each, type) and attrs.has(each)), None
    )


def default(field: attrs.Attribute[Any]) -> Any:
    """Of a field; None where it has none, and where it is a section."""
    if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]  # attrs declares it as a function
        return None
    return None if field.default is attrs.NOTHING else field.default


def shown(value: Any) -> str:
    """A default as YAML has it."""
    if value is None or value == ():
        return ""
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value, default=str)}`"


# --- configuration --------------------------------------------------------------------------------------------------

CONFIGURATION = f"""# Configuration

{WRITTEN}
`openlineage-bridge.yml` is looked for at `--config`, `$OPENLINEAGE_BRIDGE_CONFIG`, in the current folder and in `~/.openlineage/`; it
may be missing. A flag wins over the environment, that over the file, that over the default. (OpenLineage's own client puts its
file above the environment.) In the file `${{NAME}}`, `${{NAME:-default}}` and `${{file:/path}}` stand for an environment variable, one
with a default, and the content of a file. `OPENLINEAGE_BRIDGE__SERVER__PORT=8090` sets `server.port`; lists and sections are
written as JSON or YAML there. `openlineage-bridge validate --config FILE` checks everything without a connection to anything.

An editor that knows JSON schemas completes and checks the file with [{SCHEMA}]({SCHEMA}):

```yaml
# yaml-language-server: $schema=docs/reference/{SCHEMA}
store: /data/bridge.db
server: {{host: 0.0.0.0, port: 5000, tokens: ["${{BRIDGE_TOKEN:-example}}"]}}
datahub: {{sink: none, env: PROD}}
```

## The bridge
"""

TRANSLATOR = """
## DataHub

The section `datahub:` says what to say, and with `sink:` where to. The keys of the sink stand in the same section.
"""

DESTINATIONS = """
## Where to

`sink:` is one of those below, or `none`: everything stays in the store. `destinations:` names further ones, each with its own
`sink:` and keys; what each was given is remembered for itself.

```yaml
datahub: {sink: rest, server: "http://localhost:8080"}
destinations:
  archive: {sink: file, path: proposals.json}
  marquez: {sink: openlineage, url: "http://localhost:9000"}
```

`rest` reads the address and the token as DataHub's own programs do, too: `DATAHUB_GMS_URL`, `DATAHUB_GMS_TOKEN`, `~/.datahubenv`.
"""


def configuration() -> str:
    """The page."""
    parts = [
        CONFIGURATION,
        table(keys(config.Config)),
        TRANSLATOR,
        table(keys(Options, "datahub.")),
        DESTINATIONS,
    ]
    for name, (kind, renamed) in SINKS.items():
        meanings = {renamed.get(key, key): words for key, words in said(kind).items()}
        parts += [f"\n### `sink: {name}`\n", words_of({key: words for key, words in meanings.items() if key})]
    parts += ["\n### Connections of `rest`, `kafka` and `openlineage`\n", words_of(said(Connection))]
    return "\n".join(parts)


def table(rows: Iterator[tuple[str, Any, Any, str]]) -> str:
    """Key, default, meaning."""
    lines = [f"| `{key}` | {shown(value)} | {cell(meaning)} |" for key, _, value, meaning in rows]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *lines])


def words_of(meanings: Mapping[str, str]) -> str:
    """Key and meaning."""
    lines = [f"| `{key}` | {cell(words)} |" for key, words in meanings.items()]
    return "\n".join(["| key | meaning |", "|---|---|", *lines])


def cell(text: str) -> str:
    """Text inside a table."""
    return text.replace("|", "\\|")


def schema() -> str:
    """The JSON schema of the configuration file."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "openlineage-bridge.yml",
        **object_of(config.Config),
    }
    sinks = {
        renamed.get(key, key): {"description": words}
        for kind, renamed in [*SINKS.values(), (Connection, {})]
        for key, words in said(kind).items()
        if renamed.get(key, key)
    }
    section = object_of(Options)
    section["properties"] = {"sink": {"enum": [*SINKS, "none"]}, **sinks, **section["properties"]}
    document["properties"]["datahub"] = section
    return json.dumps(document, indent=2) + "\n"


def object_of(kind: type) -> dict[str, Any]:
    """A class with keys as a JSON schema that knows no other key."""
    meanings, hints = said(kind), get_type_hints(kind)
    fields = [field for field in attrs.fields(kind) if field.init and field.name != "options"]
    found: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}
    for field in fields:
        found["properties"][field.name] = {"description": meanings[field.name], **type_of(hints[field.name])}
    if required := [field.name for field in fields if field.default is attrs.NOTHING]:
        found["required"] = required
    return found


SCALARS: dict[Any, str] = {bool: "boolean", int: "integer", float: "number"}


def type_of(hint: Any) -> dict[str, Any]:
    """A type as JSON schema; a text may stand for every scalar, because it may be ``${…}``."""
    if hint is Any:
        return {}
    if section := section_of(hint) if get_origin(hint) is not tuple else None:
        return object_of(section)
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        return type_of(next(each for each in get_args(hint) if each is not types.NoneType))
    if origin is tuple:
        return {"type": "array", "items": type_of(get_args(hint)[0])}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object"}
    return {"type": [SCALARS[hint], "string"]} if hint in SCALARS else {"type": "string"}


# --- commands -------------------------------------------------------------------------------------------------------

COMMANDS = f"""# Commands

{WRITTEN}
Data goes to stdout, everything else to stderr. Colours only on a terminal; `NO_COLOR` switches them off, `FORCE_COLOR` on.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | something unexpected, or a store that cannot be used |
| 2 | usage or configuration |
| 3 | finished, but some events were refused or are in quarantine |
| 4 | a destination, or Prefect, or the backend, is away: try again |
| 130 | interrupted |

Completion of commands and options in the shell (`bash_source`, `zsh_source`, `fish_source`):

```sh
eval "$(_OPENLINEAGE_BRIDGE_COMPLETE=bash_source openlineage-bridge)"
```
"""


def commands() -> str:
    """The page: what ``--help`` says, of every command and every command below it."""
    return "\n".join([COMMANDS, *helped(group, "openlineage-bridge", None)])


def helped(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    """A command's own help, then that of those below it."""
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    # Click keeps the option of whoever asked first, who may have asked the command outside of its group.
    command._help_option = None  # noqa: SLF001
    context = click.Context(command, info_name=name, parent=parent, **settings)
    path = context.command_path
    yield f"\n{'##' if path.count(' ') <= 1 else '###'} `{path}`\n\n```text\n{command.get_help(context)}\n```"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from helped(found, below, context)


# --- metrics --------------------------------------------------------------------------------------------------------

METRICS = f"""# Metrics

{WRITTEN}
`GET /metrics` in Prometheus' text format, open to everyone who can reach the port. Labels are bounded: never the name of a job or
a dataset.

| metric | type | labels | meaning |
|---|---|---|---|"""


class _Figures:
    """Stands for the store: one of every figure."""

    def status(self) -> dict[str, Any]:
        figures = {name: {"": 0} if about[0] else 0 for name, about in GAUGES.items()}
        return {**figures, "destinations": {"": defaultdict(int)}}


def metrics() -> str:
    """The page."""
    registry = Metrics(_Figures()).registry  # type: ignore[arg-type]  # figures are all that it asks for
    rows = []
    for collector in registry._collector_to_names:  # noqa: SLF001  - prometheus_client lists its collectors nowhere else
        labels = getattr(collector, "_labelnames", ())
        for family in collector.collect():
            named = sorted({key for sample in family.samples for key in sample.labels} - {"le"} | {*labels})
            name = f"{family.name}_total" if family.type == "counter" else family.name
            rows.append(f"| `{name}` | {family.type} | {', '.join(named)} | {family.documentation} |")
    return "\n".join([METRICS, *rows, ""])


# --- custom facets --------------------------------------------------------------------------------------------------

CUSTOM = f"""# Custom facets

{WRITTEN}
What no facet of the specification carries. Each has a JSON schema in the package, at which its `_schemaURL` points.
"""


def custom_facets() -> str:
    """The page."""
    parts = [CUSTOM]
    for package in FACETS:
        for file in sorted(
            resources.files(package).joinpath("schemas").iterdir(), key=lambda each: each.name
        ):
            document = json.loads(file.read_text())
            for key in document["properties"]:
                parts += [f"\n## `{key}`\n", *facet(document, f"{package}/schemas/{file.name}")]
    return "\n".join(parts) + "\n"


def facet(document: Mapping[str, Any], path: str) -> Iterator[str]:
    """What it is and what is in it."""
    name = Path(path).stem
    definition = document["$defs"][name]
    fields = {key: about for part in definition["allOf"] for key, about in part.get("properties", {}).items()}
    yield f"{definition['description']} Schema: `{path}`\n"
    yield "| field | meaning |\n|---|---|"
    for key, about in fields.items():
        yield f"| `{key}` | {cell(about.get('description', ''))} |"


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "configuration.md": configuration,
    SCHEMA: schema,
    "metrics.md": metrics,
    "custom-facets.md": custom_facets,
}
"""By file what it holds."""


if __name__ == "__main__":
    for page, content in PAGES.items():
        (REFERENCE / page).write_text(content(), encoding="utf-8")
        sys.stdout.write(f"{page}\n")
