"""The tables, and how a store of an older version becomes one of this version.

============== =====================================================================================================
``inbox``      events as received, durable before they are acknowledged, unique on the digest of their canonical JSON
``quarantine`` what was refused, or could not be processed or delivered, with the reason and the bytes
``subjects``   the runs, jobs and datasets that facts are about, and what the catalog calls them
``facts``      what OpenLineage now says (``openlineage_bridge.facts``); contents stand once in ``bodies``
``runs``       the state of each run, derived from its facts
``jobs``       what each job's lineage was last derived from
``edges``      what each job reads and writes now
``handovers``  whose results each job takes directly, without a dataset in between
``aspects``    what the catalog should hold
``outbox``     which of those each destination still lacks
``delivered``  what each of the ``destinations`` was last given
``positions``  how far those who read files have come in them
============== =====================================================================================================
"""

from __future__ import annotations

import sqlite3

from openlineage_bridge.errors import StorageError

APPLICATION_ID = 0x4F4C4231  # "OLB1": a file that carries it is a store of ours
VERSION = 6

_V1 = """
CREATE TABLE inbox (
    seq      INTEGER PRIMARY KEY,
    digest   BLOB NOT NULL UNIQUE,
    received INTEGER NOT NULL,             -- milliseconds since the epoch
    receiver TEXT NOT NULL,
    body     BLOB NOT NULL,
    done     INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX inbox_pending ON inbox (seq) WHERE NOT done;

CREATE TABLE quarantine (
    id       INTEGER PRIMARY KEY,
    digest   BLOB NOT NULL UNIQUE,
    stage    TEXT NOT NULL,                -- receive, parse, translate, deliver
    reason   TEXT NOT NULL,
    receiver TEXT NOT NULL,
    received INTEGER NOT NULL,
    body     BLOB NOT NULL
);

CREATE TABLE subjects (
    id        BLOB PRIMARY KEY,            -- digest of kind and identity
    kind      TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    run_id    TEXT NOT NULL DEFAULT '',
    urn       TEXT
) WITHOUT ROWID;
CREATE INDEX subjects_by_urn ON subjects (urn) WHERE urn IS NOT NULL;
CREATE INDEX subjects_by_name ON subjects (kind, name);

CREATE TABLE bodies (
    digest BLOB NOT NULL UNIQUE,
    body   BLOB NOT NULL
);

CREATE TABLE facts (
    subject BLOB NOT NULL,
    role    TEXT NOT NULL,                 -- '' = of the subject itself; input or output = of its use of a dataset
    dataset BLOB NOT NULL,                 -- x'' where role is ''
    facet   TEXT NOT NULL,
    time    INTEGER NOT NULL,              -- microseconds since the epoch
    digest  BLOB NOT NULL,
    PRIMARY KEY (subject, role, dataset, facet)
) WITHOUT ROWID;
CREATE INDEX facts_uses ON facts (dataset, subject) WHERE facet = '@used';

CREATE TABLE runs (
    run       BLOB PRIMARY KEY,
    job       BLOB NOT NULL,
    run_id    TEXT NOT NULL,
    started   INTEGER,
    ended     INTEGER,
    result    TEXT,                        -- COMPLETE, FAIL, ABORT; NULL while it runs
    at        INTEGER NOT NULL,            -- time of its end, else of the last thing heard of it
    reporting INTEGER NOT NULL,            -- whether it sent RUNNING
    used      INTEGER NOT NULL             -- 0 nothing, 2 datasets, 1 only the results of other jobs
) WITHOUT ROWID;
CREATE INDEX runs_by_job ON runs (job, used, result, at, run_id);
CREATE INDEX runs_by_time ON runs (at);

CREATE TABLE jobs (
    job       BLOB PRIMARY KEY,
    signature BLOB NOT NULL,               -- digest of everything that the job's aspects were derived from
    naming    BLOB                         -- digest of what its runs' aspects take from it
) WITHOUT ROWID;

CREATE TABLE edges (
    job     BLOB NOT NULL,
    role    TEXT NOT NULL,
    dataset BLOB NOT NULL,
    PRIMARY KEY (job, role, dataset)
) WITHOUT ROWID;
CREATE INDEX edges_by_dataset ON edges (dataset, role);

CREATE TABLE aspects (
    urn         TEXT NOT NULL,
    name        TEXT NOT NULL,
    at          INTEGER NOT NULL,          -- milliseconds since the epoch for a timeseries aspect, -1 for a versioned one
    owner       BLOB NOT NULL,             -- which subject, or group of datasets, claims it
    entity_type TEXT NOT NULL,
    rank        INTEGER NOT NULL,
    digest      BLOB NOT NULL,
    body        BLOB NOT NULL,
    UNIQUE (urn, name, at, owner)
);
CREATE INDEX aspects_by_owner ON aspects (owner);

CREATE TABLE outbox (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    urn      TEXT NOT NULL,
    name     TEXT NOT NULL,
    at       INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason   TEXT NOT NULL DEFAULT '',     -- what the destination last said
    UNIQUE (urn, name, at)
);

CREATE TABLE destination (
    name TEXT NOT NULL                     -- whose rows ``delivered`` holds; at most one row
);

CREATE TABLE delivered (
    urn    TEXT NOT NULL,
    name   TEXT NOT NULL,
    at     INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (urn, name, at)
) WITHOUT ROWID;
"""

