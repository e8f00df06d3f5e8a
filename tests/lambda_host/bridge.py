"""Forwards HTTP on loopback to a function, one request at a time, like a Function URL with one environment."""

from __future__ import annotations

import threading

from catalogs.proxy import Answer, Proxy, Request

from . import events
from .emulator import Lambda


class Bridge(Proxy):
    """Passes each request to the function as an event and answers with the function's result."""

    def __init__(self, environment: Lambda, seconds: float = 60.0):
        super().__init__(upstream="")
        self._environment = environment
        self._seconds = seconds
        self._one = threading.Lock()

    @property
    def http_port(self) -> int:
        """Its port, under the name that `Collector` uses."""
        return self.port

    def check(self, request: Request) -> Answer:
        """The function's answer."""
        event = events.http(request.path, request.body, request.headers, method=request.method)
        with self._one:
            answer = events.answer(self._environment.invoke(event, self._seconds))
        return Answer(answer.status, answer.body, answer.headers)
