"""The events themselves to another OpenLineage endpoint: Marquez, another bridge, a vendor.

Durable as everything else: the inbox keeps an event until every such destination has it. An event that the receiver
refuses for good is set aside in quarantine; anything else is tried again for ever.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import attrs
import httpx2

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.outgoing import Connection, base_url, retry_after, secret
from openlineage_bridge.translation import Delivered, Outcome, Refused, Retry

ENDPOINT = "api/v1/lineage"
"""Where OpenLineage's HTTP transport posts events."""

_TRANSIENT = frozenset({408, 425, 429})

# The operator has to mend the address or the key; the events wait.
_OPERATOR = {
    401: "the receiver does not accept the key: set api_key",
    403: "the key may not send events there",
    404: "there is no OpenLineage receiver at this address: set url and endpoint",
    405: "there is no OpenLineage receiver at this address: set url and endpoint",
}

_SAID = 500  # characters of the receiver's answer that a reason quotes


@runtime_checkable
class EventSink(Protocol):
    """Where events are handed on as they are. ``forward`` blocks; it is called from one thread at a time."""

    @property
    def destination(self) -> str:
        """Which one it is, e.g. its address."""
        ...

    def forward(self, bodies: Sequence[bytes]) -> list[Outcome]:
        """Send in order; one outcome per event, and nothing behind the first that has to wait."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


def _base_url(url: str) -> str:
    return base_url("url", url)


def _path(path: str) -> str:
    return path.strip("/")


@attrs.define
class OpenLineageSink:
    """Sends events as OpenLineage's HTTP transport does, one per request, on a connection that stays open.

    Args:
        url: Base URL of the receiver.
        endpoint: Path below it.
        api_key: Sent as bearer token; None where none is asked for.
        compression: ``gzip``, or None.
        connection: Time limit, headers and certificates.
    """

    url: str = attrs.field(converter=_base_url)
    endpoint: str = attrs.field(default=ENDPOINT, converter=_path)
    api_key: str | None = attrs.field(default=None, repr=False)
    compression: str | None = attrs.field(default=None, validator=attrs.validators.in_((None, "gzip")))
    connection: Connection = attrs.field(factory=Connection)
    _client: httpx2.Client = attrs.field(init=False, repr=False)

    @_client.default
    def _connect(self) -> httpx2.Client:
        packed = {"Content-Encoding": "gzip"} if self.compression else {}
        return self.connection.client(self.api_key, {"Content-Type": "application/json", **packed})

    @classmethod
    def from_options(cls, section: Mapping[str, Any]) -> OpenLineageSink:
        """The sink that a section of ``destinations`` describes; keys as those of OpenLineage's HTTP transport.

        Raises:
            ConfigError: There is no address, or a value is impossible.
        """
        if not section.get("url"):
            raise ConfigError("url: set it to the address of the OpenLineage receiver")
        said = {key: section[key] for key in ("endpoint", "compression") if section.get(key)}
        try:
            return cls(
                section["url"],
                api_key=secret(section.get("api_key")),
                connection=Connection.from_options(section),
                **said,
            )
        except (TypeError, ValueError) as error:
            raise ConfigError(str(error.args[0])) from error

    @property
    def destination(self) -> str:
        """Where events are posted."""
        return f"{self.url}/{self.endpoint}"

    def forward(self, bodies: Sequence[bytes]) -> list[Outcome]:
        """Post in order; behind the first that has to wait nothing is tried."""
        outcomes: list[Outcome] = []
        for body in bodies:
            outcomes.append(self._post(body))
            if isinstance(outcomes[-1], Retry):
                break
        return outcomes + outcomes[-1:] * (len(bodies) - len(outcomes))

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()

    def _post(self, body: bytes) -> Outcome:
        content = gzip.compress(body, 1) if self.compression else body
        try:
            answer = self._client.post(self.destination, content=content)
        except httpx2.HTTPError as error:
            return Retry(f"{self.url}: {str(error) or type(error).__name__}")
        asked = retry_after(answer.headers.get("Retry-After"), time.time())
        return outcome_of(answer.status_code, answer.text, asked)


def outcome_of(status: int, said: str, after: float = 0.0) -> Outcome:
    """What an answer means for the event that it answers; pure. ``after``: seconds it asked to be left alone."""
    if 200 <= status < 300:
        return Delivered()
    if status in _OPERATOR:
        return Retry(f"{_OPERATOR[status]} (HTTP {status})", after)
    reason = f"HTTP {status}: {' '.join(said.split())[:_SAID]}"
    if status in _TRANSIENT or status < 400 or status >= 500:
        return Retry(reason, after)
    return Refused(reason)
