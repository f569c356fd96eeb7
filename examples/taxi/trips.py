"""A web server with a made-up city's taxi trips: a CSV file per colour and month, the same at every request."""

from __future__ import annotations

import argparse
import csv
import io
import random
import re
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILE = re.compile(r"/(yellow|green)_tripdata_(\d{4})-(\d{2})\.csv")
COLUMNS = ("pickup_at", "dropoff_at", "passenger_count", "zone", "distance", "fare")
ZONES = ("Harbour", "Old Town", "University", "Airport", "Hillside")
TRIPS = 500


def trips(color: str, year: int, month: int) -> str:
    """A month's trips as CSV; about one in twelve has no passengers."""
    chance = random.Random(f"{color} {year} {month}")
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for _ in range(TRIPS):
        begin = datetime(year, month, 1, tzinfo=UTC) + timedelta(minutes=chance.randrange(28 * 24 * 60))
        distance = round(chance.uniform(0.4, 30), 2)
        end = begin + timedelta(minutes=2 + 3 * distance)
        passengers, zone = chance.randrange(12) and chance.randint(1, 5), chance.choice(ZONES)
        rows.writerow(
            (f"{begin:%F %T}", f"{end:%F %T}", passengers, zone, distance, round(3 + 2 * distance, 2))
        )
    return text.getvalue()


class Trips(BaseHTTPRequestHandler):
    """Answers ``/{color}_tripdata_{year}-{month}.csv``."""

    def do_GET(self) -> None:
        """Send the month's file."""
        asked = FILE.fullmatch(self.path)
        if asked is None:
            self.send_error(404)
            return
        body = trips(asked[1], int(asked[2]), int(asked[3])).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def server(port: int) -> ThreadingHTTPServer:
    """The server, on this machine only; port 0 takes a free one."""
    return ThreadingHTTPServer(("127.0.0.1", port), Trips)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=8010)
    with server(arguments.parse_args().port) as running:
        print(f"trips at http://127.0.0.1:{running.server_port}/yellow_tripdata_2021-01.csv")
        running.serve_forever()
