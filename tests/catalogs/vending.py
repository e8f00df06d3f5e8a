"""A proxy in front of the reference catalog that vends storage credentials with each table, on request."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable

from .proxy import Answer, Proxy, Request, with_body
from .sigproxy import Key

DELEGATION = "x-iceberg-access-delegation"


class VendingProxy(Proxy):
    """Adds `storage-credentials` for the table's own location to answers that load or create a table.

    Each load gets a new access key, valid for `seconds`. The proxy passes it to `learn`, so that a `SignatureProxy` in
    front of the storage accepts it. A shorter prefix has a useless key: clients must use the longest matching prefix.
    """

    def __init__(self, upstream: str, storage: dict[str, str], seconds: float, learn: Callable[[str, Key], None]):
        super().__init__(upstream)
        # `s3.*` properties without credentials, which are added to a table's `config`.
        self._storage = storage
        self.seconds = seconds
        self._learn = learn
        self._numbers = itertools.count(1)
        self.vended: list[str] = []

    def changed(self, request: Request, answer: Answer) -> Answer:
        is_load = request.method == "GET" and "/tables/" in request.path
        is_create = request.method == "POST" and request.path.endswith("/tables")
        if answer.status != 200 or not (is_load or is_create):
            return answer
        loaded = json.loads(answer.body)
        loaded["config"] = {**loaded.get("config", {}), **self._storage}
        if "vended-credentials" in request.headers.get(DELEGATION, ""):
            location = loaded["metadata"]["location"]
            useless = {"s3.access-key-id": "AKIAUSELESS", "s3.secret-access-key": "useless"}
            loaded["storage-credentials"] = [
                {"prefix": "s3://", "config": useless},
                {"prefix": location, "config": self._vend()},
            ]
        return with_body(answer, json.dumps(loaded).encode())

    def _vend(self) -> dict[str, str]:
        number = next(self._numbers)
        key_id = f"ASIAVENDED{number:06}"
        key = Key(f"vended-secret-{number}", f"vended-session-{number}", time.time() + self.seconds)
        self._learn(key_id, key)
        self.vended.append(key_id)
        return {
            "s3.access-key-id": key_id,
            "s3.secret-access-key": key.secret,
            "s3.session-token": key.session_token,
            "s3.session-token-expires-at-ms": str(int(key.valid_until * 1000)),
        }
