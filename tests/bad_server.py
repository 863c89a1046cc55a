"""A local HTTP server that misbehaves on request, and remembers what it was asked for."""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BLOCK = 1 << 14


@dataclass
class Asked:
    """A request, and how much of the file went out in answer."""

    path: str
    start: int | None
    headers: dict[str, str]
    status: int = 0
    sent: tuple[int, int] = (0, 0)


Behaviour = Callable[["Handler", bytes], None]


@dataclass
class Server:
    """Files by path; `plan` holds what the next requests meet, after which all is well."""

    files: dict[str, bytes] = field(default_factory=dict)
    plan: list[Behaviour] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    etags: bool = True
    url: str = ""

    def sent_twice(self) -> int:
        """Bytes of files that went out more than once."""
        parts = sorted(request.sent for request in self.asked)
        end, twice = 0, 0
        for start, stop in parts:
            twice += max(0, min(end, stop) - start)
            end = max(end, stop)
        return twice


class Handler(BaseHTTPRequestHandler):
    """Serves a file as it should be, with Range and If-Range; behaviours bend it."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self.state: Server = self.server.state
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(match[1]) if match else None
        self.request_seen = Asked(self.path, start, dict(self.headers))
        self.state.asked.append(self.request_seen)
        data = self.state.files.get(self.path)
        behaviour = self.state.plan.pop(0) if self.state.plan else good
        with suppress(OSError):  # the other side has gone
            if data is None:
                self.answer(404, b"", {})
            else:
                behaviour(self, data)
        self.close_connection = True

    def etag(self, data: bytes) -> str:
        return f'"{hashlib.sha256(data).hexdigest()[:16]}"'

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.request_seen.status = status
        self.send_response(status)
        length = {"Content-Length": str(len(body)), "Connection": "close"}
        for name, value in (length | headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def serve(
        self,
        data: bytes,
        *,
        stop: int | None = None,
        ranges: bool = True,
        headers: dict[str, str] | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """The file, or the part asked for; `stop` bytes of the file, and then `then`."""
        start, status = 0, 200
        marks = {"ETag": self.etag(data)} if self.state.etags else {}
        asked = self.request_seen.start
        condition = self.headers.get("If-Range")
        if ranges and asked is not None and condition in (None, marks.get("ETag")):
            if asked >= len(data):
                self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            start, status = asked, 206
            marks["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.request_seen.status = status
        self.send_response(status)
        length = {"Content-Length": str(len(data) - start)}
        for name, value in (length | marks | (headers or {})).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        end = len(data) if stop is None else min(stop, len(data))
        for position in range(start, end, BLOCK):
            piece = data[position : min(position + BLOCK, end)]
            self.wfile.write(piece)
            self.request_seen.sent = (start, position + len(piece))
        then()

    def log_message(self, *_: Any) -> None:
        pass


def good(handler: Handler, data: bytes) -> None:
    handler.serve(data)


def drops_after(count: int) -> Behaviour:
    """Closes the connection after so many bytes of the file."""
    return lambda handler, data: handler.serve(data, stop=count)


def drops_all(handler: Handler, data: bytes) -> None:
    """Hangs up without a word."""
    handler.close_connection = True


def resets_after(count: int) -> Behaviour:
    """Breaks the connection, which loses what is under way."""
    import socket
    import struct

    def behave(handler: Handler, data: bytes) -> None:
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.serve(data, stop=count)
        handler.connection.close()

    return behave


def stalls_after(count: int, seconds: float) -> Behaviour:
    return lambda handler, data: handler.serve(
        data, stop=count, then=lambda: (handler.wfile.flush(), time.sleep(seconds))[0]
    )


def ignores_range(handler: Handler, data: bytes) -> None:
    handler.serve(data, ranges=False)


def ignores_range_and_drops_after(count: int) -> Behaviour:
    return lambda handler, data: handler.serve(data, ranges=False, stop=count)


def claims_length(length: int) -> Behaviour:
    return lambda handler, data: handler.serve(data, headers={"Content-Length": str(length)})


def claims_range(content_range: str) -> Behaviour:
    return lambda handler, data: handler.serve(data, headers={"Content-Range": content_range})


def without_length(handler: Handler, data: bytes) -> None:
    handler.serve(data, headers={"Content-Length": "", "Connection": "close"})


def status(code: int, retry_after: str = "") -> Behaviour:
    return lambda handler, data: handler.answer(code, b"sorry", {"Retry-After": retry_after})


def redirects_to(url: str, code: int = 302) -> Behaviour:
    return lambda handler, data: handler.answer(code, b"", {"Location": url})


def talks_nonsense(handler: Handler, data: bytes) -> None:
    handler.wfile.write(b"220 mail.example.org ready\r\n")


def login_page(kind: str = "text/html") -> Behaviour:
    body = b"\n<!DOCTYPE html><title>Welcome to our hotel</title>"
    return lambda handler, data: handler.answer(200, body, {"Content-Type": kind})


def becomes(path: str, content: bytes, then: Behaviour = good) -> Behaviour:
    """The file is another one from now on."""

    def behave(handler: Handler, data: bytes) -> None:
        handler.state.files[path] = content
        then(handler, content)

    return behave


class running:  # noqa: N801 - used like a function
    """A server on a free port of this machine while the block lasts."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
            self.http.handle_error = lambda *_: None  # type: ignore[method-assign]
            scheme = "https"
        self.http.daemon_threads = True
        self.state = self.http.state = Server()  # type: ignore[attr-defined]
        self.state.url = f"{scheme}://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Server:
        self.thread.start()
        return self.state

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()
