"""google-cloud-bigquery against a local service that speaks its REST API: jobs, queries without jobs, loads, rows."""

from __future__ import annotations

import io
import json
import re

import pytest
from bridge_tests.loopback import Handler, serving

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.describe import describe

bigquery = pytest.importorskip("google.cloud.bigquery")

SCHEMA = {"fields": [{"name": "n", "type": "INTEGER", "mode": "NULLABLE"}]}
ROWS = {"schema": SCHEMA, "rows": [{"f": [{"v": "1"}]}], "totalRows": "1"}


class Service(Handler):
    """Jobs run until they are looked at ``server.looks`` times; one that mentions ``missing`` then fails."""

    def do_POST(self) -> None:
        body = self.body()
        if "multipart" in self.headers.get("Content-Type", ""):
            body = re.search(rb"\{.*?\}\s*(?=--)", body, re.DOTALL)[0]
        sent = json.loads(body)
        if self.path.split("?")[0].endswith("/queries"):
            self.query(sent)
        elif "/insertAll" in self.path:
            bad = [{"index": 0, "errors": [{"reason": "invalid"}]}] if "bad" in self.path else []
            self.reply({"insertErrors": bad} if bad else {})
        else:
            job = sent["jobReference"]["jobId"]
            self.server.jobs[job] = [sent, 0]
            self.reply(self.job(job))

    def do_GET(self) -> None:
        path, _, _ = self.path.partition("?")
        last = path.rsplit("/", 1)[1]
        if path.endswith("/data"):
            self.reply(ROWS)
        elif "/queries/" in path:
            self.reply({**ROWS, "jobComplete": True, "jobReference": self.reference(last)})
        elif "/jobs/" in path:
            self.server.jobs[last][1] += 1
            self.reply(self.job(last))
        elif path.endswith("/jobs"):
            self.reply({"jobs": [self.job(each) for each in self.server.jobs]})
        else:
            table = {"projectId": "acme", "datasetId": "shop", "tableId": last}
            self.reply({"tableReference": table, "schema": SCHEMA})

    def query(self, sent: dict) -> None:
        if "missing" in sent["query"]:
            self.reply({"error": {"message": "no such table", "errors": [{"reason": "notFound"}]}}, 404)
        elif self.server.looks:
            self.server.jobs["made"] = [{"configuration": {"query": sent, "jobType": "QUERY"}}, 0]
            self.reply({"jobComplete": False, "jobReference": self.reference("made")})
        else:
            self.server.jobs["quick"] = [{"configuration": {"query": sent}}, 0]
            job = {} if "jobCreationMode" in sent else {"jobReference": self.reference("quick")}
            self.reply({**ROWS, **job, "jobComplete": True, "queryId": "q7"})

    def reference(self, job: str) -> dict:
        return {"projectId": "acme", "jobId": job, "location": "EU"}

    def job(self, name: str) -> dict:
        sent, looks = self.server.jobs[name]
        done = looks >= self.server.looks
        failed = done and "missing" in json.dumps(sent)
        error = {"errorResult": {"reason": "notFound", "message": "no such table"}} if failed else {}
        configuration = json.loads(json.dumps(sent["configuration"]))
        kind = next(key for key in ("query", "load", "copy", "extract") if key in configuration)
        if kind == "query":
            anonymous = {"projectId": "acme", "datasetId": "_0a", "tableId": "anon"}
            configuration["query"].setdefault("destinationTable", anonymous)
        return {
            "jobReference": self.reference(name),
            "configuration": {**configuration, "jobType": kind.upper()},
            "statistics": {"load": {"outputRows": "3", "outputBytes": "30"}} if kind == "load" else {},
            "status": {"state": "DONE" if done else "RUNNING", **error},
        }


@pytest.fixture
def service():
    with serving(Service, jobs={}, looks=0) as server:
        yield server


@pytest.fixture
def client(service, host):
    """A client of the service, inside the run ``r``."""
    drivers.install()
    from google.auth.credentials import AnonymousCredentials

    endpoint = {"api_endpoint": f"http://127.0.0.1:{service.server_port}"}
    made = bigquery.Client("acme", credentials=AnonymousCredentials(), client_options=endpoint)
    with host.running("r"):
        yield made
    made.close()


def names(datasets) -> list[tuple[str, str]]:
    return [(each.namespace, each.name) for each in datasets]


