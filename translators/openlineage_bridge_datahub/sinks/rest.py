"""Proposals to DataHub's server over RESTLI: batches, and an outcome for every one of them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import httpx2

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.translation import Delivered, Known, Outcome, Proposal, Refused, Retry
from openlineage_bridge_datahub.options import DatasetOptions, options
from openlineage_bridge_datahub.proposals import (
    BATCH_COUNT,
    batches,
    restli_batch,
    restli_proposal,
    system_metadata,
)
from openlineage_bridge_datahub.sinks.catalog import DatasetCatalog
from openlineage_bridge_datahub.sinks.held import FAMILIES, CannotAsk, Held

SERVER_VARIABLE = "DATAHUB_GMS_URL"
TOKEN_VARIABLE = "DATAHUB_GMS_TOKEN"  # noqa: S105  - the name of a variable

ENDPOINT = "/aspects?action=ingestProposalBatch"
HEADERS = {"X-RestLi-Protocol-Version": "2.0.0", "Content-Type": "application/json"}

PIPELINE = "openlineage-bridge"

# Away or busy: nothing is wrong with the proposals.
_TRANSIENT = frozenset({408, 425, 429})

# The operator has to mend the server's address or the token; the proposals wait.
_OPERATOR = {
    401: "DataHub does not accept the token: set datahub.token or DATAHUB_GMS_TOKEN",
    403: "the token may not write metadata in DataHub: give its owner the privilege to edit entities",
    404: "there is no GMS at this address: set datahub.server to GMS itself (port 8080), or to the frontend's /api/gms",
    405: "there is no GMS at this address: set datahub.server to GMS itself (port 8080), or to the frontend's /api/gms",
}

# GMS answers some invalid proposals with 500; what it says tells them from its own troubles.
_VALIDATION = (
    "ValidationException",
    "UnsupportedOperationException",
    "URISyntaxException",
    "Failed to validate",
    "Unknown aspect",
    "Unknown entity",
    "Unrecognized field",
    "unrecognized field",
    "not allowed for entity",
    "Invalid urn",
    "Invalid URN",
)

_SAID = 500  # characters of the server's answer that a reason quotes


def _base_url(url: str) -> str:
    return str(url).rstrip("/")


@attrs.define
class RestSink:
    """Delivers proposals to GMS.

    A transient failure keeps the whole batch for later; a permanent one is narrowed down by halves to its culprits,
    which are refused with the server's words. The rest is delivered: sending an UPSERT twice is harmless.

    Args:
        server: Base URL of GMS.
        token: Personal access token; None where DataHub asks for none.
        timeout: Seconds for one request.
        batch_size: Most proposals in one request.
        pipeline_name: Name under which DataHub lists what was written.
        datasets: Which aspects are sent only where DataHub has none of its own (``missing``), or are added to what is
            there (``add``).
    """

    server: str = attrs.field(converter=_base_url)
    token: str | None = attrs.field(default=None, repr=False)
    timeout: float = attrs.field(default=30.0, converter=float, validator=attrs.validators.gt(0))
    batch_size: int = attrs.field(default=BATCH_COUNT, validator=[attrs.validators.ge(1)])
    pipeline_name: str = PIPELINE
    datasets: DatasetOptions = attrs.field(factory=DatasetOptions)
    _client: httpx2.Client = attrs.field(init=False, repr=False)
    _held: Held = attrs.field(init=False, repr=False)

    @_client.default
    def _connect(self) -> httpx2.Client:
        headers = {**HEADERS, **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        return httpx2.Client(headers=headers, timeout=self.timeout)

    @_held.default
    def _ask(self) -> Held:
        return Held(self._client, self.server, self.pipeline_name, self.datasets)

    @server.validator
    def _check_server(self, _: Any, value: str) -> None:
        if not value.startswith(("http://", "https://")):
            raise ConfigError(f"datahub.server: {value!r} is no http or https address")

    @classmethod
    def from_options(cls, section: Mapping[str, Any]) -> RestSink:
        """The sink that the ``datahub`` section describes; address and token also from ``DATAHUB_GMS_*``.

        Raises:
            ConfigError: There is no address, or a value is impossible.
        """
        server = section.get("server") or os.environ.get(SERVER_VARIABLE)
        if not server:
            raise ConfigError(
                f"datahub.server: set it, or {SERVER_VARIABLE}, to the address of DataHub's GMS"
            )
        token = section.get("token") or os.environ.get(TOKEN_VARIABLE)
        optional = {
            key: section[key] for key in ("timeout", "batch_size", "pipeline_name") if section.get(key)
        }
        try:
            secret = str(getattr(token, "value", token)) if token else None
            return cls(server, token=secret, datasets=options(section).datasets, **optional)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"datahub: {error}") from error

    @property
    def destination(self) -> str:
        """GMS's address, and how polite we are to it: who changes that wants everything to be looked at again."""
        default, said = DatasetOptions(), self.datasets
        changed = [
            f"{family}={getattr(said, family)}"
            for family in sorted({*FAMILIES.values()})
            if getattr(said, family) != getattr(default, family)
        ]
        return f"{self.server} ({', '.join(changed)})" if changed else self.server

    def send(self, proposals: Sequence[Proposal]) -> list[Outcome]:
        """Deliver in order; after a transient failure the rest is not tried, so that nothing overtakes.

        What somebody else wrote, and what only is to fill a gap, is left as it is there: that counts as delivered.
        """
        outcomes, wanted = self._left_alone(proposals)
        system = json.dumps(system_metadata(self.pipeline_name, time.time_ns() // 1_000_000)).encode()
        encoded = [
            restli_proposal(proposals[each], system, add=self._held.policy(proposals[each]) == "add")
            for each in wanted
        ]
        for positions in batches(encoded, self.batch_size):
            told = self._deliver([encoded[position] for position in positions])
            outcomes.update(zip((wanted[position] for position in positions), told, strict=True))
            if isinstance(told[-1], Retry):
                break
        failed = (each for each in outcomes.values() if isinstance(each, Retry))
        waiting = next(failed, Retry("not tried yet"))
        return [outcomes.get(position, waiting) for position in range(len(proposals))]

    def _left_alone(self, proposals: Sequence[Proposal]) -> tuple[dict[int, Outcome], list[int]]:
        """What became of proposals that are not sent, and which are; those behind a question without answer wait."""
        outcomes: dict[int, Outcome] = {}
        wanted: list[int] = []
        for position in range(len(proposals)):
            try:
                if self._held.by_others(proposals, position):
                    outcomes[position] = Delivered()
                else:
                    wanted.append(position)
            except CannotAsk as unanswered:
                outcomes[position] = unanswered.outcome
                if isinstance(unanswered.outcome, Retry):
                    break
        return outcomes, wanted

    def look_up(self, urns: Sequence[str]) -> Iterator[Known]:
        """What DataHub knows of these datasets, in order (``sinks.catalog``).

        Raises:
            RetryLater: It does not answer.
        """
        return DatasetCatalog(self._client, self.server, self.pipeline_name).look_up(urns)

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()

    def _deliver(self, encoded: Sequence[bytes]) -> list[Outcome]:
        """One request; where it is refused, one for each half."""
        outcome = self._post(restli_batch(encoded))
        if not isinstance(outcome, Refused) or len(encoded) == 1:
            return [outcome] * len(encoded)
        middle = len(encoded) // 2
        first = self._deliver(encoded[:middle])
        if isinstance(first[-1], Retry):
            return first + first[-1:] * (len(encoded) - middle)
        return first + self._deliver(encoded[middle:])

    def _post(self, body: bytes) -> Outcome:
        try:
            response = self._client.post(self.server + ENDPOINT, content=body)
        except httpx2.HTTPError as error:
            return Retry(f"{self.server}: {str(error) or type(error).__name__}")
        return outcome_of(response.status_code, response.text)


def outcome_of(status: int, said: str) -> Outcome:
    """What an answer of GMS means for the batch that it answers; pure."""
    if 200 <= status < 300:
        return Delivered()
    if status in _OPERATOR:
        return Retry(f"{_OPERATOR[status]} (HTTP {status})")
    reason = f"HTTP {status}: {_words(said)}"
    if status in _TRANSIENT or status < 400:
        return Retry(reason)
    if status >= 500 and not any(word in said for word in _VALIDATION):
        return Retry(reason)
    return Refused(reason)


def _words(said: str) -> str:
    """The server's own message, without the stack trace that follows it."""
    try:
        answer = json.loads(said)
    except ValueError:
        answer = None
    message = answer.get("message") if isinstance(answer, dict) else None
    return " ".join(str(message or said).split())[:_SAID]
