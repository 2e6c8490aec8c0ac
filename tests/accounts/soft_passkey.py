"""An authenticator in software: makes a passkey and signs with it, for tests that need no browser."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.test import Client

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40  # flags of the authenticator's data


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class SoftPasskey:
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def begin(self, client: Client, ceremony: str, *, by: str = "begin") -> dict[str, Any]:
        """Begin "registration" or "authentication" and return the body that completes it."""
        begun = client.post(f"/passkeys/{ceremony}/{by}/")
        assert begun.status_code == 200, begun.content
        kind = {"registration": "create", "authentication": "get"}[ceremony]
        said = {"type": f"webauthn.{kind}", "challenge": begun.json()["challenge"]}
        said["origin"] = settings.OTP_WEBAUTHN_ALLOWED_ORIGINS[0]
        client_data = json.dumps(said).encode()
        answer = self._made() if ceremony == "registration" else self._signed(client_data)
        answer["clientDataJSON"] = text(client_data)
        number = text(self.credential_id)
        return {"id": number, "rawId": number, "type": "public-key", "response": answer}

    def complete(self, client: Client, ceremony: str, body: dict[str, Any] | None = None) -> Any:
        body = body or self.begin(client, ceremony)
        return client.post(f"/passkeys/{ceremony}/complete/", json.dumps(body), content_type="application/json")

    def _made(self) -> dict[str, str]:
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        held = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cbor2.dumps(cose)
        data = self._data(PRESENT | VERIFIED | ATTESTED) + held
        return {"attestationObject": text(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data}))}

    def _signed(self, client_data: bytes) -> dict[str, str]:
        data = self._data(PRESENT | VERIFIED)
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        return {"authenticatorData": text(data), "signature": text(signature)}

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(settings.OTP_WEBAUTHN_RP_ID.encode()).digest() + bytes([flags]) + bytes(4)
