"""The server behind the page: the standard library's, on this machine only.

    GET  /            the page and the few files beside it
    GET  /api/presets where one may start
    POST /api/look    everything that is shown of a request (`looking.look`)
    POST /api/export  certificate and `@example` (`exporting.export`)

Faults of a request come back as `{"faults": {field: sentence}}`, an answer like any other; so do mishaps, with status
500. Requests wait for each other: the precision of ball arithmetic is one setting for the whole process.
"""

from __future__ import annotations

import argparse
import json
import threading
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from distil_theory.explorer import exporting, looking, presets
from distil_theory.explorer.reading import Faults

PAGE = Path(__file__).with_name("page")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HOME = "127.0.0.1"
LARGEST = 256 * 1024
"""Bytes of a request."""
ANSWERS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "/api/look": looking.look,
    "/api/export": exporting.export,
}
POLICY = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'"
"""The browser refuses whatever is not of this page."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    turn = threading.Lock()

    def do_GET(self) -> None:
        """The page, its files, the presets."""
        name = "index.html" if self.path == "/" else self.path.removeprefix("/")
        if self._foreign():
            return
        if self.path == "/api/presets":
            with self.turn:
                self._json(HTTPStatus.OK, presets.catalogue())
        elif name in {file.name for file in PAGE.iterdir()}:
            self._send(HTTPStatus.OK, TYPES[Path(name).suffix], (PAGE / name).read_bytes())
        else:
            self._json(HTTPStatus.NOT_FOUND, {"faults": {"": f"there is no {self.path[:80]}"}})

    def do_POST(self) -> None:
        """A question about an instance."""
        if self._foreign():
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST:
            self.close_connection = True
            return self._json(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"faults": {"": "the request is too long"}})
        body = self.rfile.read(int(length))
        if self.path not in ANSWERS:
            return self._json(HTTPStatus.NOT_FOUND, {"faults": {"": f"there is no {self.path[:80]}"}})
        try:
            request = json.loads(body)
            if not isinstance(request, dict):
                raise ValueError("the request is no object")
            with self.turn:
                answer = json.dumps(ANSWERS[self.path](request), allow_nan=False).encode()
        except Faults as faults:
            return self._json(HTTPStatus.OK, {"faults": faults.found})
        except Exception as bad:  # the page must not lose what the user typed, whatever happened here
            said = f"the library refused: {type(bad).__name__}: {str(bad)[:400]}"
            return self._json(HTTPStatus.INTERNAL_SERVER_ERROR, {"faults": {"": said}})
        return self._send(HTTPStatus.OK, "application/json", answer)

    def _foreign(self) -> bool:
        """A page elsewhere that resolves its own name to this machine gets nothing."""
        host = self.headers.get("Host", "").rpartition(":")[0]
        if host in (HOME, "localhost"):
            return False
        self.close_connection = True
        self._json(HTTPStatus.FORBIDDEN, {"faults": {"": "this server answers to localhost only"}})
        return True

    def _json(self, status: HTTPStatus, answer: Any) -> None:
        self._send(status, "application/json", json.dumps(answer, allow_nan=False).encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the reader has left
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal quiet."""


def serve(port: int = 0) -> ThreadingHTTPServer:
    """A server on this machine, bound but not yet running; port 0: any that is free.

    Raises:
        OSError: the port is taken.
    """
    server = ThreadingHTTPServer((HOME, port), Handler)
    server.daemon_threads = True
    return server


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `explore`."""
    parser.add_argument("--port", type=int, default=0, help="where to listen (default: any free port)")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open nothing")


def main(options: argparse.Namespace) -> int:
    """Serve until interrupted."""
    try:
        server = serve(options.port)
    except (OSError, OverflowError) as bad:
        print(f"port {options.port} cannot be used: {bad}")
        return 2
    address = f"http://{HOME}:{server.server_address[1]}/"
    print(f"The explorer is at {address} (Ctrl-C ends it)", flush=True)
    if not options.no_browser:
        webbrowser.open(address)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0
