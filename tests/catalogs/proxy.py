"""A reverse proxy on loopback that checks requests and changes answers. It runs in threads of this process."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# Headers that belong to one connection and are not passed on.
OF_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}
SECONDS_MAX = 30


@dataclass(frozen=True)
class Request:
    """One request as received. Header names are in lower case; `target` is the path and query as sent."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path, still encoded."""
        return self.target.partition("?")[0]


@dataclass(frozen=True)
class Answer:
    """A status, headers and a body."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Proxy:
    """Passes requests on to `upstream`, a base URL. Subclasses define the checks and changes."""

    def __init__(self, upstream: str):
        self.upstream = upstream
        # All received requests, oldest first, recorded before they are answered.
        self.arrived: list[Request] = []
        # The answered requests with their answers, in the order of the answers.
        self.seen: list[tuple[Request, Answer]] = []
        # Called first. If it returns an answer, upstream is not asked. For tests that simulate a temporary failure.
        self.instead: Callable[[Request], Answer | None] = lambda request: None
        # Called before that, when only the head was received; the request has no body yet. If it returns True, it has
        # closed the connection itself, and the request is forgotten. For tests of connections that break.
        self.cut: Callable[[Request, socket.socket], bool] = lambda head, connection: False
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Proxy:
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self) -> Proxy:
        """Starts it, on the same port as before if it ran before."""
        self._server = _Server(("127.0.0.1", self.port), _handler(self._handle, lambda *head: self.cut(*head)))
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stops it: connections to it are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def uri(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def answered(self, status: int) -> list[Request]:
        """The requests that were answered with this status."""
        return [request for request, answer in self.seen if answer.status == status]

    def check(self, request: Request) -> Answer | None:
        """The answer to give instead of asking upstream, or None to ask."""
        return None

    def rewritten(self, request: Request) -> Request:
        """The request to send upstream."""
        return request

    def changed(self, request: Request, answer: Answer) -> Answer:
        """The answer to send to the client."""
        return answer

    def _handle(self, request: Request) -> Answer:
        self.arrived.append(request)
        answer = self.instead(request) or self.check(request)
        if answer is None:
            answer = self.changed(request, _ask(self.upstream, self.rewritten(request)))
        self.seen.append((request, answer))
        return answer


def with_body(answer: Answer, body: bytes) -> Answer:
    """The same answer with another body."""
    return replace(answer, body=body, headers={k: v for k, v in answer.headers.items() if k.lower() != "content-length"})


def _ask(upstream: str, request: Request) -> Answer:
    base = urlsplit(upstream)
    connection = http.client.HTTPConnection(base.hostname, base.port, timeout=SECONDS_MAX)
    # Answers are changed and compared as text, so upstream must not compress them.
    dropped = OF_CONNECTION | {"host", "content-length", "accept-encoding"}
    headers = {name: value for name, value in request.headers.items() if name not in dropped}
    if request.body or request.method in ("POST", "PUT"):
        headers["content-length"] = str(len(request.body))
    try:
        connection.request(request.method, base.path + request.target, request.body or None, headers)
        response = connection.getresponse()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in OF_CONNECTION}
        return Answer(response.status, response.read(), kept)
    except (OSError, http.client.HTTPException) as error:
        return Answer(502, f"upstream: {error!r}".encode())
    finally:
        connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


def _handler(
    handle: Callable[[Request], Answer], cut: Callable[[Request, socket.socket], bool]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # A connection that a client keeps open must not keep a thread of a stopped proxy alive.
        timeout = SECONDS_MAX
        disable_nagle_algorithm = True

        def handle_one(self) -> None:
            length = self.headers.get("content-length")
            headers = {name.lower(): value for name, value in self.headers.items()}
            if cut(Request(self.command, self.path, headers, b""), self.connection):
                self.close_connection = True
                return
            if "transfer-encoding" in self.headers:
                self._give(Answer(411, b"a length is required"))
                self.close_connection = True
                return
            body = self.rfile.read(int(length)) if length else b""
            self._give(handle(Request(self.command, self.path, headers, body)))

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_one

        def _give(self, answer: Answer) -> None:
            # The date is upstream's, or the proxy's own, which tests may set to a wrong value.
            self.send_response_only(answer.status)
            names = {name.lower() for name in answer.headers}
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if "date" not in names:
                self.send_header("Date", self.date_time_string())
            if "content-length" not in names and answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                try:
                    self.wfile.write(answer.body)
                except ConnectionError:  # The client did not wait.
                    self.close_connection = True

        def log_message(self, *_) -> None:
            pass

    return Handler
