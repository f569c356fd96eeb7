"""Posting bodies to GMS: packed where the server unpacks them, and an outcome for every one."""

from __future__ import annotations

import gzip
import time

import attrs
import httpx2

from openlineage_bridge.outgoing import retry_after
from openlineage_bridge.translation import Delivered, Outcome, Refused, Retry
from openlineage_bridge_datahub.sinks.answers import outcome_of

WORTH_PACKING = 8192
"""Bytes from which on a body is packed."""


@attrs.define
class Poster:
    """Sends one body after the other.

    Whether GMS unpacks bodies depends on its version and on what stands before it, and it does not say. So the first body
    that it refuses packed is sent plain once: if it takes that, everything goes plain from then on.

    Args:
        client: Connections, with the token.
        address: Where to.
        packs: Whether to pack at all.
    """

    client: httpx2.Client
    address: str
    packs: bool = True
    _proven: bool = attrs.field(default=False, init=False)

    def post(self, body: bytes) -> Outcome:
        """Send it."""
        if not self.packs or len(body) < WORTH_PACKING:
            return self._send(body)
        status, outcome = self._sent(gzip.compress(body, 1), {"Content-Encoding": "gzip"})
        if isinstance(outcome, Delivered):
            self._proven = True
        elif not self._proven and (
            isinstance(outcome, Refused) or status == httpx2.codes.INTERNAL_SERVER_ERROR
        ):
            outcome = self._send(body)
            self.packs = not isinstance(outcome, Delivered)
        return outcome

    def _send(self, body: bytes) -> Outcome:
        return self._sent(body, {})[1]

    def _sent(self, body: bytes, headers: dict[str, str]) -> tuple[int | None, Outcome]:
        """The status of the answer, None where there was none, and what it means."""
        try:
            answer = self.client.post(self.address, content=body, headers=headers)
        except httpx2.HTTPError as error:
            return None, Retry(f"{self.address.partition('?')[0]}: {str(error) or type(error).__name__}")
        asked = retry_after(answer.headers.get("Retry-After"), time.time())
        return answer.status_code, outcome_of(answer.status_code, answer.text, asked)