def lineage() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    description = describe(recorder.peek("r"))
    assert "extractionError" not in description.run_facets
    return names(description.inputs), names(description.outputs)


def test_a_query_job_counts_when_its_result_is_there(client, service, recorded):
    service.looks = 1
    job = client.query("INSERT INTO shop.copies SELECT n FROM shop.orders")
    assert [] == recorded()
    job.result()
    assert ["INSERT INTO shop.copies SELECT n FROM shop.orders"] == recorded()
    job.result()
    assert f"acme:EU.{job.job_id}" == recorder.peek("r").statements[0].query_id
    assert ([("bigquery", "acme.shop.orders")], [("bigquery", "acme.shop.copies")]) == lineage()
    facet = describe(recorder.peek("r")).run_facets["externalQuery"]
    assert (f"acme:EU.{job.job_id}", "bigquery") == (facet.externalQueryId, facet.source)


def test_a_job_that_fails_or_is_not_asked_after_does_not_count(client, service, recorded):
    service.looks = 1
    client.query("SELECT n FROM shop.orders")
    job = client.query("SELECT n FROM shop.missing")
    with pytest.raises(Exception, match="no such table"):
        job.result(job_retry=None)
    with pytest.raises(Exception, match="no such table"):
        client.query_and_wait("SELECT n FROM missing.t", job_retry=None)
    assert [] == recorded()


def test_a_job_belongs_to_the_run_that_started_it_whichever_object_learns_of_its_end(
    client, service, host, recorded
):
    service.looks = 1
    job = client.query("SELECT n FROM shop.orders")
    with host.running("another"):
        assert client.get_job(job.job_id, location="EU").done()
        assert job.done()
    assert ["SELECT n FROM shop.orders"] == recorded()
    assert () == recorder.peek("another").statements


def test_jobs_of_others_that_are_looked_at_do_not_count(client, service, recorded):
    reference = {"jobReference": {"jobId": "theirs"}}
    service.jobs["theirs"] = [{**reference, "configuration": {"query": {"query": "SELECT 1 FROM s.t"}}}, 0]
    assert "theirs" == next(iter(client.list_jobs())).job_id
    client.get_job("theirs").result()
    assert [] == recorded()


@pytest.mark.parametrize("looks", [0, 1])
def test_a_query_that_is_waited_for_counts_once_with_or_without_a_job(client, service, looks, recorded):
    service.looks = looks
    assert [1] == [row.n for row in client.query_and_wait("SELECT n FROM shop.orders")]
    assert ["SELECT n FROM shop.orders"] == recorded()
    assert recorder.peek("r").statements[0].query_id.startswith("acme")


@pytest.mark.parametrize("method", ["QUERY", "INSERT"])
def test_arrow_tables_and_the_dbapi_count_too(client, service, method):
    pytest.importorskip("pandas")
    from google.cloud.bigquery import dbapi

    client.query("SELECT n FROM shop.orders", api_method=method).to_arrow(create_bqstorage_client=False)
    cursor = dbapi.connect(client, prefer_bqstorage_client=False).cursor()
    cursor.execute("SELECT n FROM shop.customers WHERE n > %(n)s", {"n": 7})
    assert [(1,)] == [tuple(row) for row in cursor.fetchall()]
    assert [("bigquery", "acme.shop.orders"), ("bigquery", "acme.shop.customers")] == lineage()[0]


def test_the_default_dataset_qualifies_names(client):
    config = bigquery.QueryJobConfig(default_dataset="other.raw")
    client.query("SELECT n FROM orders", job_config=config).result()
    client.query_and_wait("SELECT n FROM customers", job_config=config)
    assert [("bigquery", "other.raw.orders"), ("bigquery", "other.raw.customers")] == lineage()[0]


def test_the_table_that_a_result_goes_to_is_written(client):
    config = bigquery.QueryJobConfig(
        destination="acme.marts.totals$20260101", write_disposition="WRITE_TRUNCATE"
    )
    client.query("WITH o AS (SELECT n FROM shop.orders) SELECT n FROM o -- all", job_config=config).result()
    assert ([("bigquery", "acme.shop.orders")], [("bigquery", "acme.marts.totals")]) == lineage()
    facets = describe(recorder.peek("r")).outputs[0].facets
    assert ["n"] == list(facets["columnLineage"].fields)


