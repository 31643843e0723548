"""An S3 server on this machine (moto, a process that dies with the tests), and a proxy before it that makes faults.

The proxy counts requests by what they do, and answers each as a function says: let it pass, refuse it, delay it, lose
the answer after it was carried out, or kill a process before or after it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

START = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it dies with the tests, however they end
if os.getppid() != {parent}:
    sys.exit(1)
from moto.server import main
main(["-p", "{port}"])
"""
SECRET = "never-to-be-written-anywhere-4711"
BUCKET = "bucket"
SLOW_DOWN = (503, "SlowDown", "Please reduce your request rate.")
ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
# "pass", "lost", "drop", "half", ("answer", status, code, message, header...), ("wait", s), ("kill", pid, when)
Action = str | tuple[object, ...]


@functools.lru_cache(maxsize=1)
def server() -> int:
    """The port of the server, started once per test process."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    code = START.format(parent=os.getpid(), port=port)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(process.kill)
    until = time.monotonic() + 60
    while True:
        assert process.poll() is None, "moto_server ended: pip install 'moto[server]'"
        assert time.monotonic() < until
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return port
        time.sleep(0.05)


def make_bucket(name: str = BUCKET) -> None:
    """A bucket, empty."""
    request = urllib.request.Request(f"http://127.0.0.1:{server()}/{name}", method="PUT")
    with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def environment(endpoint: str, **more: str) -> dict[str, str]:
    """What a user sets."""
    return {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1", **more,
    }  # fmt: skip


@dataclass
class Request:
    """One request as the proxy sees it."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    at: float = 0.0

    @property
    def key(self) -> str:
        """The object, without the bucket."""
        return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

    @property
    def kind(self) -> str:
        """`create` (a conditional put), `put`, `copy`, `get`, `range`, `head`, `list`, `delete`, `pieces`."""
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if self.method == "GET":
            ranged = "range" in self.headers
            return "list" if "list-type" in query else "range" if ranged else "get"
        if self.method == "POST":
            return "delete" if "delete" in query else "pieces"
        if self.method == "PUT":
            if "x-amz-copy-source" in self.headers:
                return "copy"
            return "pieces" if "partNumber" in query else "create" if "if-none-match" in self.headers else "put"
        return self.method.lower()


@dataclass
class Proxy:
    """A server that passes requests on, as `act` says."""

    port: int = 0
    act: Callable[[Request], Action] = lambda request: "pass"
    seen: list[Request] = field(default_factory=list)
    acted: list[tuple[Request, Action]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def counts(self) -> Counter[str]:
        """Requests by kind."""
        return Counter(r.kind for r in self.seen)

    def clear(self) -> None:
        """Forget what was seen; let everything pass."""
        with self.lock:
            self.seen, self.acted, self.act = [], [], lambda request: "pass"

    def note(self, method: str, path: str, headers: dict[str, str]) -> tuple[Request, Action]:
        """A request that came, and what is to be done."""
        with self.lock:
            request = Request(len(self.seen) + 1, method, path, headers, time.monotonic())
            self.seen.append(request)
            action = self.act(request)
            if action != "pass":
                self.acted.append((request, action))
            return request, action


class Handler(BaseHTTPRequestHandler):
    """Passes a request on."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm, wbufsize = True, -1  # an answer goes out at once and whole
    proxy: Proxy
    backend: http.client.HTTPConnection | None = None

    def log_message(self, *args: object) -> None:
        """Silent."""

    def handle_one_request(self) -> None:
        """As always; whoever was killed in the middle is no error."""
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        _, action = self.proxy.note(self.command, self.path, headers)
        name, *rest = action if isinstance(action, tuple) else (action,)
        if name == "wait":
            time.sleep(float(str(rest[0])))
        if name == "drop" or (name == "kill" and rest[1] == "before" and self._kill(rest[0])):
            self.close_connection = True
            return
        if name == "answer":
            self._refuse(*rest)
            return
        status, told, data = self._ask(body)
        if name == "lost" or (name == "kill" and self._kill(rest[0])):
            self.close_connection = True
            return
        self.send_response(status)
        for key, value in told:
            if key.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                self.send_header(key, value)
        length = next((v for k, v in told if k.lower() == "content-length"), str(len(data)))
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if name == "half" else data)
        if name == "half":
            self.close_connection = True

    def _kill(self, pid: object) -> bool:
        os.kill(int(str(pid)), signal.SIGKILL)
        return True

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
        for last in (False, True):
            try:
                self.backend = self.backend or http.client.HTTPConnection("127.0.0.1", server(), timeout=60)
                self.backend.request(self.command, self.path, body=body, headers=headers)
                answer = self.backend.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            except (http.client.HTTPException, OSError):
                self.backend = None
                if last:
                    raise
        raise AssertionError

    def _refuse(self, status: object, code: object, message: object, *headers: object) -> None:
        data = ERROR.format(code=code, message=message).encode()
        self.send_response(int(str(status)))
        for pair in headers:
            self.send_header(*str(pair).split(": ", 1))
        self.send_header("Content-Length", str(0 if self.command == "HEAD" else len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815 - as http.server asks for them


@contextlib.contextmanager
def proxied() -> Iterator[Proxy]:
    """A proxy before the server, in threads of this process."""
    server()
    proxy = Proxy()
    handler = type("Bound", (Handler,), {"proxy": proxy})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        http_server.daemon_threads = True
        proxy.port = http_server.server_port
        thread = threading.Thread(target=functools.partial(http_server.serve_forever, poll_interval=0.05), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            http_server.shutdown()
