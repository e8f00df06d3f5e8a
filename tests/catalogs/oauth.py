"""Proxies that require a valid bearer token, and an OAuth2 token endpoint that issues short-lived ones."""

from __future__ import annotations

import base64
import itertools
import json
import time
from urllib.parse import parse_qs, unquote

from .proxy import Answer, Proxy, Request


class BearerProxy(Proxy):
    """Passes requests with a valid token; answers others with 401 in the REST catalog's error format."""

    def __init__(self, upstream: str, *tokens: str):
        super().__init__(upstream)
        # The time (time.monotonic) until which each token is valid.
        self._valid_until: dict[str, float] = dict.fromkeys(tokens, float("inf"))

    def accept(self, token: str, seconds: float = float("inf")) -> None:
        """Makes a token valid from now on."""
        self._valid_until[token] = time.monotonic() + seconds

    def expire_all(self) -> None:
        """Makes every token invalid."""
        self._valid_until.clear()

    def check(self, request: Request) -> Answer | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._valid_until.get(token, 0) > time.monotonic():
            return None
        error = {"error": {"message": "The token is not valid", "type": "NotAuthorizedException", "code": 401}}
        return Answer(401, json.dumps(error).encode(), {"Content-Type": "application/json"})


class OAuth2Proxy(BearerProxy):
    """Issues tokens at `token_uri` for known client credentials, and accepts only these tokens."""

    TOKEN_PATH = "/realms/otel/protocol/openid-connect/token"

    def __init__(self, upstream: str, client_id: str, client_secret: str, scope: str, token_seconds: float):
        super().__init__(upstream)
        self.client_id = client_id
        self.client_secret = client_secret
        self.scope = scope
        self.token_seconds = token_seconds
        self.issued: list[str] = []
        self._numbers = itertools.count(1)

    @property
    def token_uri(self) -> str:
        """The token endpoint."""
        return self.uri + self.TOKEN_PATH

    def check(self, request: Request) -> Answer | None:
        return self._token(request) if request.path == self.TOKEN_PATH else super().check(request)

    def _token(self, request: Request) -> Answer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        client = _basic(request) or (form.get("client_id"), form.get("client_secret"))
        if request.method != "POST" or form.get("grant_type") != "client_credentials":
            return _json(400, {"error": "unsupported_grant_type", "error_description": "POST client_credentials"})
        if client != (self.client_id, self.client_secret):
            return _json(401, {"error": "invalid_client", "error_description": "Client authentication failed"})
        if form.get("scope") != self.scope:
            return _json(400, {"error": "invalid_scope", "error_description": f"unknown scope {form.get('scope')}"})
        token = f"issued-token-{next(self._numbers)}"
        self.accept(token, self.token_seconds)
        self.issued.append(token)
        return _json(200, {"access_token": token, "token_type": "bearer", "expires_in": int(self.token_seconds)})


def _basic(request: Request) -> tuple[str, str] | None:
    """The client of HTTP basic authentication (RFC 6749, section 2.3.1), if it was used."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    client_id, _, secret = base64.b64decode(value).decode().partition(":")
    return unquote(client_id), unquote(secret)


def _json(status: int, value: dict) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", "Cache-Control": "no-store"})