def test_a_dry_run_does_nothing(client, recorded):
    config = bigquery.QueryJobConfig(dry_run=True)
    client.query("SELECT n FROM shop.orders", job_config=config)
    client.query_and_wait("SELECT n FROM shop.orders", job_config=config)
    assert [] == recorded()


def test_load_copy_and_extract_jobs_are_lineage_without_sql(client, service):
    service.looks = 1
    load = client.load_table_from_uri(["gs://lake/day.csv"], "acme.raw.days")
    assert not recorder.peek("r")
    load.result()
    client.copy_table("acme.raw.weeks", "acme.raw.copy").result()
    client.extract_table("acme.raw.years", "gs://out/years.csv").result()
    recording = recorder.peek("r")
    assert {("gs://lake", "day.csv"), ("bigquery", "acme.raw.weeks"), ("bigquery", "acme.raw.years")} == set(
        names(recording.reads)
    )
    assert {("bigquery", "acme.raw.days"), ("bigquery", "acme.raw.copy"), ("gs://out", "years.csv")} == set(
        names(recording.writes)
    )
    assert {"rowCount": 3, "size": 30} == recording.writes[0].facets["outputStatistics"]


def test_a_load_that_fails_wrote_nothing(client):
    with pytest.raises(Exception, match="no such table"):
        client.load_table_from_uri("gs://lake/missing.csv", "acme.raw.days").result()
    assert not recorder.peek("r")


def test_what_is_uploaded_is_written_and_a_local_file_read(client, tmp_path):
    path = tmp_path / "days.csv"
    path.write_text("n\n1\n")
    config = bigquery.LoadJobConfig(source_format="CSV", write_disposition="WRITE_TRUNCATE")
    with path.open("rb") as file:
        client.load_table_from_file(file, "acme.raw.days", size=4, job_config=config).result()
    client.load_table_from_file(io.BytesIO(b"n\n1\n"), "acme.raw.other", size=4).result()
    client.load_table_from_json([{"n": 1}], "acme.raw.json").result()
    recording = recorder.peek("r")
    assert [("file", str(path))] == names(recording.reads)
    assert ["acme.raw.days", "acme.raw.other", "acme.raw.json"] == [each.name for each in recording.writes]
    assert {"lifecycleStateChange": "OVERWRITE"} == recording.writes[0].facets["lifecycleStateChange"]


@pytest.mark.filterwarnings("ignore:Loading pandas DataFrame:FutureWarning")
def test_a_data_frame_is_written_and_no_temporary_file_read(client):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    client.load_table_from_dataframe(pandas.DataFrame({"n": [1]}), "acme.raw.frame").result()
    recording = recorder.take("r")
    assert ([], ["acme.raw.frame"]) == (names(recording.reads), [each.name for each in recording.writes])


def test_inserted_and_listed_rows_count(client):
    assert [] == client.insert_rows_json("acme.raw.stream", [{"n": 1}], row_ids=[1])
    assert [] != client.insert_rows_json("acme.raw.bad", [{"n": "x"}], row_ids=[1])
    table = client.get_table("acme.shop.rows")
    client.insert_rows(table, [(1,)])
    assert [1] == [row.n for row in client.list_rows(table)]
    recording = recorder.peek("r")
    # The rows that are listed are those that the run inserted.
    assert ["acme.raw.stream", "acme.shop.rows"] == [each.name for each in recording.writes]
    assert [] == [each.name for each in recording.reads]


def test_listed_rows_are_read(client):
    assert [1] == [row.n for row in client.list_rows(client.get_table("acme.shop.rows"))]
    assert ["acme.shop.rows"] == [each.name for each in recorder.peek("r").reads]


@pytest.mark.filterwarnings("ignore:Cannot create BigQuery Storage client")
def test_sqlalchemy_on_it_counts_each_statement_once(client, recorded):
    pytest.importorskip("sqlalchemy_bigquery")
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine(
        "bigquery://acme/shop?user_supplied_client=True", connect_args={"client": client}
    )
    with engine.connect() as opened:
        opened.execute(sqlalchemy.text("INSERT INTO shop.copies SELECT n FROM shop.orders"))
    engine.dispose()
    assert 1 == sum("copies" in each for each in recorded())
    assert ([("bigquery", "acme.shop.orders")], [("bigquery", "acme.shop.copies")]) == lineage()
