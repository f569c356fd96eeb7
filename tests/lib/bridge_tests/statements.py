"""Statements with the tables and columns that they read and write, written down by hand."""

from __future__ import annotations

# dialect, statements, tables read, columns of each table written
CASES = [
    # ---- queries
    ("duckdb", ["SELECT 1"], "", {}),
    ("duckdb", ["SELECT a FROM t"], "t", {}),
    ("duckdb", ["FROM t"], "t", {}),
    ("duckdb", ["FROM s.t SELECT a"], "w.s.t", {}),
    ("postgres", ["SELECT * FROM a, b JOIN c ON c.i = b.i"], "a b c", {}),
    ("postgres", ["SELECT * FROM (a JOIN b ON a.i = b.i) JOIN c USING (i)"], "a b c", {}),
    ("postgres", ["WITH x AS (SELECT * FROM t), y AS (SELECT * FROM x) SELECT * FROM y"], "t", {}),
    ("postgres", ["SELECT * FROM t WHERE k IN (SELECT k FROM u WHERE EXISTS (SELECT 1 FROM v))"], "t u v", {}),
    ("postgres", ["SELECT * FROM (SELECT * FROM a UNION ALL SELECT * FROM b) z"], "a b", {}),
    ("postgres", ["SELECT a FROM x EXCEPT SELECT a FROM y"], "x y", {}),
    ("postgres", ["TABLE t"], "t", {}),
    ("postgres", ["VALUES (1, 2)"], "", {}),
    ("postgres", ["SELECT * FROM other_db.sales.t"], "other_db.sales.t", {}),
    ("postgres", ['SELECT * FROM "Mixed"."Case", Plain'], "plain w.Mixed.Case", {}),
    ("duckdb", ['SELECT * FROM "Mixed", mixed, MIXED'], "mixed", {}),
    ("duckdb", ["PIVOT t ON a USING sum(b)"], "t", {}),
    ("duckdb", ["SELECT * FROM t SEMI JOIN u USING (i)"], "t u", {}),
    ("duckdb", ["SELECT x FROM t ASOF JOIN u ON t.a = u.a AND t.b >= u.b"], "t u", {}),
    ("postgres", ["SELECT * FROM t, LATERAL (SELECT * FROM u WHERE u.i = t.i) l"], "t u", {}),
    ("postgres", ["SELECT * FROM t FOR UPDATE"], "t", {}),
    # ---- what says nothing of data
    ("duckdb", ["SELECT * FROM information_schema.tables, duckdb_tables(), duckdb_columns"], "", {}),
    ("duckdb", ["SELECT * FROM range(10) t(i), unnest([1, 2]) u(x)"], "", {}),
    ("duckdb", ["SELECT * FROM sqlite_master", "PRAGMA table_info('t')", "DESCRIBE t", "CHECKPOINT"], "", {}),
    ("postgres", ["SELECT * FROM pg_catalog.pg_class, pg_stat_activity"], "", {}),
    ("postgres", ["BEGIN", "SET x = 1", "CREATE INDEX i ON t (a)", "EXPLAIN SELECT * FROM t", "COMMIT"], "", {}),
    # ---- CREATE … AS
    ("duckdb", ["CREATE TABLE o AS SELECT a, b AS c FROM t"], "t", {"o": {"a": "IDENTITY t.a", "c": "IDENTITY t.b"}}),
    ("postgres", ["CREATE TABLE o AS TABLE t"], "t", {"o": {}}),
    ("postgres", ["CREATE MATERIALIZED VIEW o AS SELECT a FROM t"], "t", {"o": {"a": "IDENTITY t.a"}}),
    ("postgres", ["SELECT a INTO o FROM t"], "t", {"o": {"a": "IDENTITY t.a"}}),
    ("duckdb", ["CREATE OR REPLACE VIEW o(x, y) AS SELECT a, b FROM t"], "t", {"o": {"x": "IDENTITY t.a", "y": "IDENTITY t.b"}}),
    (
        "duckdb",
        ["CREATE TABLE o AS SELECT a + b AS s, sum(c) AS t, max(d) + 1 AS m, count(*) AS n FROM t GROUP BY ALL"],
        "t",
        {
            "o": {
                "s": "TRANSFORMATION t.a, TRANSFORMATION t.b",
                "t": "AGGREGATION t.c",
                "m": "AGGREGATION t.d",
            }
        },
    ),
    (
        "postgres",
        ["CREATE TABLE o AS SELECT CASE WHEN k > 0 THEN a ELSE b END AS c, coalesce(d, e) AS f, g::text FROM t"],
        "t",
        {
            "o": {
                "c": "TRANSFORMATION t.a, TRANSFORMATION t.b, CONDITIONAL t.k",
                "f": "TRANSFORMATION t.d, TRANSFORMATION t.e",
                "g": "TRANSFORMATION t.g",
            }
        },
    ),
    (
        "postgres",
        ["CREATE TABLE o AS SELECT row_number() OVER (PARTITION BY a ORDER BY b) AS n, sum(v) OVER (ORDER BY d) AS r FROM t"],
        "t",
        {"o": {"n": "WINDOW t.a, WINDOW t.b", "r": "WINDOW t.d, AGGREGATION t.v"}},
    ),
    (
        "postgres",
        ["CREATE TABLE o AS SELECT x.a, y.b FROM t AS x JOIN u AS y ON x.i = y.i"],
        "t u",
        {"o": {"a": "IDENTITY t.a", "b": "IDENTITY u.b"}},
    ),
    (
        "postgres",
        ["CREATE TABLE o AS SELECT a AS k FROM t UNION SELECT b FROM u UNION ALL SELECT c + 1 FROM v"],
        "t u v",
        {"o": {"k": "IDENTITY t.a, IDENTITY u.b, TRANSFORMATION v.c"}},
    ),
    (
        "duckdb",
        ["CREATE TABLE o AS SELECT a, b FROM t UNION BY NAME SELECT b, c FROM u"],
        "t u",
        {"o": {"a": "IDENTITY t.a", "b": "IDENTITY t.b, IDENTITY u.b", "c": "IDENTITY u.c"}},
    ),
    (
        "postgres",
        ["CREATE TABLE o AS WITH x AS (SELECT a AS k, sum(v) AS s FROM t GROUP BY 1) SELECT k, s * 2 AS d FROM x"],
        "t",
        {"o": {"k": "IDENTITY t.a", "d": "AGGREGATION t.v"}},
    ),
    (
        "postgres",
        ["CREATE TABLE o AS WITH x(p, q) AS (SELECT a, b FROM t) SELECT p, q FROM x"],
        "t",
        {"o": {"p": "IDENTITY t.a", "q": "IDENTITY t.b"}},
    ),
    (
        "postgres",
        [
            "CREATE TABLE o AS WITH RECURSIVE r(n, p) AS (SELECT id, parent FROM tree UNION ALL SELECT t.id, r.p FROM tree t JOIN r ON r.n = t.parent) SELECT n, p FROM r"
        ],
        "tree",
        {"o": {"n": "IDENTITY tree.id", "p": "IDENTITY tree.parent"}},
    ),
    (
        "postgres",
        ["CREATE TABLE o AS SELECT (SELECT max(v) FROM u WHERE u.i = t.i) AS m FROM t"],
        "t u",
        {"o": {"m": "FILTER t.i, FILTER u.i, AGGREGATION u.v"}},
    ),
    (
        "postgres",
        ["CREATE TABLE o AS SELECT t.a, l.d FROM t, LATERAL (SELECT t.b * 2 AS d) l"],
        "t",
        {"o": {"a": "IDENTITY t.a", "d": "TRANSFORMATION t.b"}},
    ),
    (
        "duckdb",
        ["CREATE TABLE o AS SELECT s.f, t.s.g, u.x FROM t, unnest(t.arr) AS u(x)"],
        "t",
        {"o": {"f": "TRANSFORMATION t.s", "g": "TRANSFORMATION t.s", "x": "TRANSFORMATION t.arr"}},
    ),
    (
        "duckdb",
        ["CREATE TABLE o AS SELECT list_transform(a, x -> x + b) AS l FROM t"],
        "t",
        {"o": {"l": "TRANSFORMATION t.a, TRANSFORMATION t.b"}},
    ),
    (
        "duckdb",
        ["CREATE TABLE o AS SELECT sum(v) FILTER (WHERE k) AS s FROM t"],
        "t",
        {"o": {"s": "FILTER t.k, AGGREGATION t.v"}},
    ),
    # an unqualified column of two unknown tables belongs to neither
    ("postgres", ["CREATE TABLE o AS SELECT a, t.b FROM t, u"], "t u", {"o": {"b": "IDENTITY t.b"}}),
    # ---- stars
    (
        "duckdb",
        ["CREATE TABLE o AS SELECT * FROM (SELECT a, b AS c FROM t)"],
        "t",
        {"o": {"a": "IDENTITY t.a", "c": "IDENTITY t.b"}},
    ),
    (
        "duckdb",
        ["CREATE TABLE o AS SELECT * EXCLUDE (a) REPLACE (upper(b) AS b) RENAME (c AS d) FROM (SELECT a, b, c FROM t)"],
        "t",
        {"o": {"b": "TRANSFORMATION t.b", "d": "IDENTITY t.c"}},
    ),
    (
        "duckdb",
        ["CREATE TABLE o AS SELECT x.*, y.k FROM (SELECT a FROM t) x, (SELECT a, b AS k FROM u) y"],
        "t u",
        {"o": {"a": "IDENTITY t.a", "k": "IDENTITY u.b"}},
    ),
    ("duckdb", ["CREATE TABLE o AS SELECT *, a + 1 AS n FROM t"], "t", {"o": {"n": "TRANSFORMATION t.a"}}),
    # ---- INSERT
    ("postgres", ["INSERT INTO o SELECT a, b FROM t"], "t", {"o": {"a": "IDENTITY t.a", "b": "IDENTITY t.b"}}),
    (
        "postgres",
        ["INSERT INTO o (x, y) SELECT a, b + 1 FROM t"],
        "t",
        {"o": {"x": "IDENTITY t.a", "y": "TRANSFORMATION t.b"}},
    ),
    ("postgres", ["INSERT INTO o VALUES (1, 'a'), (2, 'b')"], "", {"o": {}}),
    ("postgres", ["INSERT INTO o (x) VALUES ((SELECT max(a) FROM t))"], "t", {"o": {"x": "AGGREGATION t.a"}}),
    ("postgres", ["INSERT INTO t SELECT * FROM t"], "t", {"t": {}}),
    ("postgres", ["WITH c AS (SELECT a FROM t) INSERT INTO o (x) SELECT a FROM c"], "t", {"o": {"x": "IDENTITY t.a"}}),
    (
        "postgres",
        ["INSERT INTO o (k, v) SELECT a, b FROM t ON CONFLICT (k) DO UPDATE SET v = excluded.v"],
        "t",
        {"o": {"k": "IDENTITY t.a", "v": "IDENTITY t.b"}},
    ),
    (
        "postgres",
        ["WITH d AS (DELETE FROM t RETURNING *), i AS (INSERT INTO o (x) SELECT a FROM u RETURNING x) SELECT * FROM i"],
        "u",
        {"t": {}, "o": {"x": "IDENTITY u.a"}},
    ),
    ("duckdb", ["INSERT INTO o BY NAME SELECT a AS x FROM t"], "t", {"o": {"x": "IDENTITY t.a"}}),
    ("duckdb", ["INSERT OR REPLACE INTO o SELECT a FROM t"], "t", {"o": {"a": "IDENTITY t.a"}}),
    # ---- UPDATE, DELETE, MERGE
    (
        "postgres",
        ["UPDATE o AS x SET a = t.b, n = n + 1, (c, d) = (u.c, t.d + u.d) FROM t JOIN u ON u.i = t.i WHERE t.k = x.k"],
        "t u",
        {"o": {"a": "IDENTITY t.b", "n": "", "c": "IDENTITY u.c", "d": "TRANSFORMATION t.d, TRANSFORMATION u.d"}},
    ),
    ("postgres", ["UPDATE o SET a = (SELECT max(b) FROM t)"], "t", {"o": {"a": "AGGREGATION t.b"}}),
    ("postgres", ["UPDATE o SET a = 1"], "", {"o": {"a": ""}}),
    ("postgres", ["DELETE FROM o USING t WHERE t.i = o.i"], "t", {"o": {}}),
    ("postgres", ["DELETE FROM o WHERE i IN (SELECT i FROM t)"], "t", {"o": {}}),
    (
        "postgres",
        [
            "MERGE INTO o USING (SELECT i, a * 2 AS d FROM t) s ON o.i = s.i WHEN MATCHED THEN UPDATE SET x = s.d WHEN NOT MATCHED THEN INSERT (i, x) VALUES (s.i, s.d) WHEN MATCHED AND o.z THEN DELETE"
        ],
        "t",
        {"o": {"x": "TRANSFORMATION t.a", "i": "IDENTITY t.i"}},
    ),
    (
        "duckdb",
        ["MERGE INTO o USING (SELECT i, a FROM t) s USING (i) WHEN MATCHED THEN UPDATE WHEN NOT MATCHED THEN INSERT"],
        "t",
        {"o": {"i": "IDENTITY t.i", "a": "IDENTITY t.a"}},
    ),
    # ---- files
    ("duckdb", ["FROM 'x.parquet'"], "/here/x.parquet", {}),
    ("duckdb", ["SELECT * FROM '/data/in/*.csv.gz'"], "/data/in", {}),
    ("duckdb", ["SELECT * FROM read_csv('../orders_*.csv', header = true)"], "/orders_*.csv", {}),
    ("duckdb", ["SELECT * FROM read_parquet(['a.parquet', 's3://b/k/x.parquet'])"], "/here/a.parquet k/x.parquet", {}),
    ("duckdb", ["SELECT * FROM read_json_auto('/d/year=*/*.json')"], "/d", {}),
    ("duckdb", ["SELECT * FROM parquet_scan('s3a://b/k/**')"], "k", {}),
    (
        "duckdb",
        ["CREATE TABLE o AS SELECT a, p.b FROM 'x.parquet' AS p"],
        "/here/x.parquet",
        {"o": {"a": "IDENTITY /here/x.parquet.a", "b": "IDENTITY /here/x.parquet.b"}},
    ),
    ("duckdb", ["COPY t TO 'x.csv' (HEADER)"], "t", {"/here/x.csv": {}}),
    ("duckdb", ["COPY t (a, b) TO 'x.csv'"], "t", {"/here/x.csv": {"a": "IDENTITY t.a", "b": "IDENTITY t.b"}}),
    (
        "duckdb",
        ["COPY (SELECT a + 1 AS b FROM t) TO 's3://bucket/k/out.parquet' (FORMAT parquet)"],
        "t",
        {"k/out.parquet": {"b": "TRANSFORMATION t.a"}},
    ),
    ("duckdb", ["COPY o FROM 'x.csv'"], "/here/x.csv", {"o": {}}),
    ("duckdb", ["COPY o (a) FROM 'x.csv'"], "/here/x.csv", {"o": {"a": "IDENTITY /here/x.csv.a"}}),
    ("postgres", ["COPY o FROM STDIN"], "", {"o": {}}),
    ("postgres", ["COPY t TO STDOUT"], "t", {}),
    # ---- several statements
    ("postgres", ["CREATE TABLE o AS SELECT a FROM t; INSERT INTO p SELECT b FROM u;"], "t u", {"o": {"a": "IDENTITY t.a"}, "p": {"b": "IDENTITY u.b"}}),
    # what the run wrote itself is no input, and what is made of it is made of what that was made of
    (
        "postgres",
        ["CREATE TABLE m AS SELECT a AS x FROM t", "CREATE TABLE o AS SELECT x + 1 AS y FROM m"],
        "t",
        {"m": {"x": "IDENTITY t.a"}, "o": {"y": "TRANSFORMATION t.a"}},
    ),
    # temporary, and dropped again: only the ends remain
    (
        "duckdb",
        ["CREATE TEMP TABLE m AS SELECT a, b FROM t", "CREATE TABLE o AS SELECT *, a + b AS s FROM m"],
        "t",
        {"o": {"a": "IDENTITY t.a", "b": "IDENTITY t.b", "s": "TRANSFORMATION t.a, TRANSFORMATION t.b"}},
    ),
    (
        "postgres",
        ["CREATE TABLE m AS SELECT a FROM t", "INSERT INTO m SELECT c FROM u", "INSERT INTO o SELECT a FROM m", "DROP TABLE m"],
        "t u",
        {"o": {"a": "IDENTITY t.a, IDENTITY u.c"}},
    ),
    (
        "postgres",
        ["CREATE TEMPORARY TABLE m ON COMMIT DROP AS SELECT a FROM t", "INSERT INTO o SELECT a FROM pg_temp.m"],
        "t",
        {"o": {"a": "IDENTITY t.a"}},
    ),
    # a temporary table may be made of the table whose name it takes
    (
        "duckdb",
        ["CREATE TEMP TABLE t AS SELECT a FROM t", "INSERT INTO o SELECT a FROM t"],
        "t",
        {"o": {"a": "IDENTITY t.a"}},
    ),
    # every column passes through a star
    (
        "postgres",
        ["CREATE TEMP TABLE m AS SELECT * FROM t", "INSERT INTO o (x) SELECT b FROM m"],
        "t",
        {"o": {"x": "IDENTITY t.b"}},
    ),
    # columns known from the run's own definitions
    (
        "duckdb",
        ["CREATE TABLE IF NOT EXISTS t (a INTEGER, b VARCHAR)", "CREATE TABLE o AS SELECT * FROM t"],
        "t",
        {"o": {"a": "IDENTITY t.a", "b": "IDENTITY t.b"}},
    ),
    (
        "duckdb",
        ["CREATE TABLE o (x INTEGER, y INTEGER)", "INSERT INTO o SELECT a, b FROM t"],
        "t",
        {"o": {"x": "IDENTITY t.a", "y": "IDENTITY t.b"}},
    ),
    # rows changed are not rows filled: the table is still an input of who reads it
    ("postgres", ["UPDATE t SET a = 1", "INSERT INTO o SELECT a FROM t"], "t", {"t": {"a": ""}, "o": {"a": "IDENTITY t.a"}}),
    # names
    ("duckdb", ["USE s; CREATE TABLE o AS SELECT a FROM t"], "w.s.t", {"w.s.o": {"a": "IDENTITY w.s.t.a"}}),
    ("duckdb", ["USE o; SELECT * FROM t; USE w.x; SELECT * FROM t"], "other.main.t w.x.t", {}),
    ("duckdb", ["INSERT INTO o.t SELECT a FROM w.main.t"], "t", {"other.main.t": {"a": "IDENTITY t.a"}}),
    ("duckdb", ["SET search_path = 's,main'; SELECT * FROM t"], "w.s.t", {}),
    # placeholders
    ("postgres", ["INSERT INTO o (x) SELECT a FROM t WHERE b = %s AND c LIKE '%%x' AND d = ANY(%(ids)s) LIMIT %s"], "t", {"o": {"x": "IDENTITY t.a"}}),
    ("duckdb", ["INSERT INTO o (x) SELECT a % s FROM t WHERE b = ? AND c = $1"], "t", {"o": {"x": "TRANSFORMATION t.a, TRANSFORMATION t.s"}}),
]  # fmt: skip