_V2 = """
CREATE TABLE handovers (
    job      BLOB NOT NULL,
    upstream BLOB NOT NULL,
    PRIMARY KEY (job, upstream)
) WITHOUT ROWID;
CREATE INDEX handovers_by_upstream ON handovers (upstream);

-- Whether a run touched a dataset is told apart from whether it only took other jobs' results.
UPDATE runs SET used = 2 WHERE used = 1;
"""

_V3 = """
ALTER TABLE quarantine ADD COLUMN error TEXT NOT NULL DEFAULT '';      -- class of the exception
ALTER TABLE quarantine ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;
ALTER TABLE quarantine ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;   -- milliseconds since the epoch
UPDATE quarantine SET failed = received;

ALTER TABLE outbox ADD COLUMN since INTEGER NOT NULL DEFAULT 0;        -- seconds since the epoch: when it began to be lacking
UPDATE outbox SET since = CAST(strftime('%s', 'now') AS INTEGER);
"""

_V4 = """
CREATE TABLE positions (
    reader   TEXT NOT NULL,                -- who reads
    source   TEXT NOT NULL,                -- what
    position BLOB NOT NULL,                -- JSON, as the reader wrote it
    PRIMARY KEY (reader, source)
) WITHOUT ROWID;
"""

_V5 = """
CREATE TABLE destinations (
    id        INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,        -- which one it is, e.g. its address
    label     TEXT NOT NULL,               -- what the configuration calls it
    active    INTEGER NOT NULL,            -- whether it was configured last time
    addressed INTEGER NOT NULL,            -- seconds since the epoch: when it was configured last
    failures  INTEGER NOT NULL DEFAULT 0,  -- attempts in a row that it would not have
    reason    TEXT NOT NULL DEFAULT '',    -- what it said to the last of them
    forwarded INTEGER                      -- events up to this place in the inbox it has; NULL where aspects are delivered
);
INSERT INTO destinations (id, name, label, active, addressed)
    SELECT 1, name, name, 1, CAST(strftime('%s', 'now') AS INTEGER) FROM destination;

ALTER TABLE outbox RENAME TO outbox_of_one;
CREATE TABLE outbox (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    urn         TEXT NOT NULL,
    name        TEXT NOT NULL,
    at          INTEGER NOT NULL,
    destination INTEGER NOT NULL,          -- 0 while there is none
    since       INTEGER NOT NULL,          -- seconds since the epoch: when it began to be lacking
    attempts    INTEGER NOT NULL DEFAULT 0,
    reason      TEXT NOT NULL DEFAULT '',  -- what the destination last said
    UNIQUE (urn, name, at, destination)
);
CREATE INDEX outbox_by_destination ON outbox (destination);
INSERT INTO outbox SELECT seq, urn, name, at, EXISTS (SELECT 1 FROM destination), since, attempts, reason
    FROM outbox_of_one ORDER BY seq;
DROP TABLE outbox_of_one;

ALTER TABLE delivered RENAME TO delivered_to_one;
CREATE TABLE delivered (
    urn         TEXT NOT NULL,
    name        TEXT NOT NULL,
    at          INTEGER NOT NULL,
    destination INTEGER NOT NULL,
    digest      BLOB NOT NULL,
    PRIMARY KEY (urn, name, at, destination)
) WITHOUT ROWID;
INSERT INTO delivered SELECT urn, name, at, 1, digest FROM delivered_to_one;
DROP TABLE delivered_to_one;
DROP TABLE destination;

-- Which of many owners' claims holds is found without a look at the others.
CREATE INDEX aspects_that_hold ON aspects (urn, name, at, rank, digest, owner);
"""

