"""``openlineage-bridge verify``: does lineage land on the entities that the catalog has?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openlineage_bridge.cli.options import (
    config_option,
    format_option,
    load_config,
    store_option,
    translator_of,
)

if TYPE_CHECKING:
    from openlineage_bridge.config import Config
    from openlineage_bridge.translation import Catalog, DatasetState, Known, Translator

SHOWN = 5
"""Datasets of a namespace and standing that are listed as text."""

Named = tuple["DatasetState", "Known"]


@click.command("verify")
@store_option
@config_option
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Ask for the first N datasets only.")
@format_option("text", "json")
def command(store: Path | None, config_file: Path | None, limit: int | None, format_: str) -> None:
    """Ask the catalog which of the datasets that the bridge names it has, and propose the rules that are missing.

    Names are those of the present configuration: change a rule and ask again; when they are right, `retranslate`.

    \b
    Example:
      DATAHUB_GMS_URL=http://localhost:8080 openlineage-bridge verify --store bridge.db
    """
    config = load_config(config_file, store=store)
    translator, catalog = translator_of(config), _catalog(config)
    datasets = list(_datasets(config.store))[:limit]
    found = list(_asked(datasets, translator, catalog))
    rules = list(_proposals(found, translator))
    if format_ == "json":
        from openlineage_bridge.cli.output import print_json

        print_json({"datasets": [_as_json(*each) for each in found], "namespaces": rules})
    else:
        _print(found, rules)


def _catalog(config: Config) -> Catalog:
    """The configured sink, else the one that needs no more than an address.

    Raises:
        ConfigError: It cannot be asked.
    """
    from openlineage_bridge.errors import ConfigError
    from openlineage_bridge.translation import Catalog, load_sink

    name = str(config.translator_options.get("sink", "none"))
    sink = load_sink("rest" if name in ("none", "file", "kafka") else name, config.translator_options)
    if not isinstance(sink, Catalog):
        raise ConfigError(f"the sink {name!r} cannot be asked what its destination has")
    return sink


def _datasets(store: Path) -> Iterator[DatasetState]:
    """Every dataset of the store, with the facets that may decide its name."""
    from openlineage_bridge.derivation import NAMING_FACETS
    from openlineage_bridge.events import DatasetKey
    from openlineage_bridge.facts import Kind
    from openlineage_bridge.store.database import open_readonly
    from openlineage_bridge.store.facts import FactTable
    from openlineage_bridge.translation import DatasetState

    connection = open_readonly(store)
    try:
        facts = FactTable(connection)
        for key in sorted(DatasetKey(*each) for each in facts.everything(Kind.DATASET)):
            yield DatasetState(key, facts.some(key, NAMING_FACETS))
    finally:
        connection.close()


def _asked(datasets: Iterable[DatasetState], translator: Translator, catalog: Catalog) -> Iterator[Named]:
    """What the catalog knows of each dataset that has a URN."""
    named = [(each, urn) for each in datasets if (urn := translator.resolve(each).urn)]
    known = {each.urn: each for each in catalog.look_up(sorted({urn for _, urn in named}))}
    return ((dataset, known[urn]) for dataset, urn in named)


def _proposals(found: Sequence[Named], translator: Translator) -> Iterator[dict[str, Any]]:
    """One rule for each namespace whose datasets the catalog has under other names."""
    from openlineage_bridge.translation import RuleProposer

    if not isinstance(translator, RuleProposer):
        return
    by_namespace: dict[str, list[tuple[DatasetState, str]]] = {}
    for dataset, known in found:
        if known.instead:
            by_namespace.setdefault(dataset.key.namespace, []).append((dataset, known.instead[0]))
    for namespace, named in sorted(by_namespace.items()):
        if rule := translator.propose(namespace, named):
            yield dict(rule)


def _as_json(dataset: DatasetState, known: Known) -> dict[str, Any]:
    return {
        "namespace": dataset.key.namespace,
        "name": dataset.key.name,
        "urn": known.urn,
        "standing": known.standing.value,
        "instead": list(known.instead),
    }


WORDS = {
    "exists": "are there, and somebody else wrote about them too",
    "casing": "are there in another upper or lower case",
    "elsewhere": "are there under another instance, database or environment",
    "ghost": "are there only because the bridge wrote about them",
    "absent": "are not there",
}


def _print(found: Sequence[Named], rules: Sequence[dict[str, Any]]) -> None:
    from openlineage_bridge.cli.output import plain

    for standing, words in WORDS.items():
        those = [each for each in found if each[1].standing == standing]
        if those:
            click.echo(f"{len(those):>6,}  {words}")
        for dataset, known in those[:SHOWN] if standing != "exists" else ():
            instead = f" → {plain(known.instead[0])}" if known.instead else ""
            click.echo(
                f"        {plain(dataset.key.namespace)} {plain(dataset.key.name)}: {plain(known.urn)}{instead}"
            )
    if not found:
        click.echo("the store names no dataset")
    if rules:
        import yaml

        click.echo(
            "\nThese rules would give them the names that the catalog has (in the translator's section):\n"
        )
        click.echo(yaml.safe_dump({"namespaces": list(rules)}, sort_keys=False, allow_unicode=True).rstrip())
