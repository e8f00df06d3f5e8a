"""Runs the real Collector binary on free loopback ports, with a generated configuration."""

from __future__ import annotations

import atexit
import http.client
import os
import random
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import yaml

from . import otlp

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 90
# Where `free_ports` looks: below the system's range for outgoing connections, which could take a port while a Collector
# restarts. Test runs at the same time each get a range, so that none takes what another has just found free.
PORTS = range(*map(int, os.environ.get("O2I_PORTS", "15000-32000").split("-")))

# Ports that this process was given. A Collector takes its ports when it starts, which may be after the next one got its.
_given: set[int] = set()

# Every running Collector of this process, so that none outlives it after an error.
_running: set[subprocess.Popen] = set()


@atexit.register
def _kill_what_is_left() -> None:
    for process in list(_running):
        process.kill()
        process.wait()


class DidNotStart(Exception):
    """The Collector exited, or was not healthy in time; the message is the end of its log."""


def binary() -> Path:
    """The Collector to test: `O2I_COLLECTOR`, by default `dist/otelcol-iceberg`."""
    path = Path(os.environ.get("O2I_COLLECTOR", REPOSITORY / "dist" / "otelcol-iceberg"))
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"missing: {path} (make collector)")
    return path.resolve()


def free_ports(count: int) -> list[int]:
    """Free loopback ports, which nothing else of this process was given."""
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < count:
            port = random.choice(PORTS)
            if port in _given:
                continue
            one = socket.socket()
            try:
                one.bind(("127.0.0.1", port))
                sockets.append(one)
                _given.add(port)
            except OSError:
                one.close()
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Collector:
    """One Collector process at a time, in its own folder; it can be stopped and started again.

    `exporters` are the settings of each `iceberg` exporter by name; `None` stands for `iceberg:` with no settings.
    With `queue_on_disk`, every exporter keeps its queue in the `file_storage` extension.
    """

    def __init__(
        self,
        folder: Path,
        exporters: dict[str, dict | None],
        *,
        queue_on_disk: bool = False,
        own_metrics: bool = False,
        change=lambda config: None,
    ):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.grpc_port, self.http_port, self.health_port, self.metrics_port = free_ports(4)
        self.log_path = self.folder / "collector.log"
        self.process: subprocess.Popen | None = None
        self.config = self._render(exporters, queue_on_disk, own_metrics)
        change(self.config)

    @property
    def pid(self) -> int:
        """The process id of the running Collector."""
        assert self.process is not None, "the Collector is not running"
        return self.process.pid

    def __enter__(self) -> Collector:
        return self.start()

    def __exit__(self, failure, *_) -> None:
        if self.process is None:
            return
        if failure is not None:
            self.kill()
            return
        code = self.stop()
        assert code == 0, f"the Collector ended with {code}\n{self.log_tail()}"

    def begin(self) -> Collector:
        """Starts it without waiting."""
        self._spawn()
        return self

    def start(self) -> Collector:
        """Starts it and waits until it is healthy."""
        self._spawn()
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.healthy():
            if self.process.poll() is not None:
                code = self.wait(0)
                raise DidNotStart(f"the Collector ended with {code}\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise DidNotStart(f"the Collector was not healthy in {START_SECONDS_MAX} s\n{self.log_tail()}")
            time.sleep(0.05)
        return self

    def run_to_end(self, seconds_max: float = START_SECONDS_MAX) -> tuple[int, str]:
        """For configurations that must fail: starts it, waits until it exits, returns the exit code and the output."""
        self._spawn()
        return self.wait(seconds_max), self.log()

    def healthy(self) -> bool:
        """Whether the health check reports that everything has started."""
        connection = http.client.HTTPConnection("127.0.0.1", self.health_port, timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def terminate(self) -> None:
        """Sends SIGTERM without waiting."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit code. Kills a Collector that does not exit in time, which is a failure."""
        self.terminate()
        return self.wait(STOP_SECONDS_MAX)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.process.kill()
        self.wait(STOP_SECONDS_MAX)

    def wait(self, seconds_max: float) -> int:
        """Waits until it exits and returns the exit code."""
        process = self.process
        try:
            return process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the Collector did not end in {seconds_max} s\n{self.log_tail()}") from None
        finally:
            _running.discard(process)
            self.process = None

    def client(self, **options) -> otlp.Client:
        """A client for its receiver."""
        return otlp.Client(self.grpc_port, self.http_port, **options)

    def log(self) -> str:
        """Its output so far, of all its starts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines: int = 25) -> str:
        """The end of its log, for messages."""
        return "\n".join(self.log().splitlines()[-lines:])

    def own_metrics(self) -> str:
        """Its own metrics, as Prometheus text; for a Collector made with `own_metrics`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=5)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def own_metrics_when(self, ready, seconds_max: float = 15.0) -> str:
        """Its own metrics, once `ready(text)` holds."""
        deadline = time.monotonic() + seconds_max
        while not ready(text := self.own_metrics()):
            assert time.monotonic() < deadline, f"after {seconds_max} s, its own metrics are\n{text}"
            time.sleep(0.1)
        return text

    def _spawn(self) -> None:
        assert self.process is None, "the Collector runs already"
        config_path = self.folder / "config.yaml"
        config_path.write_text(yaml.safe_dump(self.config, sort_keys=False))
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [binary(), "--config", config_path.resolve()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        _running.add(self.process)

    def _render(self, exporters: dict[str, dict | None], queue_on_disk: bool, own_metrics: bool) -> dict:
        extensions: dict[str, dict] = {"health_check": {"endpoint": f"127.0.0.1:{self.health_port}"}}
        if queue_on_disk:
            queue_folder = self.folder / "queue"
            queue_folder.mkdir(exist_ok=True)
            extensions["file_storage"] = {"directory": str(queue_folder)}
            for settings in exporters.values():
                settings.setdefault("sending_queue", {})["storage"] = "file_storage"
        pipeline = {"receivers": ["otlp"], "exporters": list(exporters)}
        return {
            "extensions": extensions,
            "receivers": {
                "otlp": {
                    "protocols": {
                        "grpc": {"endpoint": f"127.0.0.1:{self.grpc_port}", "max_recv_msg_size_mib": 64},
                        "http": {"endpoint": f"127.0.0.1:{self.http_port}"},
                    }
                }
            },
            "exporters": exporters,
            "service": {
                "extensions": list(extensions),
                "pipelines": {signal_: dict(pipeline) for signal_ in ("logs", "traces", "metrics")},
                "telemetry": {"metrics": self._own_metrics(own_metrics)},
            },
        }

    def _own_metrics(self, wanted: bool) -> dict:
        if not wanted:
            return {"level": "none"}
        prometheus = {"host": "127.0.0.1", "port": self.metrics_port}
        return {"level": "detailed", "readers": [{"pull": {"exporter": {"prometheus": prometheus}}}]}


def total(own_metrics: str, name: str, signal_: str, also: str = "") -> float:
    """The sum of a counter of the exporter's, such as `commits`, over its series of one signal."""
    series = re.compile(rf"^otelcol_exporter_iceberg_{name}(?:_[a-zA-Z]+)*\{{([^}}]*)\}} (\S+)$", re.MULTILINE)
    found = series.findall(own_metrics)
    return sum(float(value) for labels, value in found if f'signal="{signal_}"' in labels and also in labels)


def settings(warehouse: Path, flush_timeout: str = "200ms", **more) -> dict:
    """An exporter's settings for tests: a local warehouse and a short flush timeout."""
    return {
        "catalog": {"warehouse": str(warehouse)},
        "sending_queue": {"batch": {"flush_timeout": flush_timeout}},
        **more,
    }
