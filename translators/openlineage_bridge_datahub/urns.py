"""The DataHub URN of an OpenLineage dataset, equal to the one that the platform's own connector writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from openlineage_bridge.events import Facets
from openlineage_bridge.translation import Resolution
from openlineage_bridge_datahub import names
from openlineage_bridge_datahub.encoding import MAX_ENCODED, dataset_urn, encode, encoded_length, is_too_long
from openlineage_bridge_datahub.facets import objects
from openlineage_bridge_datahub.locations import Location, locate
from openlineage_bridge_datahub.platforms import (
    CATALOG_FRAMEWORKS,
    CATALOGS,
    EPHEMERAL,
    PLATFORMS,
    UNKNOWN,
    Platform,
)
from openlineage_bridge_datahub.rules import NO_RULE, NamespaceRule, fabric, first_match, namespace_rules

_CACHE_SIZE = 50_000

STATED = "datahub"
"""Namespace of datasets that a producer names by their DataHub URN, which is taken as it is."""

_STATED_URN = re.compile(
    r"urn:li:dataset:\(urn:li:dataPlatform:(?P<platform>[^,()]+),(?P<name>[^,()]+),(?P<env>[^,()]+)\)"
)


@attrs.frozen
class NamedDataset:
    """A dataset's URN, and what its aspects need to know about it.

    Args:
        resolution: The URN and how it came about.
        name: Second part of the URN, encoded.
        env: Third part of the URN.
        instance: The platform instance that stands in the name.
        fold_column: What the connector does with the case of a column.
        urn: That of the resolution; None where no acceptable one exists.
    """

    resolution: Resolution
    name: str = ""
    env: str = ""
    instance: str | None = None
    fold_column: names.Fold = names.keep
    urn: str | None = attrs.field(init=False)

    @urn.default
    def _resolved(self) -> str | None:
        return self.resolution.urn

    @property
    def platform(self) -> str:
        """DataHub's platform id."""
        return self.resolution.platform


@attrs.define
class DatasetNaming:
    """Names datasets by the platforms' rules and the user's.

    Args:
        rules: Namespace rules, as mappings or ``NamespaceRule``; the first that matches holds.
        env: Environment of the URNs where no rule says another.
    """

    rules: tuple[NamespaceRule, ...] = attrs.field(default=(), converter=namespace_rules)
    env: str = attrs.field(default="PROD", converter=fabric)
    _known: dict[tuple[str, str, bytes, bytes], NamedDataset] = attrs.field(
        factory=dict, init=False, repr=False
    )

    def resolve(self, namespace: str, name: str, facets: Mapping[str, Any] | None = None) -> Resolution:
        """The URN of a dataset and how it came about; of ``facets`` only ``symlinks`` and ``catalog`` count."""
        return self.named(namespace, name, facets).resolution

    def named(self, namespace: str, name: str, facets: Mapping[str, Any] | None = None) -> NamedDataset:
        """As ``resolve``, with what the dataset's aspects need; remembered per name and those facets."""
        key = (namespace, name, _bytes(facets, "symlinks"), _bytes(facets, "catalog"))
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _CACHE_SIZE:
                self._known.clear()
            symlinks = _tables(facets) if facets and key[2] else ()
            framework = _framework(facets) if facets and key[3] else None
            found = self._known[key] = self._name(namespace, name, symlinks, framework)
        return found

    def _name(
        self, namespace: str, name: str, symlinks: Iterable[tuple[str, str]], framework: str | None
    ) -> NamedDataset:
        if namespace == STATED and (stated := _STATED_URN.fullmatch(name)):
            return _stated(name, stated)
        own = first_match(self.rules, namespace) or NO_RULE
        location = locate(namespace, name, own)
        platform = PLATFORMS.get(location.platform, UNKNOWN)
        steps = [_where(namespace, location)]
        if own is not NO_RULE:
            steps.append(f"The rule for {own.match!r} holds there.")
        if (platform.is_path or own.symlink_platform) and (
            table := self._catalogued(symlinks, own, framework)
        ):
            location, platform = table, PLATFORMS.get(table.platform, UNKNOWN)
            steps.append(f"Its TABLE symlink names it in {location.platform}, which wins over the path.")
        return _finished(location, platform, self.env, steps)

    def _catalogued(
        self, symlinks: Iterable[tuple[str, str]], own: NamespaceRule, framework: str | None
    ) -> Location | None:
        """The symlink that is the dataset's name in a catalog; a symlink to another path is none."""
        locations = [self._symlink(namespace, name, own, framework) for namespace, name in symlinks]
        return min(filter(None, locations), key=_preference, default=None)

    def _symlink(
        self, namespace: str, name: str, own: NamespaceRule, framework: str | None
    ) -> Location | None:
        """Where a symlink points; a rule, else the ``catalog`` facet, speaks where its namespace names no catalog."""
        rule = first_match(self.rules, namespace)
        location = locate(namespace, name, rule or NO_RULE)
        if location.platform in PLATFORMS and not PLATFORMS[location.platform].is_path:
            # Where the data is says in which environment the table is, too.
            return location if rule else attrs.evolve(location, rule=attrs.evolve(NO_RULE, env=own.env))
        stated = (rule or own).symlink_platform or own.symlink_platform
        platform = stated or CATALOG_FRAMEWORKS.get(framework or "")
        if platform is None:
            return None
        return attrs.evolve(location, platform=platform, rule=rule or (own if stated else NO_RULE))


