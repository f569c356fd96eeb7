"""How much is offered to a destination next, and when: pure decisions from what became of the last offer."""

from __future__ import annotations

import attrs

BATCH = 500
"""Most things handed to a sink at once."""

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds: the wait after a transient failure doubles from the first to the longest."""

STUCK = 5
"""Failures in a row of one thing that is offered alone, after which the one behind it is tried."""


@attrs.frozen
class Report:
    """What became of one offer, or of several.

    Args:
        delivered: Things that the destination has now.
        refused: Things in quarantine now.
        postponed: Things that still wait.
        reason: Why something was postponed; empty when nothing was.
        after: Seconds for which the destination asked to be left alone.
    """

    delivered: int = 0
    refused: int = 0
    postponed: int = 0
    reason: str = ""
    after: float = 0.0

    def __add__(self, other: Report) -> Report:
        return Report(
            self.delivered + other.delivered,
            self.refused + other.refused,
            self.postponed + other.postponed,
            other.reason or self.reason,
            max(self.after, other.after),
        )


def wait_after(failures: int, jitter: float) -> float:
    """Seconds to wait after that many failures in a row; ``jitter`` in [0, 1) spreads the probes of many bridges."""
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 16))
    return longest * (0.5 + jitter / 2)


@attrs.frozen
class Pace:
    """What is offered next.

    While a destination is away it gets one thing at a time, as a probe; once it takes that, four times as many, and so on:
    nobody who comes back meets a herd. A thing on which a destination fails although it takes the one behind it is passed
    over, so that it holds up nothing else, and is tried again whenever the rest is done.

    Args:
        limit: How many things to offer.
        failures: Attempts in a row that failed.
        passed: Place of the last thing that is passed over for now; 0 when none is.
        trial: Whether the next offer is to show that the destination fails on what was passed over alone.
        known: Whether the next thing is one that was passed over before, while the destination took others.
    """

    limit: int = BATCH
    failures: int = 0
    passed: int = 0
    trial: bool = False
    known: bool = False

    def after(self, report: Report, first: int) -> Pace:
        """The pace after an offer that began with the thing at place ``first``."""
        if not report.postponed:
            return Pace(min(BATCH, self.limit * 4), 0, self.passed)
        if report.delivered or report.refused:
            return Pace(1, 1, self.passed)
        if self.trial:  # it is not the thing, it is the destination
            return Pace(1, self.failures + 1)
        if self.limit == 1 and (self.known or self.failures >= STUCK):
            return Pace(1, self.failures + 1, passed=first, trial=True)
        return attrs.evolve(self, limit=1, failures=self.failures + 1)

    def again(self) -> Pace:
        """The pace when what was passed over is tried again, because nothing else is left."""
        return Pace(1, known=True)

    def wait(self, report: Report, jitter: float) -> float:
        """Seconds until the next offer: what the destination asked for, if that is longer than what we would wait."""
        return max(wait_after(self.failures, jitter), report.after) if self.failures else 0.0
