"""How the benchmarks time and print: the best of several rounds, side by side with a baseline of the same run."""

from __future__ import annotations

import time
from collections.abc import Callable


def best(work: Callable[[], object], rounds: int = 7) -> float:
    """CPU seconds of the fastest round."""
    fastest = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        work()
        fastest = min(fastest, time.process_time() - started)
    return fastest


def heading(text: str) -> None:
    """A section."""
    print(f"\n{text}\n{'-' * len(text)}")


def figure(what: str, value: str) -> None:
    """One measured figure."""
    print(f"  {what:<66} {value:>14}")


def ratio(what: str, value: float, aim: str, *, met: bool) -> None:
    """A ratio, the aim it is held against, and whether it is met."""
    print(f"  {what:<66} {value:>12.2f} ×   (aim: {aim}; {'met' if met else 'NOT met'})")
