"""The HTTP client of Prefect's API: paced, with a bound on every wait, JSON in and out; the standard library alone."""

from __future__ import annotations

import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from openlineage_bridge_prefect.identity import VERSION
from openlineage_bridge_prefect.watch.connection import Connection

Json = Any
Wait = Callable[[float], object]

TIMEOUT_SECONDS = 30.0
LONGEST_WAIT = 60.0
"""Seconds; the bound of the back-off after errors, unless the API asks for more."""

EVENTS_PER_PAGE = 50
"""The most that ``/events/filter`` gives (prefect, ``server/events/storage``)."""

OBJECTS_PER_PAGE = 200
"""The most that the other filters give (prefect, ``PREFECT_API_DEFAULT_LIMIT``)."""


class ApiError(Exception):
    """The API did not answer as it should; a later try may succeed.

    Args:
        message: What was asked, and what came back.
        status: HTTP status; None when there was no answer.
        retry_after: Seconds that the API asks to wait.
    """

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def hopeless(self) -> bool:
        """Whether trying again cannot help: the API does not know us, or not what is asked."""
        return self.status in {401, 403, 404, 405, 422}


class Api:
    """A Prefect API.

    Args:
        connection: Where it is.
        requests_per_second: The most that is asked of it; 0 for no bound.
        attempts: How often a request is tried that may succeed the next time.
        wait: Waits for some seconds; may return early when the program is to end.
    """

    def __init__(
        self,
        connection: Connection,
        requests_per_second: float = 0.0,
        *,
        attempts: int = 1,
        wait: Wait = time.sleep,
    ) -> None:
        self.connection = connection
        self.requests = 0
        self._pause = 1.0 / requests_per_second if requests_per_second > 0 else 0.0
        self._attempts = attempts
        self._wait = wait
        self._next = 0.0
        # Proxies and certificates of the environment are honoured by urllib itself.
        self._opener = urllib.request.build_opener()

    def get(self, path: str) -> Json:
        """What is at a path; None when there is nothing (404).

        Raises:
            ApiError: Anything but an answer.
        """
        try:
            return self._call("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def post(self, path: str, body: Mapping[str, Any]) -> Json:
        """The answer to a filter.

        Raises:
            ApiError: Anything but an answer.
        """
        return self._call("POST", path, body)

    def version(self) -> str | None:
        """The server's version of Prefect; None where it does not say (Prefect Cloud)."""
        try:
            version = self.get("/admin/version")
        except ApiError as error:
            if error.status in {401, 403, 405}:
                return None
            raise
        return version if isinstance(version, str) else None

    def events(self, criteria: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
        """The pages of ``/events/filter`` in the order of their times.

        Raises:
            ApiError: A page could not be had.
        """
        page = self.post("/events/filter", {"limit": EVENTS_PER_PAGE, "filter": {**criteria, "order": "ASC"}})
        yield page["events"]
        while page.get("next_page"):
            # The server names itself as it sees itself, which behind a proxy is not where we reach it.
            page = self._call("GET", f"/events/filter/next?{urlsplit(page['next_page']).query}")
            yield page["events"]

    def objects(self, path: str, criteria: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
        """The pages of one of the other filters.

        Raises:
            ApiError: A page could not be had.
        """
        offset = 0
        while True:
            page = self.post(path, {**criteria, "limit": OBJECTS_PER_PAGE, "offset": offset})
            yield page
            offset += len(page)
            if len(page) < OBJECTS_PER_PAGE:
                return

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        for attempt in range(1, self._attempts):
            try:
                return self._ask(method, path, body)
            except ApiError as error:
                if error.hopeless:
                    raise
                self._wait(backoff(attempt, 1.0, error.retry_after))
        return self._ask(method, path, body)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Json:
        self._keep_pace()
        request = urllib.request.Request(  # noqa: S310 - `connection` lets HTTP through only
            self.connection.api + path,
            data=json.dumps(body).encode() if body is not None else None,
            headers=self._headers(),
            method=method,
        )
        self.requests += 1
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                raise ApiError(
                    f"{method} {path.partition('?')[0]}: Prefect's API answered {error.code} {error.reason}",
                    error.code,
                    retry_after(error.headers.get("Retry-After")),
                ) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ApiError(f"{method} {path.partition('?')[0]}: {error}") from error

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": f"openlineage-bridge/{VERSION}"}
        if self.connection.authorization:
            headers["Authorization"] = self.connection.authorization
        return headers

    def _keep_pace(self) -> None:
        ahead = self._next - time.monotonic()
        if ahead > 0:
            self._wait(ahead)
        self._next = max(self._next, time.monotonic()) + self._pause


def backoff(failures: int, first: float, asked: float | None) -> float:
    """Seconds to wait after so many failures in a row: doubling, bounded, a little random; never less than asked for."""
    doubled: float = min(first * 2 ** min(failures, 10), LONGEST_WAIT)
    return max(doubled * random.uniform(0.75, 1.0), asked or 0.0)  # noqa: S311 - spreads load, guards nothing


def retry_after(header: str | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """Seconds that a ``Retry-After`` header asks to wait (RFC 9110, 10.2.3: seconds or a date); None without one."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - now()).total_seconds())
    except (TypeError, ValueError):
        return None
