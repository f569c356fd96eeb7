"""Replay of one large event file: its rate and memory from the first part to the last, and after being killed again and again.

``python replay.py [MEGABYTES] [KILLS]``: the file is made of the real events beside the checkout, each copy with fresh run
ids. Each minute tells what was taken in during it, by the clock and by CPU time, which a busy machine changes less. With KILLS
the replay is killed at so many random moments and started again, and what it exports is compared with an undisturbed one.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from uuid import UUID, uuid5

from report import figure, heading, ratio

EVENTS = (
    Path(os.environ.get("OPENLINEAGE_BRIDGE_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    / "events"
)
COPIES = UUID("0d8e3d84-0f6c-5f25-9d2b-6f0d2f5f3a11")
COMMAND = [sys.executable, "-m", "openlineage_bridge"]
MOST_MIB, PARTS, MINUTE = 200, 10, 60.0
TICKS = os.sysconf("SC_CLK_TCK")


def lines() -> list[bytes]:
    """The real events, one a line."""
    return [line for file in sorted(EVENTS.glob("*.jsonl")) for line in file.read_bytes().splitlines()]


def write(path: Path, megabytes: int) -> int:
    """A file of that size; how many events it holds."""
    originals = lines()
    runs = {run["runId"].encode() for each in map(json.loads, originals) if (run := each.get("run"))}
    ids = sorted(each for each in runs if len(each) == 36)
    pattern = re.compile(b"(" + b"|".join(map(re.escape, ids)) + b")")
    apart = [pattern.split(line) for line in originals]  # every second part is an id
    size = count = copy = 0
    with path.open("wb") as file:
        while size < megabytes << 20:
            fresh = {each: str(uuid5(COPIES, f"{each!r} {copy}")).encode() for each in ids}
            for parts in apart:
                size += file.write(b"".join(fresh.get(part, part) for part in parts) + b"\n")
                count += 1
            copy += 1
    return count


def start(path: Path, store: Path) -> subprocess.Popen[bytes]:
    """A replay in a process of its own; its summary goes to a file, because nobody reads while it runs."""
    with summary_of(store).open("wb") as summary:
        return subprocess.Popen(
            [*COMMAND, "replay", path, "--store", store, "--to", "none", "--format", "json"],
            stdout=summary,
            stderr=subprocess.DEVNULL,
        )


def summary_of(store: Path) -> Path:
    return store.with_suffix(".json")


@dataclass(frozen=True)
class Moment:
    """How far a replay was: seconds by the clock and of CPU, its share of the file, and the most MiB it had held."""

    clock: float
    cpu: float
    share: float
    mib: float


def watched(child: subprocess.Popen[bytes], path: Path) -> Iterator[Moment]:
    """Where it is, again and again, until it ends; and at the end."""
    size, began = path.stat().st_size, time.monotonic()
    last = Moment(0.0, 0.0, 0.0, 0.0)
    yield last
    while child.poll() is None:
        share = max(last.share, position(child.pid, path) / size)
        last = Moment(time.monotonic() - began, cpu(child.pid), share, max(last.mib, peak(child.pid)))
        yield last
        time.sleep(0.2)
    yield replace(last, clock=time.monotonic() - began, share=1.0)


def position(pid: int, path: Path) -> int:
    """How far a process is in a file that it reads."""
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            if link.readlink() == path:
                return int(Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().split()[1])
    except OSError:  # it closed one of its files just now, or ended
        pass
    return 0


def cpu(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak(pid: int) -> float:
    """Most MiB that a process has held in memory; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    return int(found[1]) / 1024 if found else 0.0


def steady(path: Path, store: Path, events: int) -> float:
    """One replay from beginning to end; the seconds that it took."""
    mib = path.stat().st_size / (1 << 20)
    heading(f"Replay of {mib:,.0f} MiB, {events:,} events")
    moments = list(each_minute(watched(start(path, store), path), events, mib))
    end = moments[-1]
    summary = json.loads(summary_of(store).read_bytes())
    figure("events taken in", f"{summary['new'] + summary['known']:,}")
    figure("wall time, CPU time", f"{end.clock:,.0f} s, {end.cpu:,.0f} s")
    ratio("memory against 200 MiB", end.mib / MOST_MIB, "≤ 1", met=end.mib <= MOST_MIB)
    parts = [next((each for each in moments if each.share >= part / PARTS), end) for part in range(PARTS)]
    flat = speed(parts[-1], end) / speed(parts[1], parts[2])
    ratio("rate per CPU second, the last tenth against the second", flat, "≥ 0.8", met=flat >= 0.8)
    return end.clock


def each_minute(moments: Iterable[Moment], events: int, mib: float) -> Iterator[Moment]:
    """The same moments; prints what was taken in during each minute, and what was left for the last."""
    first = last = Moment(0.0, 0.0, 0.0, 0.0)
    for last in moments:
        if last.clock - first.clock >= MINUTE:
            print_minute(first, last, events, mib)
            first = last
        yield last
    print_minute(first, last, events, mib)


def print_minute(first: Moment, last: Moment, events: int, mib: float) -> None:
    """Throughput between two moments, a minute by the clock and a minute of CPU."""
    share, minutes = last.share - first.share, (last.clock - first.clock) / MINUTE
    figure(
        f"{last.clock:>5,.0f} s, {last.share:>4.0%}, {last.mib:,.0f} MiB of memory; a minute "
        f"{events * share / minutes:,.0f} events, {mib * share / minutes:,.1f} MiB; a CPU minute",
        f"{MINUTE * events * speed(first, last):,.0f} events, {MINUTE * mib * speed(first, last):,.1f} MiB",
    )


def speed(first: Moment, last: Moment) -> float:
    """Share of the file in a CPU second."""
    return (last.share - first.share) / max(last.cpu - first.cpu, 1 / TICKS)


def interrupted(path: Path, store: Path, kills: int, took: float) -> None:
    """The same with kill -9 at random moments, all over the time that it takes."""
    heading(f"Killed {kills} times")
    chance, done = random.Random(7), 0
    whole = time.monotonic()
    while done < kills:
        child = start(path, store)
        time.sleep(chance.uniform(0.3, 1.5 * took / kills))  # all of them before the end
        if child.poll() is not None:
            break
        child.kill()
        child.wait()
        done += 1
    start(path, store).wait()
    summary = json.loads(summary_of(store).read_bytes())
    figure("kills", str(done))
    figure("events before the last start, and behind it", f"{summary['before']:,} + {summary['events']:,}")
    figure("wall time", f"{time.monotonic() - whole:,.0f} s")


def exported(store: Path) -> str:
    """Stands for everything that the catalog should hold."""
    with subprocess.Popen(
        [*COMMAND, "export", "--store", store, "--output", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        assert child.stdout is not None
        content = blake2b()
        while part := child.stdout.read(1 << 20):
            content.update(part)
    return content.hexdigest()


def main() -> None:
    megabytes, kills = (*map(int, sys.argv[1:]), *(64, 0)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory(prefix="bench-replay-") as folder:
        path, one, other = (Path(folder) / name for name in ("events.jsonl", "one.db", "other.db"))
        events = write(path, megabytes)
        took = steady(path, one, events)
        if kills:
            interrupted(path, other, kills, took)
            same = exported(one) == exported(other)
            ratio("exports that are equal", float(same), "1", met=same)


if __name__ == "__main__":
    main()
