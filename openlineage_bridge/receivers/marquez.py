"""What Marquez holds: its ``GET /api/v1/events/lineage``, page by page, as if it were a file with one event a line.

Marquez sorts by event time; asked for the oldest first, an event that arrives meanwhile moves others to a later page, where
they are met once more, and never to an earlier one, where they would be missed.
"""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from openlineage_bridge.errors import RetryLater
from openlineage_bridge.receivers.wrapping import unwrapped

EVENTS = "/events/lineage"
"""End of the path by which such an address is known."""

PAGE = 500
PATIENCE = 60.0
"""Seconds for one page."""


class Pages(io.RawIOBase):
    """The events behind the address, one a line; pages are asked for when they are read.

    Args:
        url: The address; what its query says (``after``, ``before``) is kept.

    Raises (when read):
        RetryLater: Marquez does not answer, or with something else.
    """

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._lines = self._all()
        self._rest = b""

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # bytes-like is all io asks for
        """The next bytes."""
        if not self._rest:
            self._rest = next(self._lines, b"")
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def _all(self) -> Iterator[bytes]:
        offset = 0
        while page := self._page(offset):
            # A line feed in JSON stands between tokens only.
            yield from (event.replace(b"\n", b" ") + b"\n" for event in page)
            offset += len(page)

    def _page(self, offset: int) -> list[bytes]:
        paging = {"limit": str(PAGE), "offset": str(offset), "sortDirection": "asc"}
        query = urlencode(dict(parse_qsl(self._url.query)) | paging)
        address = urlunsplit(self._url._replace(query=query))
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:  # noqa: S310  - http(s), by how it was chosen
                body: bytes = answer.read()
        except (OSError, urllib.error.HTTPError) as error:
            raise RetryLater(f"{address} does not answer: {error}") from error
        page = unwrapped(body)
        if page is None:
            raise RetryLater(f"{address} answers something that is not JSON")
        return page if b'"events"' in body else []
