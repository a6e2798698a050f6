"""A page for the experimenter's browser: served to this machine alone, read only, made of one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Lock
from typing import Any, Final

from compression.errors import CompressionError
from racer.errors import ConfigError, RacerError
from racer.study.file import Study, load_study
from racer.watch.snapshot import take_snapshot
from sessions.errors import RecordingError

LOOPBACK: Final = "127.0.0.1"
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"
)


class WatchServer(ThreadingHTTPServer):
    """Answers `/` with the page and `/state.json` with a snapshot; nothing else, and nobody on another machine.

    Args:
        study: What to look at; its file is read again for every look.
        port: To listen on; a free one if 0.
        now: The time, with its zone.

    Raises:
        ConfigError: If the port is taken or may not be used.
    """

    daemon_threads = True

    def __init__(self, study: Study, port: int = 0, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._study = study
        self._now = now
        self._one_at_a_time = Lock()
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"cannot listen on port {port}: {reason}; choose another one with --port") from error

    @property
    def address(self) -> str:
        """Address of the page, for a browser."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def state(self) -> dict[str, Any]:
        """Return a snapshot, or under `error` the line that says why there is none."""
        with self._one_at_a_time:
            try:
                return asdict(take_snapshot(load_study(self._study.path), self._now()))
            except (RacerError, RecordingError, CompressionError) as error:
                return {"error": str(error)}

    def knows(self, host: str) -> bool:
        """Return whether a request is meant for this server: a page from elsewhere must not read it by a name of its
        own for this address."""
        return host in (f"{LOOPBACK}:{self.server_port}", f"localhost:{self.server_port}")


class _Handler(BaseHTTPRequestHandler):
    server: WatchServer

    def do_GET(self) -> None:
        """Answer one request."""
        if not self.server.knows(self.headers.get("Host", "")):
            self.send_error(403)
        elif self.path == "/":
            self._send((files("racer.watch") / "page.html").read_bytes(), "text/html; charset=utf-8")
        elif self.path == "/state.json":
            self._send(json.dumps(self.server.state()).encode(), "application/json")
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal has the address on it."""

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)
