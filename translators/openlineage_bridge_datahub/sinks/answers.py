"""What an answer of GMS means for the proposals that it answers; pure."""

from __future__ import annotations

import json

from openlineage_bridge.translation import Delivered, Outcome, Refused, Retry

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


def outcome_of(status: int, said: str, after: float = 0.0) -> Outcome:
    """The outcome for a batch.

    Args:
        status: Of the answer.
        said: Its body.
        after: Seconds for which the server asked to be left alone.
    """
    if 200 <= status < 300:
        return Delivered()
    if status in _OPERATOR:
        return Retry(f"{_OPERATOR[status]} (HTTP {status})", after)
    reason = f"HTTP {status}: {_words(said)}"
    if status in _TRANSIENT or status < 400:
        return Retry(reason, after)
    if status >= 500 and not any(word in said for word in _VALIDATION):
        return Retry(reason, after)
    return Refused(reason)


def _words(said: str) -> str:
    """The server's own message, without the stack trace that follows it."""
    try:
        answer = json.loads(said)
    except ValueError:
        answer = None
    message = answer.get("message") if isinstance(answer, dict) else None
    return " ".join(str(message or said).split())[:_SAID]
