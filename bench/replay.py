"""Replay of one large event file: its rate and memory from the first part to the last, and after being killed again and again.

``python replay.py [MEGABYTES] [KILLS]``: the file is made of the real events beside the checkout, each copy with fresh run
ids. Rates are events per second of CPU time, which a busy machine does not change. With KILLS the replay is killed at so many
random moments and started again, and what it exports is compared with an undisturbed one.
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
from collections.abc import Iterator
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
MOST_MIB, PARTS = 200, 10
TICKS = os.sysconf("SC_CLK_TCK")


def lines() -> list[bytes]:
    """The real events, one a line."""
    return [line for file in sorted(EVENTS.glob("*.jsonl")) for line in file.read_bytes().splitlines()]


def fresh(line: bytes, ids: re.Pattern[bytes], copy: int) -> bytes:
    """The event as one of other runs."""
    return ids.sub(lambda found: str(uuid5(COPIES, f"{found[0]!r} {copy}")).encode(), line)


def write(path: Path, megabytes: int) -> int:
    """A file of that size; how many events it holds."""
    originals = lines()
    runs = {run["runId"].encode() for each in map(json.loads, originals) if (run := each.get("run"))}
    ids = re.compile(b"|".join(sorted(re.escape(each) for each in runs if len(each) == 36)))
    size = count = copy = 0
    with path.open("wb") as file:
        while size < megabytes << 20:
            for line in originals:
                size += file.write(fresh(line, ids, copy) + b"\n")
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


def watched(child: subprocess.Popen[bytes], path: Path) -> Iterator[tuple[float, float]]:
    """Each time another part of the file was read: its share of the file, and CPU seconds so far."""
    told = 0.0
    while child.poll() is None:
        share = position(child.pid, path) / path.stat().st_size
        if share >= told + 1 / PARTS:
            told = share
            yield share, cpu(child.pid)
        time.sleep(0.2)


def position(pid: int, path: Path) -> int:
    """How far a process is in a file that it reads."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if link.readlink() == path:
                return int(Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().split()[1])
        except OSError:
            continue
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
    heading(f"Replay of {path.stat().st_size >> 20} MiB, {events:,} events")
    child, began, rates, most, before = start(path, store), time.monotonic(), [], 0.0, (0.0, 0.0)
    for share, seconds in watched(child, path):
        most = max(most, peak(child.pid))
        rates.append(events * (share - before[0]) / (seconds - before[1]))
        before = share, seconds
        figure(
            f"{share:>5.0%} after {time.monotonic() - began:,.0f} s, {most:,.0f} MiB",
            f"{rates[-1]:,.0f} /CPU s",
        )
    summary = json.loads(summary_of(store).read_bytes())
    figure("events taken in", f"{summary['new'] + summary['known']:,}")
    took = time.monotonic() - began
    figure("wall time", f"{took:,.0f} s")
    ratio("memory against 200 MiB", most / MOST_MIB, "≤ 1", met=most <= MOST_MIB)
    ratio(
        "rate of the last part against the second",
        rates[-1] / rates[1],
        "≥ 0.8",
        met=rates[-1] >= 0.8 * rates[1],
    )
    return took


def interrupted(path: Path, store: Path, kills: int, took: float) -> None:
    """The same with kill -9 at random moments, all over the time that it takes."""
    heading(f"Killed {kills} times")
    chance, done = random.Random(7), 0
    whole = time.monotonic()
    while done < kills:
        child = start(path, store)
        time.sleep(chance.uniform(0.3, 2 * took / kills))
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
