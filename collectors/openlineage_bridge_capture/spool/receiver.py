"""The HTTP side of the spool: batches where the receiver speaks them, single events elsewhere, and what answers mean.

Batches are ``POST {endpoint}/batch`` of the OpenLineage HTTP API 2.0.2 (``postEventBatch``), with gzip. Addresses,
credentials, certificates and proxies are those of the client's own ``http`` transport, whose session is used.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any
from urllib.parse import urljoin

import attrs
from openlineage.client.transport.http import HttpConfig, HttpTransport

BATCH_EVENTS = 500
BATCH_BYTES = 1 << 20
"""What one request holds at most, about. A request takes some milliseconds of the user's process beside its events."""

BATCHES_AGAIN = 600.0
"""Seconds after which a receiver that did not know batches is asked again: it may have been replaced."""

GZIP_LEVEL = 3
"""What the client uses: higher levels are twice as slow."""


@attrs.frozen
class Answer:
    """What became of the events of one request.

    Args:
        settled: How many, from the first, need no sending any more.
        refused: Which of these will never be taken, and why.
        failure: Why the rest must wait; None when the rest, if any, can be sent again at once, another way.
    """

    settled: int
    refused: tuple[tuple[int, str], ...] = ()
    failure: str | None = None


class Meaning(Enum):
    """What a status says about the request that it answers."""

    TAKEN = auto()
    REFUSED = auto()
    LATER = auto()
    SINGLY = auto()
    NO_BATCHES = auto()


_NOT_THE_EVENTS_FAULT = frozenset({401, 403, 404, 405, 407, 408, 415, 425, 429})
"""4xx that speak of credentials, the address, the encoding or the moment: they pass, or somebody sets them right."""


def meaning_of_single(status: int) -> Meaning:
    """For a request with one event. A redirect is followed by nobody: it would turn the POST into a GET."""
    if 200 <= status < 300:
        return Meaning.TAKEN
    if 400 <= status < 500 and status not in _NOT_THE_EVENTS_FAULT:
        return Meaning.REFUSED
    return Meaning.LATER


def meaning_of_batch(status: int) -> Meaning:
    """For a request to the batch address, before its body is looked at."""
    if 200 <= status < 300:
        return Meaning.TAKEN
    if status in (404, 405, 415, 501):
        return Meaning.NO_BATCHES
    # One event can be the culprit, which only sending one at a time tells.
    return Meaning.SINGLY if meaning_of_single(status) is Meaning.REFUSED else Meaning.LATER


def read_summary(status: int, body: bytes, count: int) -> Answer | None:
    """What a 2xx of the batch address says of each event; None when nothing shows that a batch was understood."""
    if status == 204:
        return Answer(count)
    try:
        answer = json.loads(body)
        if answer["summary"]["received"] != count:
            return None
        failed = {int(each["index"]): each for each in answer.get("failed_events") or ()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return _settle(failed, count)


def _settle(failed: dict[int, dict[str, Any]], count: int) -> Answer:
    """From the first event that is to be sent again on, all are: so their order is kept."""
    again = min((index for index, each in failed.items() if each.get("retriable")), default=count)
    refused = tuple((index, str(failed[index].get("reason"))) for index in sorted(failed) if index < again)
    reason = None if again == count else f"the receiver asks for it again: {failed[again].get('reason')}"
    return Answer(again, refused, reason)


class Receiver:
    """The other end, as the user configured it. Used by one thread; never raises.

    Args:
        config: The settings of the client's ``http`` transport; its ``retry`` is left out, because the spool waits
            and tries again itself.

    Raises:
        ValueError: The URL is none.
    """

    def __init__(self, config: HttpConfig) -> None:
        self._config = attrs.evolve(config, retry={"total": 0})
        self._http = HttpTransport(self._config)
        self.url = urljoin(self._http.url, self._http.endpoint)
        self._batches_after = 0.0
        self._singles_left = 0

    @property
    def room(self) -> int:
        """How many events the next request may hold."""
        return 1 if self._singles_left or time.monotonic() < self._batches_after else BATCH_EVENTS

    def send(self, lines: Sequence[bytes]) -> Answer:
        """Send events, at most ``room``, in one request."""
        try:
            return self._send_batch(lines) if len(lines) > 1 else self._send_single(lines[0])
        except Exception as error:
            return Answer(0, failure=f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._http.close()

    def _send_single(self, line: bytes) -> Answer:
        status, body = self._post(self.url, line, compress=bool(self._config.compression))
        meaning = meaning_of_single(status)
        if meaning is Meaning.LATER:
            return Answer(0, failure=_reason(status, body))
        self._singles_left = max(0, self._singles_left - 1)
        return Answer(1, () if meaning is Meaning.TAKEN else ((0, _reason(status, body)),))

    def _send_batch(self, lines: Sequence[bytes]) -> Answer:
        address = f"{self.url.rstrip('/')}/batch"
        status, body = self._post(address, b"[%s]" % b",".join(lines), compress=True)
        meaning = meaning_of_batch(status)
        if meaning is Meaning.LATER:
            return Answer(0, failure=_reason(status, body))
        if meaning is Meaning.SINGLY:
            self._singles_left = len(lines)
            return Answer(0)
        if meaning is Meaning.TAKEN and (answer := read_summary(status, body, len(lines))):
            return answer
        self._batches_after = time.monotonic() + BATCHES_AGAIN
        return Answer(0)

    def _post(self, url: str, body: bytes, *, compress: bool) -> tuple[int, bytes]:
        response = self._http.session.post(
            url,
            data=gzip.compress(body, GZIP_LEVEL) if compress else body,
            headers=self._headers(compress=compress),
            timeout=self._config.timeout,
            verify=self._http.verify,
            cert=getattr(self._http, "cert", None),
            allow_redirects=False,
        )
        return response.status_code, response.content

    def _headers(self, *, compress: bool) -> dict[str, str]:
        bearer = self._config.auth.get_bearer()
        return {
            "Content-Type": "application/json",
            **({"Authorization": bearer} if bearer else {}),
            **({"Content-Encoding": "gzip"} if compress else {}),
            **self._config.custom_headers,
        }


def _reason(status: int, body: bytes) -> str:
    said = body[:500].decode("utf-8", "replace").strip()
    return f"HTTP {status}: {said}" if said else f"HTTP {status}"
