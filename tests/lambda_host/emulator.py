"""Lambda's runtime API, and the program under test as its one execution environment.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from o2i.collector import REPOSITORY

START_SECONDS_MAX = 60
FUNCTION = "otlp"
MEGABYTE = 1 << 20

_running: set[subprocess.Popen] = set()


@atexit.register
def _kill_what_is_left() -> None:
    for process in list(_running):
        process.kill()
        process.wait()


def binary() -> Path:
    """The program to test: `O2I_LAMBDA`, by default `dist/lambda/bootstrap`."""
    path = Path(os.environ.get("O2I_LAMBDA", REPOSITORY / "dist" / "lambda" / "bootstrap"))
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"missing: {path} (make lambda)")
    return path.resolve()


class Failed(Exception):
    """The invocation ended with an error: `errorType: errorMessage`."""


class Ended(Exception):
    """The program exited by itself; the message is the end of its log."""


@dataclass
class _Invocation:
    event: bytes
    seconds: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    done: threading.Event = field(default_factory=threading.Event)
    result: bytes | None = None
    error: dict | None = None


class Lambda:
    """One execution environment: a process that asks for events and answers them one at a time.

    `settings` are its OTLP2ICEBERG_* and AWS variables. It does not inherit this machine's AWS settings.
    """

    def __init__(self, folder: Path, settings: dict[str, str], *, program: Path | None = None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.log_path = self.folder / "lambda.log"
        self.process: subprocess.Popen | None = None
        # The time from the start of the process to its first request for an event.
        self.init_seconds: float | None = None
        self._program = program
        self._events: queue.Queue[_Invocation] = queue.Queue()
        self._open: dict[str, _Invocation] = {}
        self._asked = threading.Event()
        self._begun = 0.0
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Lambda:
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self) -> Lambda:
        """Starts it and waits until it asks for its first event."""
        self.spawn()
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._asked.wait(0.02):
            if self.process.poll() is not None:
                raise Ended(self.log()[-3000:])
            assert time.monotonic() < deadline, f"no event was asked for in {START_SECONDS_MAX} s\n{self.log()[-3000:]}"
        return self

    def spawn(self) -> None:
        """Starts it without waiting."""
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": FUNCTION,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{FUNCTION}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
            "AWS_EC2_METADATA_DISABLED": "true",
            # The program must work with backtraces, which a user may enable.
            "RUST_BACKTRACE": "1",
            **self.settings,
        }
        self._asked.clear()
        with self.log_path.open("ab") as log:
            self._begun = time.monotonic()
            self.process = subprocess.Popen(
                [self._program or binary()],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        _running.add(self.process)

    def run_to_end(self) -> tuple[int, str]:
        """For settings that must fail: returns the exit code and the output."""
        self.spawn()
        code = self.process.wait(START_SECONDS_MAX)
        self.stop()
        return code, self.log()

    def stop(self) -> None:
        """Ends it as Lambda ends an environment: without notice."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            _running.discard(self.process)
            self.process = None
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def invoke(self, event, seconds: float = 60.0):
        """Sends one event and waits for the result. `seconds` is the function's timeout."""
        invocation = self.begin(event, seconds)
        return self.result(invocation)

    def begin(self, event, seconds: float = 60.0) -> _Invocation:
        """Sends one event without waiting."""
        invocation = _Invocation(event if isinstance(event, bytes) else json.dumps(event).encode(), seconds)
        self._events.put(invocation)
        return invocation

    def result(self, invocation: _Invocation, slack_seconds: float = 20.0):
        """The result of the invocation. Raises `Failed` if that is an error."""
        deadline = time.monotonic() + invocation.seconds + slack_seconds
        while not invocation.done.wait(0.05):
            if self.process.poll() is not None:
                raise Ended(self.log()[-3000:])
            assert time.monotonic() < deadline, f"no answer in {invocation.seconds + slack_seconds} s\n{self.log()[-3000:]}"
        if invocation.error is not None:
            raise Failed(f"{invocation.error['errorType']}: {invocation.error['errorMessage']}")
        return json.loads(invocation.result)

    def log(self) -> str:
        """Its output so far."""
        return self.log_path.read_text(errors="replace")

    def log_lines(self) -> list[dict]:
        """The same, each line a JSON object."""
        return [json.loads(line) for line in self.log().splitlines()]

    def errors(self) -> list[dict]:
        """The lines that tell of an error, without those for CloudWatch."""
        return [line for line in self.log_lines() if line.get("level") == "ERROR" and "_aws" not in line]

    def metrics(self, name: str) -> list[float]:
        """The values of a count in its lines for CloudWatch, which makes metrics of some of them."""
        lines = [line for line in self.log_lines() if "_aws" in line]
        for line in lines:
            [directive] = line["_aws"]["CloudWatchMetrics"]
            assert all(metric["Name"] in line for metric in directive["Metrics"]), line
            assert all(dimension in line for dimension in directive["Dimensions"][0]), line
        return [line[name] for line in lines]

    def peak_memory_bytes(self) -> int:
        """Its peak resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    # The methods below are called by the server's threads.

    def next(self) -> _Invocation | None:
        """The next event, or None when there will be no more."""
        if self.init_seconds is None:
            self.init_seconds = time.monotonic() - self._begun
        self._asked.set()
        server = self._server
        while self._server is server:
            try:
                invocation = self._events.get(timeout=0.1)
            except queue.Empty:
                continue
            self._open[invocation.id] = invocation
            return invocation
        return None

    def answered(self, request_id: str, result: bytes | None, error: dict | None) -> None:
        """Records the outcome of an event."""
        invocation = self._open.pop(request_id)
        invocation.result, invocation.error = result, error
        invocation.done.set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address) -> None:
        # A killed program leaves broken connections.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(environment: Lambda) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            assert self.path == "/2018-06-01/runtime/invocation/next", self.path
            invocation = environment.next()
            if invocation is None:
                self.close_connection = True
                return
            self._give(
                200,
                invocation.event,
                {
                    "Lambda-Runtime-Aws-Request-Id": invocation.id,
                    "Lambda-Runtime-Deadline-Ms": str(int((time.time() + invocation.seconds) * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:eu-west-3:111122223333:function:{FUNCTION}",
                    "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
                },
            )

        def do_POST(self) -> None:
            body = self._body()
            *_, request_id, kind = self.path.split("/")
            if kind == "response":
                environment.answered(request_id, body, None)
            elif kind == "error":
                environment.answered(request_id, None, json.loads(body))
            self._give(202, b'{"status":"OK"}', {})

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers["content-length"]))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _give(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(body)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_) -> None:
            pass

    return Handler
