"""Servers for the deployment tests: moto for AWS's services, a stand-in for the Function URL, and the real program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import yaml

from catalogs.child import Child
from catalogs.proxy import Answer, Proxy, Request
from catalogs.sigproxy import Key, SignatureProxy
from lambda_host.bridge import Bridge
from lambda_host.emulator import Lambda
from o2i.collector import REPOSITORY

DEPLOY = REPOSITORY / "lambda" / "deploy"
TEMPLATE = DEPLOY / "template.yaml"
# moto has S3 Tables in some regions only.
REGION = "us-east-2"
ACCOUNT = "123456789012"
OTHER_ACCOUNT = "999999999999"
ACCESS_KEY_ID = "AKIATESTOFDEPLOYMENT"
SECRET_ACCESS_KEY = "secret/of+the=deployment"
SCRIPT_SECONDS_MAX = 180


class Tagless(yaml.SafeLoader):
    """Loads CloudFormation YAML; drops a tag such as `!Ref` and keeps its value."""


Tagless.add_multi_constructor("!", lambda loader, _, node: CONSTRUCT[node.id](loader, node))
CONSTRUCT = {
    "scalar": lambda loader, node: loader.construct_scalar(node),
    "sequence": lambda loader, node: loader.construct_sequence(node, deep=True),
    "mapping": lambda loader, node: loader.construct_mapping(node, deep=True),
}


def make_zip(path: Path, *names: str) -> Path:
    """Writes a zip with files of these names."""
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, b"\x7fELF not really\n")
    return path


class FunctionUrl(SignatureProxy):
    """A Function URL in front of `behind`, or of a function that accepts everything.

    It passes requests that are signed for the service `lambda` or, with `signed=False`, requests with the bearer token.
    """

    def __init__(self, *, signed: bool = True, token: str = ""):
        super().__init__("", "lambda", REGION, {ACCESS_KEY_ID: Key(SECRET_ACCESS_KEY)})
        self.signed, self.token = signed, token
        self.behind: Bridge | None = None

    def check(self, request: Request) -> Answer:
        if self.signed:
            refused = super().check(request)
            if refused is not None:
                return refused
        elif self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return Answer(401, b"")
        if self.behind is not None:
            return self.behind.check(request)
        known = request.method == "POST" and request.path in ("/v1/logs", "/v1/traces", "/v1/metrics")
        return Answer(200 if known else 404, b"", {"Content-Type": "application/x-protobuf"})


class Invocations(Proxy):
    """Takes events over HTTP and answers with the function's result."""

    def __init__(self, function: Lambda):
        super().__init__("")
        self._function = function

    def check(self, request: Request) -> Answer:
        return Answer(200, json.dumps(self._function.invoke(json.loads(request.body))).encode())


class Aws:
    """moto in a process of its own, and the scripts run against it as a user would run them."""

    def __init__(self, folder: Path, function_url: str):
        self.calls_path = Path(folder) / "calls.jsonl"
        self._child = Child(Path(folder) / "aws.log")
        self._function_url = function_url
        self.endpoint = ""

    def __enter__(self) -> Aws:
        command = [sys.executable, "-m", "deploy", "-p", "0", "--calls", self.calls_path]
        environment = {"PYTHONPATH": str(REPOSITORY / "tests"), "FUNCTION_URL": self._function_url}
        match = self._child.start(command, r"Running on (http://127\.0\.0\.1:\d+)", environment)
        self.endpoint = match[1]
        return self

    def __exit__(self, *_) -> None:
        self._child.stop()

    def client(self, service: str, account: str = ACCOUNT):
        """A boto3 client of somebody in the account."""
        client = boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
        )
        # moto takes the account from this header.
        client.meta.events.register("before-sign", lambda request, **_: request.headers.add_header("x-moto-account-id", account))
        return client

    def run(self, script: str, *arguments: str, fails: bool = False, **environment: str) -> str:
        """Runs a script of lambda/deploy and returns its output; `fails` says whether it must fail."""
        command = [str(DEPLOY / script), *arguments]
        done = subprocess.run(
            command,
            env={**self.environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SCRIPT_SECONDS_MAX,
        )
        assert (done.returncode != 0) == fails, f"{script} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def environment(self) -> dict[str, str]:
        """A user's environment: the pinned AWS CLI first in the path, credentials, no AWS settings of this machine."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OTLP2ICEBERG_"))}
        return {
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def path_denying(self, folder: Path, operation: str) -> str:
        """A path for `run` whose AWS CLI, made in the folder, is denied the operation, such as `get-queue-attributes`."""
        denying = folder / "aws"
        denying.write_text(f"""#!/bin/sh
case "$*" in
  *{operation}*) echo "An error occurred (AccessDenied)" >&2; exit 254 ;;
  *) exec {Path(sys.executable).parent / "aws"} "$@" ;;
esac
""")
        denying.chmod(0o755)
        return f"{folder}:{self.environment()['PATH']}"

    @contextmanager
    def served_by(self, function: Lambda, url: FunctionUrl) -> Iterator[None]:
        """Routes `lambda invoke` and the Function URL to this program until the block ends."""
        at = self.calls_path.with_name("function-url")
        with Invocations(function) as invocations:
            at.write_text(invocations.uri)
            url.behind = Bridge(function)
            try:
                yield
            finally:
                url.behind = None
                at.unlink()

    def invocations(self) -> list[dict]:
        """The events that the function was called with, oldest first."""
        return [json.loads(line)["event"] for line in self.calls_path.read_text().splitlines()]

    def make_stack(self, name: str, **parameters: str) -> dict[str, str]:
        """Creates a stack of the template with its own table bucket, and returns its outputs."""
        given = {"S3TablesBucketName": f"of-{name}", "LambdaCodeBucket": "code", "LambdaCodeKey": "code.zip", **parameters}
        self.client("cloudformation").create_stack(
            StackName=name,
            TemplateBody=TEMPLATE.read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        )
        return self.stack(name)[0]

    def stack(self, name: str) -> tuple[dict[str, str], dict[str, str]]:
        """A stack's outputs and parameters."""
        stack = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        outputs = {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}
        return outputs, {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
