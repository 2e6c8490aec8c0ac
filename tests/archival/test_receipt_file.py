"""A filed receipt is checked with the file and the public key alone: no database, no settings, no Studio."""

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from archival.journal import receipt_file, signing
from tests.factories import NOW

RECEIPT = {"environment": "Acmé", "messages": 2}
ALONE = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8"}


@pytest.fixture
def filed(tmp_path) -> Path:
    """A folder as a data protection officer has it: the page of code, the file, and the key."""
    shutil.copy(receipt_file.__file__, tmp_path / "receipt_file.py")
    document = signing.sign({"organisation": "Acmé", "receipts": [RECEIPT]}, now=NOW)
    (tmp_path / "receipts.json").write_text(document, encoding="utf-8")
    (tmp_path / "key.pem").write_text(signing.public_keys())
    return tmp_path


def check(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    arguments = arguments or ("receipts.json", "key.pem")
    command = [sys.executable, "receipt_file.py", *arguments]
    return subprocess.run(command, cwd=folder, env=ALONE, capture_output=True, text=True, timeout=30)


def test_the_page_of_code_alone_checks_that_a_file_is_authentic(filed):
    answer = check(filed)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == f"Authentic: 1 receipts of Acmé, issued {NOW.isoformat()}, 2 messages deleted.\n"


def change_a_byte(folder):
    path = folder / "receipts.json"
    path.write_text(path.read_text().replace('\\"messages\\": 2', '\\"messages\\": 1'))


def cut_it_short(folder):
    path = folder / "receipts.json"
    path.write_text(path.read_text()[:-40])


def take_another_key(folder):
    key = Ed25519PrivateKey.generate().public_key()
    (folder / "key.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def spoil_the_key(folder):
    (folder / "key.pem").write_text(signing.public_keys().replace("MCow", "AAAA"))


def empty_the_key(folder):
    (folder / "key.pem").write_text("")


def list_it(folder):
    (folder / "receipts.json").write_text("[]")


def nest_it(folder):
    (folder / "receipts.json").write_text("[" * 100_000)


def change_outside(folder, change):
    path = folder / "receipts.json"
    outer = json.loads(path.read_text(encoding="utf-8"))
    change(outer)
    path.write_text(json.dumps(outer), encoding="utf-8")


def name_another_algorithm(folder):
    change_outside(folder, lambda outer: outer.update(algorithm="none"))


def add_what_is_not_signed(folder):
    change_outside(folder, lambda outer: outer.update(receipts=[]))


def write_the_signature_another_way(folder):
    def flip(outer):  # the last digit before "==" has four bits that no byte comes from
        start, last = outer["signature"][:-3], outer["signature"][-3]
        outer["signature"] = start + chr(ord(last) + 1) + "=="

    change_outside(folder, flip)


def say_it_twice(folder):
    path = folder / "receipts.json"
    path.write_text('{"signed": "[]",' + path.read_text(encoding="utf-8")[1:], encoding="utf-8")


def take_a_file_of_the_journal(folder):
    (folder / "receipts.json").write_text(signing.sign({"journal": 1, "kind": "run"}, now=NOW))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (change_a_byte, "The signature does not match"),
        (take_another_key, "The signature does not match"),
        (cut_it_short, "not a signed file"),
        (list_it, "not a signed file"),
        (nest_it, "not a signed file"),
        (name_another_algorithm, "not a signed file"),
        (add_what_is_not_signed, "not a signed file"),
        (write_the_signature_another_way, "not a signed file"),
        (say_it_twice, "not a signed file"),
        (take_a_file_of_the_journal, "not a file of receipts"),
        (spoil_the_key, "cannot be read"),
        (empty_the_key, "no Ed25519 public key"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(filed, wrong, words):
    wrong(filed)
    answer = check(filed)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert words in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [("missing.json", "key.pem"), ("receipts.json",)])
def test_what_cannot_be_read_is_another_exit_code(filed, arguments):
    answer = check(filed, *arguments)
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="a second implementation, where there is one")
def test_openssl_says_the_same(filed):
    outer = json.loads((filed / "receipts.json").read_text(encoding="utf-8"))
    (filed / "signed.txt").write_bytes(outer["signed"].encode())
    (filed / "signature.bin").write_bytes(base64.b64decode(outer["signature"]))
    command = [
        *("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem"),
        *("-rawin", "-in", "signed.txt", "-sigfile", "signature.bin"),
    ]
    assert subprocess.run(command, cwd=filed, capture_output=True, timeout=30).returncode == 0
    (filed / "signed.txt").write_text("{}")
    assert subprocess.run(command, cwd=filed, capture_output=True, timeout=30).returncode != 0
