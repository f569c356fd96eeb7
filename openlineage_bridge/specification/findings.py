"""What is wrong with the events of files: what the bridge would refuse, and what the specification does not allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from openlineage_bridge.events import decode
from openlineage_bridge.receivers import Rejected
from openlineage_bridge.receivers.files import Found
from openlineage_bridge.specification import violations
from openlineage_bridge.store.inbox import inspect


@attrs.frozen
class Finding:
    """One thing that is wrong.

    Args:
        where: ``file:line``.
        path: JSON path in the event; ``$`` for the event as a whole.
        rule: Address of the specification's rule; None for what the bridge itself needs.
        message: What is wrong.
        refused: Whether the bridge would refuse the event.
    """

    where: str
    path: str
    rule: str | None
    message: str
    refused: bool = False


@attrs.define
class Verdict:
    """The sums.

    Args:
        events: That were looked at.
        refused: Those that the bridge would refuse.
        violating: Those with which anything is wrong.
        violations: Everything that is wrong.
    """

    events: int = 0
    refused: int = 0
    violating: int = 0
    violations: int = 0

    def count(self, findings: list[Finding]) -> None:
        """One event more, with what is wrong with it."""
        self.events += 1
        self.refused += any(each.refused for each in findings)
        self.violations += len(findings)
        self.violating += bool(findings)


def findings(found: Iterable[Found], verdict: Verdict) -> Iterator[Finding]:
    """What is wrong, event by event; the sums are kept in ``verdict`` on the way."""
    for each in found:
        wrong = list(_wrong_with(each.where, each.body))
        verdict.count(wrong)
        yield from wrong


def _wrong_with(where: str, body: bytes) -> Iterator[Finding]:
    arrival = inspect(body)
    refusal = arrival.receipt.reason if isinstance(arrival.receipt, Rejected) else None
    if refusal is not None:
        yield Finding(where, "$", None, f"refused: {refusal}", refused=True)
    try:
        event = decode(arrival.body)
    except (ValueError, RecursionError):
        return
    for each in violations(event):
        yield Finding(where, each.path, each.rule, each.message, refusal is not None)
