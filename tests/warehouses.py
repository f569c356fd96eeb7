"""Warehouses of our own, on loopback: as much of BigQuery's and Snowflake's protocols as a statement needs."""

from __future__ import annotations

import gzip
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar


class _Service(BaseHTTPRequestHandler):
    """Reads and answers JSON, on connections that stay open."""

    protocol_version = "HTTP/1.1"

    def sent(self) -> Any:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        return json.loads(body) if body.startswith(b"{") else {}

    def reply(self, answer: Any) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class BigQuery(_Service):
    """Gives everyone a token; every query is done at once and has one row. Set ``BIGQUERY_EMULATOR_HOST`` to it."""

    rows: ClassVar[dict[str, Any]] = {
        "schema": {"fields": [{"name": "n", "type": "INTEGER", "mode": "NULLABLE"}]},
        "rows": [{"f": [{"v": "1"}]}],
        "totalRows": "1",
        "jobComplete": True,
    }
    job: ClassVar[dict[str, str]] = {"projectId": "acme", "jobId": "made", "location": "EU"}

    def do_POST(self) -> None:
        sent = self.sent()
        if self.path.startswith("/token"):
            self.reply({"access_token": "t", "expires_in": 3600, "token_type": "Bearer"})
        elif self.path.partition("?")[0].endswith("/queries"):
            self.reply({**self.rows, "jobReference": self.job, "queryId": "made"})
        else:
            self.reply(self._done(sent.get("configuration", {})))

    def do_GET(self) -> None:
        done = self._done({"query": {"query": "SELECT 1"}})
        self.reply(done if "/jobs/" in self.path else {**self.rows, "jobReference": self.job})

    def _done(self, configuration: dict[str, Any]) -> dict[str, Any]:
        table = {"projectId": "acme", "datasetId": "_0a", "tableId": "anon"}
        query = {"destinationTable": table, **configuration.get("query", {})}
        return {
            "jobReference": self.job,
            "configuration": {"jobType": "QUERY", "query": query},
            "statistics": {},
            "status": {"state": "DONE"},
        }


class Snowflake(_Service):
    """Lets everyone into ``SHOP.RAW``; every statement is done at once and has one row, also when it is asked for later."""

    place: ClassVar[dict[str, str]] = {
        "databaseName": "SHOP",
        "schemaName": "RAW",
        "warehouseName": "W",
        "roleName": "R",
    }
    column: ClassVar[dict[str, Any]] = {
        "name": "N",
        "type": "text",
        "nullable": True,
        "length": 9,
        "byteLength": 9,
        "precision": None,
        "scale": None,
    }

    def do_POST(self) -> None:
        self.sent()
        if "login-request" in self.path:
            session = {"token": "t", "masterToken": "m", "sessionId": 7, "parameters": []}
            self._succeed({**session, "sessionInfo": self.place})
        elif "query-request" in self.path:
            self._succeed(self._rows(str(uuid.uuid4())))
        else:
            self._succeed({})

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if "monitoring" in path:
            self._succeed({"queries": [{"status": "SUCCESS"}]})
        else:
            self._succeed(self._rows(path.split("/")[2]))

    def _rows(self, query_id: str) -> dict[str, Any]:
        place = {"finalDatabaseName": "SHOP", "finalSchemaName": "RAW"}
        rows = {"rowtype": [self.column], "rowset": [["1"]], "total": 1, "returned": 1}
        return {"queryId": query_id, "queryResultFormat": "json", "parameters": [], **place, **rows}

    def _succeed(self, data: dict[str, Any]) -> None:
        self.reply({"data": data, "success": True, "code": None, "message": None})


@contextmanager
def running(service: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """The port of a service, gone when the block is left."""
    with ThreadingHTTPServer(("127.0.0.1", 0), service) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(10)