def _preference(location: Location) -> tuple[int, str, str]:
    rank = CATALOGS.index(location.platform) if location.platform in CATALOGS else len(CATALOGS)
    return rank, location.authority, location.name


# --- facets ---------------------------------------------------------------------------------------------------------


def _bytes(facets: Mapping[str, Any] | None, name: str) -> bytes:
    """A facet as bytes, to tell whether it is the same; empty where there is none."""
    if isinstance(facets, Facets):
        return facets.raw.get(name, b"")
    if not facets:
        return b""
    return json.dumps(facets[name], sort_keys=True).encode() if name in facets else b""


def _tables(facets: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Namespace and name of the TABLE symlinks; SymlinksDatasetFacet 1-0-1."""
    facet = facets["symlinks"]
    listed = objects(facet.get("identifiers") if isinstance(facet, dict) else None)
    pairs = [(each.get("namespace"), each.get("name")) for each in listed if each.get("type") == "TABLE"]
    return [
        (namespace, name) for namespace, name in pairs if isinstance(namespace, str) and isinstance(name, str)
    ]


def _framework(facets: Mapping[str, Any]) -> str | None:
    """The table format of the ``catalog`` facet (CatalogDatasetFacet 1-1-0)."""
    facet = facets["catalog"]
    framework = facet.get("framework") if isinstance(facet, dict) else None
    return framework.lower() if isinstance(framework, str) else None


# --- a URN that is given ---------------------------------------------------------------------------------------------


def _stated(urn: str, parts: re.Match[str]) -> NamedDataset:
    """A URN that the producer knows: somebody who moved over from a plugin of DataHub's wrote it down."""
    label = "the URN that the producer gives"
    steps = ["The producer names the dataset by its DataHub URN, which is taken as it is."]
    if is_too_long(urn):
        steps.append(_too_long(urn))
        return NamedDataset(Resolution(None, parts["platform"], label, tuple(steps)))
    resolution = Resolution(urn, parts["platform"], label, tuple(steps))
    return NamedDataset(resolution, parts["name"], parts["env"])


def _too_long(urn: str) -> str:
    return (
        f"The URN is {encoded_length(urn)} bytes long when URL-encoded; GMS refuses more than {MAX_ENCODED}."
    )


# --- from the location to the URN -----------------------------------------------------------------------------------


def _finished(location: Location, platform: Platform, env: str, steps: list[str]) -> NamedDataset:
    rule = location.rule
    label = _label(location.platform, platform)
    is_root = platform.is_path and bool(location.authority)
    nameless = not location.name.strip() and not is_root
    if location.platform in EPHEMERAL or not location.platform or nameless:
        steps.append("The dataset lives in memory only, or has no name: DataHub has none for it.")
        return NamedDataset(Resolution(None, location.platform, label, tuple(steps)))
    steps.append(_followed(platform))
    name = platform.naming(location, platform, steps)
    if name is None or not name.strip("./"):
        return NamedDataset(Resolution(None, location.platform, label, tuple(steps)))
    name = encode(_decorated(name, rule, platform, steps))
    urn = dataset_urn(location.platform, name, rule.env or env)
    if is_too_long(urn):
        steps.append(_too_long(urn))
        return NamedDataset(Resolution(None, location.platform, label, tuple(steps)))
    steps.append(f"The environment is {rule.env or env}.")
    return NamedDataset(
        Resolution(urn, location.platform, label, tuple(steps)),
        name,
        rule.env or env,
        rule.platform_instance if platform.has_instance else None,
        names.keep if rule.lowercase is False else platform.fold_columns,
    )


def _decorated(name: str, rule: NamespaceRule, platform: Platform, steps: list[str]) -> str:
    """The name in the case that the connector writes, with its prefixes."""
    folds_case = not (rule.lowercase is False and platform.fold is names.lower)
    cased = names.folded(name, platform.fold) if folds_case else name
    cased = names.prefixed(rule.catalog_prefix, cased, platform.parts)
    if rule.lowercase:
        cased = cased.lower()
    if cased != name:
        steps.append(f"Case and catalog prefix as the connector writes them: {cased!r}.")
    if rule.platform_instance and platform.has_instance:
        cased = f"{rule.platform_instance}.{cased}"
        steps.append(f"The platform instance {rule.platform_instance!r} is prefixed.")
    elif rule.platform_instance or rule.platform_instance_ignored:
        steps.append("The platform's connector never writes its instance into the URN.")
    return cased.lower() if rule.lowercase_instance else cased


def _where(namespace: str, location: Location) -> str:
    return f"Namespace {namespace!r} is on DataHub's platform {location.platform!r}."


def _followed(platform: Platform) -> str:
    if not platform.follows:
        return "DataHub has no connector for the platform: the name is the producer's."
    return f"The name follows datahub/ingestion/source/{platform.follows}."


def _label(platform_id: str, platform: Platform) -> str:
    return f"{platform_id} ({platform.follows})" if platform.follows else f"{platform_id} (name as sent)"
