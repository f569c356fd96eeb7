"""Event files of every shape are read, each event with its place; what cannot be read costs no other event."""

from __future__ import annotations

import gzip
import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.receivers.files import Found, Reading, events_in
from openlineage_bridge.receivers.sources import find

ONE, TWO, THREE = ({"job": {"namespace": "n", "name": str(number)}} for number in (1, 2, 3))
BOM = b"\xef\xbb\xbf"


def line(event) -> bytes:
    return json.dumps(event).encode()


def pretty(value) -> bytes:
    return json.dumps(value, indent=2).encode()


def read(path, reading: Reading | None = None) -> list[tuple]:
    """The events as (line, content), content as it was written where it is no JSON."""
    return [
        (int(found.where.removeprefix(f"{path}:")), decoded(found))
        for found in events_in(find([str(path)]), reading)
    ]


def decoded(found: Found):
    try:
        return json.loads(found.body)
    except ValueError:
        return found.body


SHAPES = {
    "lines": (b"%s\n%s\n" % (line(ONE), line(TWO)), [(1, ONE), (2, TWO)]),
    "lines without the last line feed": (b"%s\n%s" % (line(ONE), line(TWO)), [(1, ONE), (2, TWO)]),
    "lines with CRLF": (b"%s\r\n%s\r\n" % (line(ONE), line(TWO)), [(1, ONE), (2, TWO)]),
    "lines with a BOM": (BOM + b"%s\n%s\n" % (line(ONE), line(TWO)), [(1, ONE), (2, TWO)]),
    "blank lines": (b"\n \n%s\n\n\t\n%s\n\n" % (line(ONE), line(TWO)), [(3, ONE), (6, TWO)]),
    "arrays among lines": (b"%s\n%s\n%s\n" % (line(ONE), line([TWO, THREE]), line(ONE)), [(1, ONE), (2, TWO), (2, THREE), (3, ONE)]),
    "a first line that is an array": (b"%s\n%s\n" % (line([ONE, TWO]), line(THREE)), [(1, ONE), (1, TWO), (2, THREE)]),
    "the last line cut off": (b"%s\n%s" % (line(ONE), line(TWO)[:20]), [(1, ONE), (2, line(TWO)[:20])]),
    "a bad line": (b"%s\nnonsense\n%s\n" % (line(ONE), line(TWO)), [(1, ONE), (2, b"nonsense"), (3, TWO)]),
    "a bad first line": (b"nonsense\n%s\n%s\n" % (line(ONE), line(TWO)), [(1, b"nonsense"), (2, ONE), (3, TWO)]),
    "a first line that is cut off": (b"%s\n%s\n" % (line(ONE)[:9], line(TWO)), [(1, line(ONE)[:9]), (2, TWO)]),
    "one line": (line(ONE), [(1, ONE)]),
    "one document": (pretty(ONE), [(1, ONE)]),
    "one document after blank lines": (b"\n\n" + pretty(ONE) + b"\n\n", [(3, ONE)]),
    "one document with a BOM and CRLF": (BOM + pretty(ONE).replace(b"\n", b"\r\n"), [(1, ONE)]),
    "an array": (line([ONE, TWO]), [(1, ONE), (1, TWO)]),
    "an array over lines": (pretty([ONE, TWO, THREE]), [(2, ONE), (8, TWO), (14, THREE)]),
    "an array with an event per line": (b"[\n%s,\n%s\n]\n" % (line(ONE), line(TWO)), [(2, ONE), (3, TWO)]),
    "a document that is cut off": (pretty(ONE)[:33], [(1, pretty(ONE)[:33])]),
    "no JSON at all": (b"no\njson\n", [(1, b"no\njson")]),
    "not an event": (b"5\n", [(1, 5)]),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_shape(tmp_path, shape, pack):
    """Plain and compressed, whatever the file is called; the place is the line where it starts."""
    content, expected = SHAPES[shape]
    path = tmp_path / "events.txt"
    path.write_bytes(pack(content))
    reading = Reading()

    assert expected == read(path, reading)
    assert (1, len(pack(content)), []) == (reading.files, reading.read, reading.problems)


@pytest.mark.parametrize("content", [b"[]", b"[\n]\n", b"[]\n[]\n"])
def test_array_without_events(tmp_path, content):
    """It holds none: there is nothing to refuse."""
    path = tmp_path / "events.json"
    path.write_bytes(content)

    assert [] == read(path)


@pytest.mark.parametrize("content", [b"", b"\n \n\n", gzip.compress(b"", mtime=0)])
def test_empty_file(tmp_path, content):
    """Is a problem worth a word, not an error."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    reading = Reading()

    assert [] == read(path, reading)
    assert ([str(path)], []) == (reading.empty, reading.problems)


@pytest.mark.parametrize("missing", [1, 8, 500])
def test_gzip_that_is_cut_off(tmp_path, missing):
    """What stood before the cut is read, and the cut is said."""
    many = [{"job": {"namespace": "n", "name": f"{number * 7919:x}"}} for number in range(2000)]
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(map(line, many)))[:-missing])
    reading = Reading()
    found = [event for _, event in read(path, reading)]

    assert many[: len(found)] == found
    assert len(found) > 1800 - missing
    [problem] = reading.problems
    assert problem.startswith(f"{path}: the compressed file is cut off or damaged")


def test_gzip_of_several_members(tmp_path):
    """As appending to a compressed file leaves it."""
    path = tmp_path / "events.gz"
    path.write_bytes(gzip.compress(line(ONE) + b"\n") + gzip.compress(line(TWO)))

    assert [(1, ONE), (2, TWO)] == read(path)


def test_folder(tmp_path):
    """Event files at any depth, in a stable order; others are left alone."""
    (tmp_path / "b").mkdir()
    for name in ("c.jsonl", "b/x.json", "b/a.ndjson.gz", "a.jsonl.gz", "notes.txt", "data.csv"):
        (tmp_path / name).write_bytes(b"")

    assert ["a.jsonl.gz", "b/a.ndjson.gz", "b/x.json", "c.jsonl"] == [
        each.name.removeprefix(f"{tmp_path}/") for each in find([str(tmp_path)])
    ]


def test_several_arguments_in_order(tmp_path):
    """As they were named; one that is named is read whatever it is called."""
    for name in ("b", "a"):
        (tmp_path / name).write_bytes(line(ONE))

    found = find([str(tmp_path / "b"), "-", str(tmp_path / "a")])

    assert [(str(tmp_path / "b"), True), ("<stdin>", False), (str(tmp_path / "a"), True)] == [
        (each.name, each.again) for each in found
    ]


def test_nothing_there(tmp_path):
    """A path that does not exist, and a folder without event files, are refused before anything is read."""
    with pytest.raises(ConfigError, match=r"there is no file or folder .*nowhere"):
        find([str(tmp_path / "nowhere")])
    with pytest.raises(ConfigError, match=r"no event file in .*: looked for \*.json, \*.jsonl"):
        find([str(tmp_path)])


def test_file_that_cannot_be_read(tmp_path):
    """The others are."""
    (tmp_path / "gone.jsonl").write_bytes(line(ONE))
    (tmp_path / "here.jsonl").write_bytes(line(TWO))
    files = find([str(tmp_path)])
    (tmp_path / "gone.jsonl").unlink()
    reading = Reading()

    assert [TWO] == [decoded(found) for found in events_in(files, reading)]
    assert [f"{tmp_path / 'gone.jsonl'}: No such file or directory"] == reading.problems


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_standard_input(monkeypatch, pack):
    """Is read as a file is."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pack(line(ONE) + b"\n" + line(TWO)))))

    assert [("<stdin>:1", ONE), ("<stdin>:2", TWO)] == [
        (found.where, decoded(found)) for found in events_in(find(["-"]))
    ]


def test_bad_first_line_before_arrays(tmp_path):
    """One bad line costs no other, arrays included."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"{\n" + line([ONE, TWO]))

    assert [(1, b"{"), (2, ONE), (2, TWO)] == read(path)


@given(st.lists(st.sampled_from([line(ONE), line([TWO, THREE]), b"", b"{", b"nonsense", b"  "]), max_size=8))
def test_any_lines(tmp_path_factory, lines):
    """Behind a first line that is an event each line stands for itself."""
    path = tmp_path_factory.getbasetemp() / "lines.jsonl"
    path.write_bytes(b"\n".join([line(ONE), *lines]))
    expected = {line(ONE): [ONE], line([TWO, THREE]): [TWO, THREE], b"{": [b"{"], b"nonsense": [b"nonsense"]}

    assert read(path) == [
        (number, event)
        for number, each in enumerate([line(ONE), *lines], 1)
        for event in expected.get(each, ())
    ]
