"""What is known about assets beside the log: their definitions, and what they last said about themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs
from dagster import AssetKey
from openlineage.client.facet_v2 import (
    dataset_version_dataset,
    documentation_dataset,
    ownership_dataset,
    symlinks_dataset,
    tags_dataset,
)

from openlineage_bridge_dagster import facets
from openlineage_bridge_dagster.naming import (
    ASSET_NAMESPACE,
    ASSET_SYMLINK_TYPE,
    AssetNaming,
    Metadata,
    asset_dataset,
)
from openlineage_bridge_dagster.own_facets import DagsterAssetFacet
from openlineage_bridge_dagster.sources import Sources, Stated, stated_in

if TYPE_CHECKING:
    from openlineage_bridge_capture import Dataset

log = logging.getLogger(__name__)

KIND_PREFIX = "dagster/kind/"
DEFAULT_GROUP = "default"
DATA_VERSION_TAGS = ("dagster/data_version", "dagster/logical_version")


@attrs.frozen
class AssetDefinition:
    """An asset as its code defines it.

    Args:
        metadata: Definition metadata, plain values.
        parents: Upstream assets.
        description: What it is.
        group: Its group, None for Dagster's default one.
        owners: As Dagster writes them.
        tags: Tags without the kinds.
        kinds: ``duckdb``, ``python``, …
        code_version: Version of its code, where the code states one.
    """

    metadata: Metadata = attrs.field(factory=dict)
    parents: tuple[AssetKey, ...] = ()
    description: str | None = None
    group: str | None = None
    owners: tuple[str, ...] = ()
    tags: Mapping[str, str] = attrs.field(factory=dict)
    kinds: tuple[str, ...] = ()
    code_version: str | None = None


Definitions = Callable[[AssetKey], AssetDefinition | None]
LastMaterialization = Callable[[AssetKey, float], Metadata | None]
"""Metadata of an asset's newest materialization before a moment, in seconds since the epoch."""


def nothing_defined(_key: AssetKey) -> AssetDefinition | None:
    """The definitions of a sensor that does not share the code location: none."""
    return None


def never_materialized(_key: AssetKey, _before: float) -> Metadata | None:
    """The history of an instance that is not there: none."""
    return None


