"""One moto and one Function URL stand-in for all deployment tests: starting them takes longer than most tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from .aws import REGION, Aws, FunctionUrl, make_zip


@pytest.fixture(scope="package")
def function_url():
    """The server that the output FunctionUrl of every stack points to."""
    with FunctionUrl() as url:
        yield url


@pytest.fixture(scope="package")
def aws(tmp_path_factory, function_url):
    """AWS as simulated by moto, with a bucket `code` that holds `code.zip`."""
    with Aws(tmp_path_factory.mktemp("aws"), f"{function_url.uri}/") as started:
        s3 = started.client("s3")
        s3.create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="code", Key="code.zip", Body=b"code")
        yield started


@pytest.fixture(scope="package")
def code(tmp_path_factory) -> Path:
    """A zip that deploy.sh takes for the function's code."""
    return make_zip(tmp_path_factory.mktemp("code") / "code.zip", "bootstrap")
