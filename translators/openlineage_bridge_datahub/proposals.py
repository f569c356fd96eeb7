"""The wire form of proposals for DataHub's RESTLI interface."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from openlineage_bridge.translation import Proposal

BATCH_COUNT = 200
"""Most proposals in one request, as acryl-datahub's emitter has it."""

BATCH_BYTES = 15 * 1024 * 1024
"""Most bytes in one request (``INGEST_MAX_PAYLOAD_BYTES``); GMS refuses 16 000 000."""

_HEAD = b'{"proposals":['
_TAIL = b'],"async":"false"}'


def system_metadata(pipeline_name: str, observed_ms: int) -> dict[str, Any]:
    """Who wrote an aspect and when, so that ``datahub ingest rollback`` finds it."""
    return {"lastObserved": observed_ms, "runId": pipeline_name, "pipelineName": pipeline_name}


def restli_proposal(proposal: Proposal, system: bytes) -> bytes:
    """One proposal: the aspect is a JSON document inside a JSON string. ``system`` is its systemMetadata as JSON."""
    head = {
        "entityType": proposal.entity_type,
        "entityUrn": proposal.urn,
        "changeType": "UPSERT",
        "aspectName": proposal.aspect_name,
        "aspect": {"value": proposal.body.decode(), "contentType": "application/json"},
    }
    return json.dumps(head, ensure_ascii=False).encode()[:-1] + b',"systemMetadata":' + system + b"}"


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
