"""Verification of ID tokens: signature, audience, issuer and times."""

import base64
import hashlib
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import jwt
from jwt.algorithms import requires_cryptography

# Neither "none" nor HMAC, whose key would be the secret, or a public key that somebody made a secret of.
SIGNATURES: Final = frozenset(requires_cryptography)
KEY_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
CLOCK_LEEWAY_SECONDS = 120  # allowed difference between a provider's clock and ours
ISSUED_WITHIN_SECONDS = 600


def signatures_of(discovery: Mapping[str, Any]) -> frozenset[str]:
    """Return the accepted signature algorithms that the provider announces; RS256 if it announces none."""
    announced = discovery.get("id_token_signing_alg_values_supported") or ["RS256"]
    return SIGNATURES & {str(one) for one in announced} if isinstance(announced, list) else frozenset()


def key_id_of(token: str) -> str | None:
    """Return the id of the key that the token names. Raises ``jwt.PyJWTError``."""
    return jwt.get_unverified_header(token).get("kid")


def verified(
    token: str,
    keys: Iterable[Mapping[str, Any]],
    *,
    signatures: Collection[str],
    audience: str,
    issuer: str,
    access_token: str,
) -> dict[str, Any]:
    """Return the claims of a valid token: signed by one of ``keys``, for ``audience``, from ``issuer``, not expired.

    Raises ``jwt.PyJWTError``.
    """
    algorithm, kid = str(jwt.get_unverified_header(token).get("alg")), key_id_of(token)
    if algorithm not in signatures:
        raise jwt.InvalidAlgorithmError(f"signed by {algorithm!r}, which discovery does not announce")
    for data in keys:
        key = _key(data, algorithm) if kid in (None, data.get("kid")) else None
        if key is None:
            continue
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=audience,
                issuer=issuer,
                leeway=CLOCK_LEEWAY_SECONDS,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except jwt.InvalidSignatureError:
            continue
        _check_issued(claims["iat"])
        if "at_hash" in claims and claims["at_hash"] != _half_hash(access_token, algorithm, data):
            raise jwt.InvalidTokenError("at_hash is of another access token")
        return claims
    raise jwt.InvalidSignatureError("none of the provider's keys signed it")


def _key(data: Mapping[str, Any], algorithm: str) -> jwt.PyJWK | None:
    """Return the provider's key if it is readable and fits the algorithm, else None."""
    if data.get("use", "sig") != "sig" or data.get("kty") != KEY_TYPES[algorithm[:2]]:
        return None
    if data.get("alg", algorithm) not in {algorithm, "Ed25519" if algorithm == "EdDSA" else algorithm}:
        return None
    try:
        return jwt.PyJWK(dict(data), algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None


def _check_issued(at: Any) -> None:
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise jwt.DecodeError("iat is no instant")
    if time.time() - at > ISSUED_WITHIN_SECONDS + CLOCK_LEEWAY_SECONDS:
        raise jwt.ExpiredSignatureError("it was issued too long ago")


def _half_hash(access_token: str, algorithm: str, key: Mapping[str, Any]) -> str:
    """Return the left half of the access token's hash (OpenID Connect Core 1.0, section 3.1.3.6)."""
    text = access_token.encode()
    if key.get("crv") == "Ed448":
        digest = hashlib.shake_256(text).digest(114)
    else:
        digest = hashlib.new(f"sha{512 if algorithm == 'EdDSA' else algorithm[2:5]}", text).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).decode().rstrip("=")