_V6 = """
-- What is written with every run stands in as few indexes as can be: each of them is a page somewhere else in a large file.
-- That an owner claims an aspect once is seen to by who writes them.
ALTER TABLE aspects RENAME TO aspects_of_unique_owners;
DROP INDEX aspects_by_owner;
DROP INDEX aspects_that_hold;
CREATE TABLE aspects (
    seq         INTEGER PRIMARY KEY,       -- in the order in which they were first claimed
    urn         TEXT NOT NULL,
    name        TEXT NOT NULL,
    at          INTEGER NOT NULL,          -- milliseconds since the epoch for a timeseries aspect, -1 for a versioned one
    owner       BLOB NOT NULL,             -- which subject, or group of datasets, claims it
    entity_type TEXT NOT NULL,
    rank        INTEGER NOT NULL,
    digest      BLOB NOT NULL,
    body        BLOB NOT NULL
);
INSERT INTO aspects SELECT rowid, * FROM aspects_of_unique_owners ORDER BY rowid;
DROP TABLE aspects_of_unique_owners;
CREATE INDEX aspects_by_owner ON aspects (owner);
CREATE INDEX aspects_that_hold ON aspects (urn, name, at, rank, digest, owner);

-- Runs are looked for by their jobs, never by name.
DROP INDEX subjects_by_name;
CREATE INDEX subjects_by_name ON subjects (kind, name) WHERE kind <> 'run';

-- Ids of new runs begin with when they were first heard of; the rest is by what they are found (store.run_ids).
CREATE UNIQUE INDEX subjects_of_runs ON subjects (substr(id, 7)) WHERE kind = 'run';
"""

MIGRATIONS: dict[int, str] = {1: _V1, 2: _V2, 3: _V3, 4: _V4, 5: _V5, 6: _V6}
"""By version: the statements that lead there from the version before. Released entries are never changed."""


def prepare(connection: sqlite3.Connection) -> None:
    """Create the tables in an empty file, or migrate an older store, in one transaction per version.

    Raises:
        StorageError: The file is not a store, or it was written by a newer version.
    """
    version = check(connection)
    for target in range(version + 1, VERSION + 1):
        script = f"PRAGMA application_id = {APPLICATION_ID};\n{MIGRATIONS[target]}\nPRAGMA user_version = {target};"
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nCOMMIT;")


def check(connection: sqlite3.Connection) -> int:
    """The version of the store; 0 for an empty file.

    Raises:
        StorageError: The file is not a store, or it was written by a newer version.
    """
    application, version, tables = (
        connection.execute(query).fetchone()[0]
        for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    if application != APPLICATION_ID and tables:
        raise StorageError(
            "this SQLite file is not a store of openlineage-bridge: choose another path with --store"
        )
    if version > VERSION:
        raise StorageError(
            f"this store has format {version}, and this openlineage-bridge knows formats up to {VERSION}: "
            "it was written by a newer version; upgrade, or choose another path with --store"
        )
    return int(version)
