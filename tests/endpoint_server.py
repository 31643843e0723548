"""A model behind an OpenAI-compatible address, as a process of its own: deterministic answers, faults as ordered.

`python endpoint_server.py --log FILE --faults JSON` prints its port. A fault is {"kind", "when": a piece of the last
message, "times": how often (-1: always), "seconds", "retry_after", "status", "text"}. Every request is a line of the
log: {"digest", "kind", "prompt", "authorization", "done"}; `done` is true once the whole answer was handed over.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOCK = threading.Lock()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def drawn(text: str, salt: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{salt}\n{text}".encode(), digest_size=6).digest(), "big")


def value_of(schema: dict[str, Any], text: str, name: str) -> Any:
    """A value that fits, drawn from the prompt."""
    number, kind = drawn(text, name), schema.get("type")
    if name == "grade":  # what is known of a document, so that something can learn it
        return 4 - number % 2 if "photosynthesis" in text else number % 3
    kind = kind[0] if isinstance(kind, list) else kind
    if "enum" in schema:
        return schema["enum"][number % len(schema["enum"])]
    if kind == "boolean":
        return number % 2 == 0
    if kind == "integer":
        low = schema.get("minimum", 0)
        return low + number % (schema.get("maximum", 9) - low + 1)
    return number % 1000 / 1000 if kind == "number" else f"word{number % 7}"


def rewritten(prompt: str) -> str:
    """What is said of the text between <text> and </text>: its sentences in plain words."""
    text = prompt.rpartition("<text>")[2].partition("</text>")[0].strip()
    return re.sub(r"\b(utilise|utilize)\b", "use", text)


def answer_to(body: dict[str, Any]) -> str:
    prompt = next(m["content"] for m in body["messages"] if m["role"] == "user")
    wanted = body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("properties")
    if "PREFER" in prompt:  # the better of two: the one with more letters q
        one, two = (prompt.partition(mark)[2].partition(stop)[0] for mark, stop in (("[A]", "[/A]"), ("[B]", "[/B]")))
        return json.dumps({"better": "A" if one.count("q") >= two.count("q") else "B"})
    if wanted:
        return json.dumps({name: value_of(schema, prompt, name) for name, schema in wanted.items()})
    return rewritten(prompt)


def handler(log: Path, faults: list[dict[str, Any]], think_s: float) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            last = body["messages"][-1]["content"]
            fault = self.fault(last)
            digest = hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=8).hexdigest()
            line = {"digest": digest, "kind": fault["kind"], "prompt": last[-300:], "path": self.path,
                    "authorization": bool(self.headers.get("Authorization")), "at": time.time()}  # fmt: skip
            write(log, {**line, "done": False})
            time.sleep(think_s)
            with contextlib.suppress(OSError):
                self.play(fault, body)
                write(log, {**line, "done": True})

        def fault(self, prompt: str) -> dict[str, Any]:
            with LOCK:
                for one in faults:
                    if one.get("when", "") in prompt and one.get("times", -1) != 0:
                        one["times"] = one.get("times", -1) - (one.get("times", -1) > 0)
                        return one
            return {"kind": "ok"}

        def play(self, fault: dict[str, Any], body: dict[str, Any]) -> None:
            kind, text = fault["kind"], answer_to(body)
            seconds = fault.get("seconds", 1.0)
            if kind == "status":
                said = fault.get("text", "no").replace("KEY", self.headers.get("Authorization", "")[7:])
                more = {
                    k: fault[v] for k, v in (("Retry-After", "retry_after"), ("Location", "location")) if v in fault
                }
                self.reply(fault["status"], said.encode(), more)
            elif kind == "garbage":
                self.reply(200, b"<html>\x00\xff not json")
            elif kind == "half":
                self.reply(200, packed(text, body)[:-20], length=len(packed(text, body)))
                self.close_connection = True
            elif kind == "hang":
                time.sleep(seconds)
                self.close_connection = True
            elif kind == "drip":
                self.drip(packed(text, body), seconds)
            elif kind == "huge":
                self.reply(200, packed("x" * fault.get("bytes", 20 << 20), body))
            elif kind == "text":
                said = fault["text"].replace("KEY", self.headers.get("Authorization", "")[7:])
                self.reply(200, packed(said, body, usage=fault.get("usage", True), ended=fault.get("ended", "stop")))
            else:
                time.sleep(seconds if kind == "slow" else 0)
                self.reply(200, packed(text, body))

        def drip(self, data: bytes, seconds: float) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            for n in range(len(data)):
                self.wfile.write(data[n : n + 1])
                self.wfile.flush()
                time.sleep(seconds)

        def reply(self, status: int, data: bytes, more: dict[str, str] | None = None, length: int = -1) -> None:
            self.send_response(status)
            for name, value in (more or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data) if length < 0 else length))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        def log_message(self, *args: object) -> None:
            pass

    return Handler


def packed(text: str, body: dict[str, Any], usage: bool = True, ended: str = "stop") -> bytes:
    size = sum(len(m["content"]) for m in body["messages"])
    out = {
        "model": body["model"],
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": ended}],
    }
    if usage:
        out["usage"] = {"prompt_tokens": size // 4, "completion_tokens": len(text) // 4}
    return json.dumps(out).encode()


def write(log: Path, line: dict[str, Any]) -> None:
    with LOCK, log.open("a") as file:
        file.write(json.dumps(line) + "\n")


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--log", type=Path, required=True)
    options.add_argument("--faults", default="[]")
    options.add_argument("--think", type=float, default=0.0)
    options.add_argument("--port", type=int, default=0)
    given = options.parse_args()
    server = Server(("127.0.0.1", given.port), handler(given.log, json.loads(given.faults), given.think))
    print(server.server_address[1], flush=True)
    server.serve_forever()


class Endpoint:
    """A running server, for tests."""

    def __init__(self, port: int, log: Path) -> None:
        self.port, self.log = port, log
        self.url = f"http://127.0.0.1:{port}/v1"

    def lines(self, *, done: bool = True, settled: bool = True) -> list[dict[str, Any]]:
        """Requests of which the answer was handed over, or all that came.

        The server writes its line after the answer has gone out: `settled` waits a little for lines that are due.
        """
        until = time.monotonic() + 2.0
        while True:
            text = self.log.read_text() if self.log.exists() else ""
            lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
            found = [line for line in lines if line["done"] is done]
            if not settled or 2 * sum(line["done"] for line in lines) == len(lines) or time.monotonic() > until:
                return found
            time.sleep(0.02)


@contextlib.contextmanager
def endpoint(
    folder: Path, faults: Sequence[dict[str, Any]] = (), think_s: float = 0.0, port: int = 0
) -> Iterator[Endpoint]:
    """A server process that ends with the block."""
    log = folder / "endpoint.log"
    command = [sys.executable, __file__, "--log", str(log), "--faults", json.dumps(list(faults)), "--think", str(think_s),
               "--port", str(port)]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Endpoint(int(process.stdout.readline()), log)
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


if __name__ == "__main__":
    main()
