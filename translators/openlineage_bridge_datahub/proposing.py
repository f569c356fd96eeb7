"""Which namespace rule would give datasets the URNs that DataHub has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import attrs

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.translation import DatasetState
from openlineage_bridge_datahub.rules import NamespaceRule, first_match
from openlineage_bridge_datahub.urns import DatasetNaming

_URN = re.compile(
    r"urn:li:dataset:\(urn:li:dataPlatform:(?P<platform>[^,()]+),(?P<name>[^,()]+),(?P<env>[^,()]+)\)"
)

MOST_KEYS = 3
"""Keys that a proposed rule may have beside ``match``; a simpler rule is tried before a longer one."""


def propose(
    naming: DatasetNaming, namespace: str, named: Sequence[tuple[DatasetState, str]]
) -> Mapping[str, Any] | None:
    """The simplest rule for ``namespace`` under which each dataset gets its URN, or None.

    Where a rule holds there already, its keys stay and the proposal adds to them. The proposal has to stand in front of
    the rules that there are: the first that matches holds.
    """
    known = first_match(naming.rules, namespace)
    kept = _keys(known) if known else {}
    for extra in _candidates(naming, named):
        rule = {"match": namespace, **kept, **extra}
        if all(_resolves(naming, rule, dataset, urn) for dataset, urn in named):
            return rule
    return None


def _resolves(naming: DatasetNaming, rule: Mapping[str, Any], dataset: DatasetState, urn: str) -> bool:
    try:
        tried = DatasetNaming([NamespaceRule(**rule), *naming.rules], naming.env)
    except (ConfigError, TypeError, ValueError):
        return False
    return tried.resolve(dataset.key.namespace, dataset.key.name, dataset.facets).urn == urn


def _candidates(naming: DatasetNaming, named: Sequence[tuple[DatasetState, str]]) -> Iterator[dict[str, Any]]:
    """Settings that may explain the difference, from the simplest on; the names say what the values may be."""
    settings = list(_settings(naming, *named[0]))
    for size in range(1, MOST_KEYS + 1):
        for chosen in combinations(settings, size):
            if len({key for key, _ in chosen}) == size:
                yield dict(chosen)


def _settings(naming: DatasetNaming, dataset: DatasetState, urn: str) -> Iterator[tuple[str, Any]]:
    now = naming.named(dataset.key.namespace, dataset.key.name, dataset.facets)
    wanted = _URN.fullmatch(urn)
    if wanted is None or now.urn is None:
        return
    if wanted["env"] != now.env:
        yield "env", wanted["env"]
    if wanted["name"] != now.name:
        yield "lowercase", True
        yield "lowercase", False
        yield "include_database", True
        yield "path_style", "no_authority"
    for prefix in _prefixes(now.name, wanted["name"]):
        yield "platform_instance", prefix
        yield "database", prefix
        yield "catalog_prefix", prefix
    if wanted["platform"] != now.platform:
        yield "platform", wanted["platform"]


def _prefixes(name: str, wanted: str) -> Iterable[str]:
    """What stands before the present name in the wanted one, as it is written there."""
    if len(wanted) > len(name) and wanted.lower().endswith(f".{name.lower()}"):
        yield wanted[: -len(name) - 1]


def _keys(rule: NamespaceRule) -> dict[str, Any]:
    """The keys of a rule that differ from the defaults."""
    blank = NamespaceRule(match=rule.match)
    names = [field.name for field in attrs.fields(NamespaceRule) if field.init]
    return {name: getattr(rule, name) for name in names if getattr(rule, name) != getattr(blank, name)}
