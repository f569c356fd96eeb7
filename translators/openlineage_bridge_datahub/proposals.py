"""The wire form of proposals for DataHub's RESTLI interface."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from openlineage_bridge.translation import Proposal

BATCH_COUNT = 200
"""Most proposals in one request, as acryl-datahub's emitter has it."""

BATCH_BYTES = 15 * 1024 * 1024
"""Most bytes in one request (``INGEST_MAX_PAYLOAD_BYTES``); GMS refuses 16 000 000."""

_encoder = msgspec.json.Encoder()

_HEAD = b'{"proposals":['
_TAIL = b'],"async":"false"}'


def system_metadata(pipeline_name: str, observed_ms: int) -> dict[str, Any]:
    """Who wrote an aspect and when, so that ``datahub ingest rollback`` finds it."""
    return {"lastObserved": observed_ms, "runId": pipeline_name, "pipelineName": pipeline_name}


# How GMS tells the elements of a list apart when it patches one, as acryl-datahub's patch builders say it: the list, the
# parts of an element's key, and those that only the server or a form of attribution fills.
_LISTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "globalTags": ("tags", ("attribution␟source", "tag")),
    "glossaryTerms": ("terms", ("urn", "attribution␟source")),
    "ownership": ("owners", ("owner", "type", "typeUrn", "attribution␟source")),
}

# Aspects of lineage: their lists of edges, and what each edge leads to.
_EDGES: dict[str, dict[str, str]] = {
    "upstreamLineage": {"upstreams": "dataset"},
    "dataJobInputOutput": dict.fromkeys(
        ("inputDatasetEdges", "outputDatasetEdges", "inputDatajobEdges"), "destinationUrn"
    ),
}


def additions(proposal: Proposal) -> dict[str, Any] | list[dict[str, Any]]:
    """The aspect as a JSON patch that adds its elements to those that are there, and removes none.

    The same as the patch builders of acryl-datahub 1.7 (``datahub/specific``) write.
    """
    value = json.loads(proposal.body)
    if proposal.aspect_name in _EDGES:
        return [_added(*each) for each in _edge_steps(proposal.aspect_name, value)]
    listed, parts = _LISTS[proposal.aspect_name]
    patch = [_added((listed, *(each.get(part, "") for part in parts)), each) for each in value[listed]]
    return {"arrayPrimaryKeys": {listed: list(parts)}, "patch": patch}


def _edge_steps(aspect: str, value: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Way and value of each edge; that of a pair of columns holds nothing but how sure it is."""
    for listed, key in _EDGES[aspect].items():
        for each in value.get(listed, ()):
            yield (listed, each[key]), each
    for each in value.get("fineGrainedLineages", ()):
        sure = {"confidenceScore": each.get("confidenceScore", 1.0)}
        how, query = each.get("transformOperation", "NONE"), each.get("query", "NONE")
        for upstream in each["upstreams"]:
            yield ("fineGrainedLineages", how, each["downstreams"][0], query, upstream), sure


def _added(way: Iterable[str], value: Mapping[str, Any]) -> dict[str, Any]:
    """One operation of a JSON patch (RFC 6902), at a JSON pointer (RFC 6901)."""
    steps = (each.replace("~", "~0").replace("/", "~1") for each in way)
    return {"op": "add", "path": "/" + "/".join(steps), "value": value}


@attrs.frozen
class Change:
    """What a proposal asks for, as every interface of DataHub says it.

    Args:
        kind: ``UPSERT``, or ``PATCH`` where something is added to what is there.
        content_type: Of ``value``.
        value: JSON: the aspect, or the patch.
    """

    kind: str
    content_type: str
    value: bytes


def change(proposal: Proposal, *, add: bool = False) -> Change:
    """Take the place of what is there, or with ``add``, where the aspect is a list of some kind, be added to it."""
    if add and (proposal.aspect_name in _LISTS or proposal.aspect_name in _EDGES):
        return Change("PATCH", "application/json-patch+json", _encoder.encode(additions(proposal)))
    return Change("UPSERT", "application/json", proposal.body)


def restli_proposal(proposal: Proposal, system: bytes, *, add: bool = False) -> bytes:
    """One proposal: the aspect is a JSON document inside a JSON string.

    Args:
        proposal: What is proposed.
        system: Its systemMetadata as JSON.
        add: Whether a list is added to what is there (PATCH) instead of taking its place.
    """
    changed = change(proposal, add=add)
    head = {
        "entityType": proposal.entity_type,
        "entityUrn": proposal.urn,
        "changeType": changed.kind,
        "aspectName": proposal.aspect_name,
        "aspect": {"value": changed.value.decode(), "contentType": changed.content_type},
    }
    return _encoder.encode(head)[:-1] + b',"systemMetadata":' + system + b"}"


def restli_batch(proposals: Iterable[bytes]) -> bytes:
    """The body of ``POST /aspects?action=ingestProposalBatch``; ``async`` is a text."""
    return _HEAD + b",".join(proposals) + _TAIL


def batches(encoded: Sequence[bytes], count: int = BATCH_COUNT, size: int = BATCH_BYTES) -> Iterator[range]:
    """Positions that go into one request each, in order; a proposal that is too big goes alone."""
    start, total = 0, 0
    for position, each in enumerate(encoded):
        if position > start and (position - start >= count or total + len(each) + 1 > size):
            yield range(start, position)
            start, total = position, 0
        total += len(each) + 1
    if encoded:
        yield range(start, len(encoded))
