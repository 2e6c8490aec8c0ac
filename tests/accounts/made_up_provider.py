"""A provider on loopback that says whatever a test wants, as slowly and as wrongly as it wants."""

import hashlib
import hmac
import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from social_core.backends.open_id_connect import OpenIdConnectAuth

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
PRIVATE = {"RS256": RSA_KEY, "PS256": RSA_KEY, "ES256": EC_KEY, "EdDSA": ED_KEY}
PUBLIC = [
    {**json.loads(RSAAlgorithm.to_jwk(RSA_KEY.public_key())), "kid": "rsa", "use": "sig"},
    {**json.loads(ECAlgorithm.to_jwk(EC_KEY.public_key())), "kid": "ec", "use": "sig"},
    {**json.loads(OKPAlgorithm.to_jwk(ED_KEY.public_key())), "kid": "ed", "use": "sig"},
]
KIDS = {"RS256": "rsa", "PS256": "rsa", "ES256": "ec", "EdDSA": "ed"}
Answer = Callable[[BaseHTTPRequestHandler], None]


class MadeUpProvider:
    def __init__(self, port: int) -> None:
        self.address = f"http://localhost:{port}"
        self.discovery: dict[str, Any] = {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/keys",
            "userinfo_endpoint": f"{self.address}/userinfo",
        }
        self.algorithm = "RS256"
        self.claims: dict[str, Any] = {}  # of the ID token, over the ordinary ones
        self.userinfo: dict[str, Any] = {}
        self.tokens: dict[str, Any] = {}  # of the token endpoint's answer, over the ordinary ones
        self.answers: dict[str, Answer] = {}  # of a path, instead of the ordinary one
        self.asked: list[str] = []
        self.nonce = ""
        self.backend = "oidc-acme"

    def walk(self, client: Any, form: dict[str, str] | None = None, **answered: str) -> Any:
        """Begin at Studio, and come back with this provider's answer; returns what Studio says last."""
        return self.come_back(client, self.begin(client, form), **answered)

    def begin(self, client: Any, form: dict[str, str] | None = None) -> dict[str, list[str]]:
        return self.sent(client.post(f"/sso/login/{self.backend}/", form or {}))

    def sent(self, begun: Any) -> dict[str, list[str]]:
        """Return with which parameters Studio sent the browser here; the log-in's nonce is this one's from now on."""
        query = parse_qs(urlsplit(where_sent(begun)).query)
        self.nonce = query["nonce"][0]
        return query

    def come_back(self, client: Any, query: dict[str, list[str]], **answered: str) -> Any:
        """Bring the answer to Studio; returns what Studio says to it."""
        return client.get(f"/sso/complete/{self.backend}/", {"state": query["state"][0], "code": "code", **answered})

    def id_token(self) -> str:
        now = int(time.time())
        ordinary = {"iss": self.address, "sub": "sam", "aud": "studio", "iat": now, "exp": now + 300}
        claims = {**ordinary, "nonce": self.nonce, **self.claims}
        return jwt.encode(claims, PRIVATE[self.algorithm], self.algorithm, headers={"kid": KIDS[self.algorithm]})

    def ordinary(self, path: str) -> dict[str, Any]:
        if path == "/token":
            return {"access_token": "access", "token_type": "Bearer", "id_token": self.id_token(), **self.tokens}
        return {"/keys": {"keys": PUBLIC}, "/userinfo": self.userinfo}.get(path, self.discovery)


def where_sent(begun: Any) -> str:
    """Return where Studio sends the browser: by a redirect, or by the page that leads to an organisation's own."""
    return begun["Refresh"].partition("url=")[2] if "Refresh" in begun else begun.url


def say(handler: BaseHTTPRequestHandler, body: bytes | dict[str, Any], status: int = 200, **headers: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def forget_providers() -> None:
    """Forget what is kept of providers by their address: the next one can have the port of one that has stopped."""
    OpenIdConnectAuth.get_openid_configuration.invalidate()
    OpenIdConnectAuth.get_jwks_keys_for_uri.invalidate()


@contextmanager
def running() -> Iterator[MadeUpProvider]:
    forget_providers()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            provider.asked.append(path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            ordinary = lambda handler: say(handler, provider.ordinary(path))  # noqa: E731
            provider.answers.get(path, ordinary)(self)

        do_POST = do_GET  # noqa: N815 - as the library asks for it

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    server.handle_error = lambda *args: None  # type: ignore[method-assign] # a line that was cut is no error
    provider = MadeUpProvider(server.server_port)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()


def half_hash(access_token: str, algorithm: str) -> str:
    """Return the claim ``at_hash`` of an ID token that came with this access token."""
    digest = hashlib.new("sha512" if algorithm == "EdDSA" else "sha256", access_token.encode()).digest()
    return in_base64(digest[: len(digest) // 2])


def public_key_as_secret() -> bytes:
    return RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def unsigned(token: str) -> str:
    """Return the token with ``alg`` none and no signature."""
    return f"{in_base64(json.dumps({'alg': 'none', 'kid': 'rsa'}).encode())}.{token.split('.')[1]}."


def signed_by(secret: bytes, token: str) -> str:
    """Return the token with ``alg`` HS256 and a signature by this secret."""
    text = f"{in_base64(json.dumps({'alg': 'HS256', 'kid': 'rsa'}).encode())}.{token.split('.')[1]}"
    return f"{text}.{in_base64(hmac.digest(secret, text.encode(), 'sha256'))}"


def in_base64(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")
