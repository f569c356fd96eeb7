"""Proposals to DataHub's server over RESTLI: batches, and an outcome for every one of them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import httpx2

from openlineage_bridge.comparing import Compared
from openlineage_bridge.errors import ConfigError
from openlineage_bridge.migrating import Predecessor
from openlineage_bridge.outgoing import Connection, base_url
from openlineage_bridge.translation import Known, Outcome, Proposal, Refused, Retry
from openlineage_bridge_datahub.options import DatasetOptions, options
from openlineage_bridge_datahub.proposals import (
    BATCH_BYTES,
    BATCH_COUNT,
    batches,
    restli_batch,
    restli_proposal,
    system_metadata,
)
from openlineage_bridge_datahub.sinks.address import address_of
from openlineage_bridge_datahub.sinks.catalog import DatasetCatalog
from openlineage_bridge_datahub.sinks.comparison import Comparison
from openlineage_bridge_datahub.sinks.held import FAMILIES, Held
from openlineage_bridge_datahub.sinks.posting import Poster
from openlineage_bridge_datahub.sinks.predecessors import Predecessors

ENDPOINT = "/aspects?action=ingestProposalBatch"
HEADERS = {"X-RestLi-Protocol-Version": "2.0.0", "Content-Type": "application/json"}

PIPELINE = "openlineage-bridge"

OPTIONS = ("batch_size", "pipeline_name", "gzip")
"""Keys of the section that are this sink's alone."""

_TOO_LARGE = "HTTP 413"


def _base_url(url: str) -> str:
    return base_url("datahub.server", url)


@attrs.define
class RestSink:
    """Delivers proposals to GMS.

    A transient failure keeps the whole batch for later; a permanent one is narrowed down by halves to its culprits,
    which are refused with the server's words. The rest is delivered: sending an UPSERT twice is harmless.

    Args:
        server: Base URL of GMS.
        token: Personal access token; None where DataHub asks for none.
        batch_size: Most proposals in one request.
        pipeline_name: Name under which DataHub lists what was written.
        datasets: Which aspects are sent only where DataHub has none of its own (``missing``), or are added to what is
            there (``add``).
        gzip: Whether to pack requests, where the server unpacks them.
        connection: Time limit, headers and certificates.
    """

    server: str = attrs.field(converter=_base_url)
    token: str | None = attrs.field(default=None, repr=False)
    batch_size: int = attrs.field(default=BATCH_COUNT, validator=[attrs.validators.ge(1)])
    pipeline_name: str = PIPELINE
    datasets: DatasetOptions = attrs.field(factory=DatasetOptions)
    gzip: bool = attrs.field(default=True, validator=attrs.validators.instance_of(bool))
    connection: Connection = attrs.field(factory=Connection)
    _client: httpx2.Client = attrs.field(init=False, repr=False)
    _poster: Poster = attrs.field(init=False, repr=False)
    _held: Held = attrs.field(init=False, repr=False)
    _most_bytes: int = attrs.field(default=BATCH_BYTES, init=False)

    @_client.default
    def _connect(self) -> httpx2.Client:
        return self.connection.client(self.token, HEADERS)

    @_poster.default
    def _post(self) -> Poster:
        return Poster(self._client, self.server + ENDPOINT, self.gzip)

    @_held.default
    def _ask(self) -> Held:
        return Held(self._client, self.server, self.pipeline_name, self.datasets)

    @classmethod
    def from_options(cls, section: Mapping[str, Any]) -> RestSink:
        """The sink that the ``datahub`` section describes; address and token also as DataHub's own programs find them.

        Raises:
            ConfigError: There is no address, or a value is impossible.
        """
        (server, token), datasets = address_of(section, os.environ), options(section).datasets
        said = {key: section[key] for key in OPTIONS if section.get(key) is not None}
        try:
            connection = Connection.from_options(section)
            return cls(server, token=token, datasets=datasets, connection=connection, **said)
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
        """Deliver in order; after a transient failure the rest is not tried, so that nothing overtakes."""
        outcomes, wanted = self._held.left_alone(proposals)
        system = json.dumps(system_metadata(self.pipeline_name, time.time_ns() // 1_000_000)).encode()
        encoded = [
            restli_proposal(proposals[each], system, add=self._held.policy(proposals[each]) == "add")
            for each in wanted
        ]
        told = self._in_batches(encoded)
        outcomes.update(zip(wanted, told, strict=True))
        failed = (each for each in outcomes.values() if isinstance(each, Retry))
        waiting = next(failed, Retry("not tried yet"))
        return [outcomes.get(position, waiting) for position in range(len(proposals))]

    def look_up(self, urns: Sequence[str]) -> Iterator[Known]:
        """What DataHub knows of these datasets, in order (``sinks.catalog``).

        Raises:
            RetryLater: It does not answer.
        """
        return DatasetCatalog(self._client, self.server, self.pipeline_name).look_up(urns)

    def compare(self, proposals: Iterable[Proposal]) -> Iterator[Compared]:
        """What DataHub holds of these, in order (``sinks.comparison``).

        Raises:
            RetryLater: It does not answer.
        """
        return Comparison(self._client, self.server, self._held).compare(proposals)

    def predecessors(self, held: Iterable[Proposal]) -> Iterator[Predecessor]:
        """What orchestrators' own plugins left of the flows in ``held`` (``sinks.predecessors``).

        Raises:
            RetryLater: DataHub does not answer.
        """
        return Predecessors(self._client, self.server, self._held).of(held)

    def hidden(self) -> Iterator[Predecessor]:
        """What was hidden under this sink's name (``sinks.predecessors``).

        Raises:
            RetryLater: DataHub does not answer.
        """
        return Predecessors(self._client, self.server, self._held).hidden()

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()

    def _in_batches(self, encoded: Sequence[bytes]) -> list[Outcome]:
        """As few requests as the server takes; after a transient failure the rest is not tried."""
        told: list[Outcome] = []
        while len(told) < len(encoded):
            rest = encoded[len(told) :]
            first = next(batches(rest, self.batch_size, self._most_bytes))
            told += self._deliver(rest[: len(first)])
            if isinstance(told[-1], Retry):
                break
        return told + told[-1:] * (len(encoded) - len(told))

    def _deliver(self, encoded: Sequence[bytes]) -> list[Outcome]:
        """One request; where it is too large, several smaller ones, and where it is refused, one for each half."""
        body = restli_batch(encoded)
        outcome = self._poster.post(body)
        if not isinstance(outcome, Refused) or len(encoded) == 1:
            return [outcome] * len(encoded)
        if outcome.reason.startswith(_TOO_LARGE):
            self._most_bytes = len(body) // 2
            return self._in_batches(encoded)
        middle = len(encoded) // 2
        first = self._deliver(encoded[:middle])
        if isinstance(first[-1], Retry):
            return first + first[-1:] * (len(encoded) - middle)
        return first + self._deliver(encoded[middle:])
