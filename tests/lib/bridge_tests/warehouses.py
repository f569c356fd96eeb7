"""Warehouses of our own, on loopback: as much of BigQuery's and Snowflake's protocols as a statement needs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

from bridge_tests.loopback import Handler, serving


class _Service(Handler):
    """Reads and answers JSON."""

    def sent(self) -> Any:
        body = self.body()
        return json.loads(body) if body.startswith(b"{") else {}


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
    with serving(service) as server:
        yield server.server_port
