"""The key of seals, journal and receipts: its own, checked at the start, and replaceable without losing a signature."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.checks import run_checks
from django.utils import timezone

from archival.journal import signing as files
from archival.journal.receipt_file import NotAuthentic, verify
from audit import signing
from web.checks import AT_START

STATEMENT = {"organisation": "Acme", "receipts": []}


def made_from(word: bytes) -> str:
    return base64.b64encode(word * (32 // len(word))).decode()


def line_of_pem() -> str:
    """Return what an operator copies from the page of the public keys: the middle line of the first block."""
    return files.public_keys().splitlines()[1]


def test_a_replaced_key_signs_no_more_and_stays_verifiable_by_its_public_key(settings):
    before, public = files.sign(STATEMENT, now=timezone.now()), line_of_pem()

    settings.SIGNING_KEY = made_from(b"next")
    with pytest.raises(NotAuthentic):
        verify(before, files.public_keys())
    settings.SIGNING_PUBLIC_KEYS = [public]

    after = files.sign(STATEMENT, now=timezone.now())
    assert verify(before, files.public_keys())["receipts"] == []
    assert verify(after, files.public_keys())["signed_with"] == signing.id_of(signing.public_keys()[0])
    assert verify(before, files.public_keys())["signed_with"] == signing.id_of(signing.public_keys()[1])


def signed_by_an_older_release(secret: str) -> str:
    text = json.dumps(STATEMENT)
    signature = base64.b64encode(files.derived_key(secret).sign(text.encode())).decode()
    return json.dumps({"algorithm": "Ed25519", "signature": signature, "signed": text})


def test_receipts_of_an_older_release_stay_verifiable(settings):
    older = signed_by_an_older_release(settings.SECRET_KEY)
    assert verify(older, files.public_keys()) == STATEMENT

    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
    assert verify(older, files.public_keys()) == STATEMENT
    public = files.public_keys().splitlines()[-2]  # of the last block

    settings.SECRET_KEY_FALLBACKS, settings.SIGNING_PUBLIC_KEYS = [], [public]
    assert verify(older, files.public_keys()) == STATEMENT


def test_what_is_derived_from_the_secret_key_signs_nothing_any_more(settings):
    document = files.sign(STATEMENT, now=timezone.now())
    derived = signing.as_pem([files.derived_key(settings.SECRET_KEY).public_key()])
    with pytest.raises(NotAuthentic):
        verify(document, derived)


@pytest.mark.parametrize(
    ("key", "public", "words"),
    [
        ("", [], "SIGNING_KEY is not set."),
        ("not base64!", [], "SIGNING_KEY is not base64."),
        (made_from(b"next")[:16], [], "SIGNING_KEY has 12 bytes instead of 32."),
        (made_from(b"next"), ["bmV4dA=="], "SIGNING_PUBLIC_KEYS has 'bmV4dA==', which is no public key."),
    ],
)
def test_a_key_that_cannot_sign_is_an_error_at_the_start(settings, key, public, words):
    settings.SIGNING_KEY, settings.SIGNING_PUBLIC_KEYS = key, public
    assert [each.msg for each in run_checks(tags=[AT_START]) if each.id == "audit.E001"] == [words]


def test_a_right_key_is_no_error():
    assert [each for each in run_checks(tags=[AT_START]) if each.id == "audit.E001"] == []
    assert isinstance(signing.private_key(), Ed25519PrivateKey)