@attrs.define
class RunAssets:
    """The assets of one run under their dataset names; a name, once said in a run, stays.

    Args:
        naming: The rules.
        definitions: Definition by asset key.
        last_materialization: What an asset last said of itself.
        sources: What counts as lineage.
        ui: Address of Dagster's web UI.
        moment: Time of the record that is being folded, seconds since the epoch: what was said later does not count,
            so that history gives the names that it gave when it happened.
    """

    naming: AssetNaming = attrs.field(factory=AssetNaming)
    definitions: Definitions = nothing_defined
    last_materialization: LastMaterialization = never_materialized
    sources: Sources = attrs.field(factory=Sources)
    ui: str | None = None
    moment: float = 0.0
    _names: dict[AssetKey, Dataset] = attrs.field(factory=dict)
    _said: dict[AssetKey, Metadata] = attrs.field(factory=dict)

    def name(self, key: AssetKey) -> Dataset:
        """The dataset of an asset that the run reads or will write."""
        if key not in self._names:
            definition = self.definition(key).metadata
            self._names[key] = self.naming.physical(key.path, definition) or self.naming.dataset(
                key.path, {}, self.last_said(key)
            )
        return self._names[key]

    def beside(self, key: AssetKey) -> Dataset | None:
        """The asset as a dataset of its own beside its table, where that is wanted."""
        own = asset_dataset(key.path)
        return own if self.sources.asset_datasets and self.name(key) != own else None

    def stated(self, key: AssetKey) -> Stated:
        """What the definition's metadata names as read and written."""
        return stated_in(self.definition(key).metadata)

    def materialized(self, key: AssetKey, metadata: Metadata) -> None:
        """Take note of a materialization in this run: its address is the asset's last one from here on."""
        if key in self._names and self._names[key] != asset_dataset(key.path):
            return
        self._names[key] = self.naming.dataset(key.path, self.definition(key).metadata, metadata)

    def can_be_named(self, key: AssetKey) -> bool:
        """Whether the name of an asset that is still to be written is certain.

        It is not when only the asset key names it and it never was materialized: the first materialization may say
        where it lies, and the run would then seem to have written two datasets.
        """
        if self.last_materialization is never_materialized or key in self._names:
            return True
        return self.has_address(key)

    def has_address(self, key: AssetKey) -> bool:
        """Whether its definition, or what it last said of itself, names it."""
        static = self.naming.physical(key.path, self.definition(key).metadata)
        return static is not None or self.last_said(key) is not None

    def last_said(self, key: AssetKey) -> Metadata | None:
        """Metadata of its newest materialization before the moment; None when there is none."""
        if key not in self._said and (found := self.last_materialization(key, self.moment)) is not None:
            self._said[key] = found
        return self._said.get(key)

    def definition(self, key: AssetKey) -> AssetDefinition:
        """The asset's definition, an empty one when it is not known."""
        return self.definitions(key) or AssetDefinition()

    def parents(self, key: AssetKey) -> tuple[AssetKey, ...]:
        """Upstream assets by definition."""
        return self.definition(key).parents

    def facets(
        self, key: AssetKey, metadata: Metadata, tags: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Dataset facets of an asset that was written, observed or reported."""
        definition = self.definition(key)
        found: dict[str, Any] = {**self.symlinks(key), "dagster_asset": self._about(key, definition)}
        found.update(facets.schema(metadata) or facets.schema(definition.metadata))
        if description := definition.description:
            found["documentation"] = documentation_dataset.DocumentationDatasetFacet(description=description)
        if definition.owners:
            found["ownership"] = ownership_dataset.OwnershipDatasetFacet(
                owners=[ownership_dataset.Owner(name=facets.owner_name(owner)) for owner in definition.owners]
            )
        found.update(_tags(definition, facets.columns(metadata) or facets.columns(definition.metadata)))
        found.update(
            data_version(next((tags[tag] for tag in DATA_VERSION_TAGS if tags and tags.get(tag)), None))
        )
        return found

    def _about(self, key: AssetKey, definition: AssetDefinition) -> DagsterAssetFacet:
        path = "/".join(quote(part, safe="") for part in key.path)
        return DagsterAssetFacet(
            assetKey=list(key.path),
            group=definition.group,
            kinds=list(definition.kinds) or None,
            codeVersion=definition.code_version,
            assetUrl=f"{self.ui.rstrip('/')}/assets/{path}" if self.ui else None,
        )

    def symlinks(self, key: AssetKey) -> dict[str, Any]:
        """``symlinks`` to the asset key, unless the dataset is named by it already."""
        if self.name(key) == asset_dataset(key.path):
            return {}
        identifier = symlinks_dataset.Identifier(
            namespace=ASSET_NAMESPACE, name="/".join(key.path), type=ASSET_SYMLINK_TYPE
        )
        return {"symlinks": symlinks_dataset.SymlinksDatasetFacet(identifiers=[identifier])}


def _tags(definition: AssetDefinition, columns: Sequence[Any]) -> dict[str, Any]:
    pairs = [
        *definition.tags.items(),
        *(("kind", kind) for kind in definition.kinds),
        *([("group", definition.group)] if definition.group else []),
    ]
    fields = [
        tags_dataset.TagsDatasetFacetFields(key=key, value=value, source="DAGSTER") for key, value in pairs
    ]
    fields += [
        tags_dataset.TagsDatasetFacetFields(key=key, value=value, source="DAGSTER", field=column.name)
        for column in columns
        for key, value in sorted((column.tags or {}).items())
    ]
    return {"tags": tags_dataset.TagsDatasetFacet(tags=fields)} if fields else {}


def data_version(version: str | None) -> dict[str, Any]:
    """``version`` of a dataset; none where no version is known."""
    if not version:
        return {}
    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=version)}


def plain(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Metadata with Dagster's MetadataValue wrappers taken off."""
    return {key: getattr(value, "value", value) for key, value in (metadata or {}).items()}


def definitions_of(repository: Any) -> Definitions:
    """The definitions that a sensor shares its code location with, from ``context.repository_def``."""
    graph = getattr(repository, "asset_graph", None)
    return nothing_defined if graph is None else definitions_in(graph)


def definitions_in(graph: Any) -> Definitions:
    """The definitions of an asset graph, be it the code's own or a copy that a code server handed out."""
    known: dict[AssetKey, AssetDefinition | None] = {}

    def look_up(key: AssetKey) -> AssetDefinition | None:
        if key not in known:
            known[key] = _definition(graph, key)
        return known[key]

    return look_up


def _definition(graph: Any, key: AssetKey) -> AssetDefinition | None:
    try:
        node = graph.get(key) if graph.has(key) else None
        return _from_node(node) if node is not None else None
    except Exception:  # definitions enrich; a Dagster that changed must not stop the lineage
        log.warning("The definition of asset %s cannot be read", key.to_user_string(), exc_info=True)
        return None


def _from_node(node: Any) -> AssetDefinition:
    return AssetDefinition(
        metadata=plain(node.metadata),
        parents=tuple(sorted(node.parent_keys)),
        description=node.description,
        group=node.group_name if node.group_name != DEFAULT_GROUP else None,
        owners=tuple(str(owner) for owner in node.owners),
        tags={k: v for k, v in sorted(node.tags.items()) if not k.startswith(KIND_PREFIX)},
        # Tags, on every kind of node; only the code's own has a property for them.
        kinds=tuple(sorted(k.removeprefix(KIND_PREFIX) for k in node.tags if k.startswith(KIND_PREFIX))),
        code_version=getattr(node, "code_version", None),
    )
