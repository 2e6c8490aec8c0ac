"""Every known way around MFA, in words; a test that closes one says so: ``@pytest.mark.way("Doors: HTTP Basic")``."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent.parent
WAYS = {
    "Doors": (
        "the Django admin",
        "REST framework's log-in page",
        "HTTP Basic",
        "a token in exchange for a password",
        "a password reset that logs in",
        "an invitation that logs in",
        "a joining link that logs in",
        "an invitation link that makes a member without a mailbox",
        "a backend that checks no password",
        "downloads",
        "exports",
        "stored files by an address of their own",
        "the schema",
        "the health page",
        "error pages",
        "HEAD, OPTIONS, PUT and every other method",
        "doubled slashes, case, escapes and missing slashes",
        "the headers of scripts: HX-Request and Accept",
        "an address that nobody thought of",
        "a cookie that rides along with a key",
    ),
    "Half a log-in": (
        "used for another user",
        "used after a change of the password",
        "used after five minutes",
        "used after log-out",
        "a session key fixed before the password",
        "a session key fixed before the factor",
        "tampered form fields",
    ),
    "Enrolment": (
        "the thief enrols an app first",
        "the thief enrols a passkey first",
        "set-up overwrites a factor",
        "an unconfirmed device verifies",
        "a GET with side effects",
        "another user's device",
        "recovery codes counted as a factor",
        "the QR code shown again after confirmation",
    ),
    "Codes": (
        "guessing within one session",
        "guessing from many addresses",
        "guessing at many doors",
        "guessing over many factors",
        "guessing in parallel",
        "counters rolled back by an exception",
        "the same code of the app at another door",
        "one code of the app used eight times in parallel",
        "one recovery code used eight times in parallel",
        "seven digits",
        "Arabic digits",
        "blanks",
        "leading zeros left out",
        "null, and a list",
        "old recovery codes after new ones were made",
    ),
    "Single sign-on": (
        "a mark of SSO left over, then a log-in by password",
        "the thief's identity linked to half a log-in",
        "an e-mail collision",
        "an unverified e-mail",
        "an unknown backend taken for SSO",
        "a partial pipeline resumed elsewhere",
        "next to another host: at the password",
        "next to another host: at the factor",
        "next to another host: at enrolment",
        "next to another host: at step-up",
        "next to another host: on the way to the provider",
        "next to another host: on the way back",
        "next to another host: at the passkey",
        "next to another host: with the language and the theme",
        "next to another host: at the password reset",
    ),
    "Policy": (
        "turned on in mid-session",
        "added to a requiring environment in mid-session",
        "access only through an agency",
        "another environment visited",
        "inherited from a node above",
        "a cache that keeps the old answer",
        "leaving the requiring organisation with only the password",
        "reads left open while writes are gated",
        "previews left open while writes are gated",
        "personal tokens left open while writes are gated",
        "the environment moved to another agency",
        "the environment suspended, and open again",
        "PATCH by a role without the permission",
        "a scheduled requirement put off past its date",
    ),
    "Tokens and recovery": (
        "a key created before the requirement",
        "a key created by half a log-in",
        "an administrator of one tenant resets a user of others",
        "an impersonator without MFA",
        "the last factor removed while it is required",
        "sessions that survive a reset of the factors",
        "step-up with the password alone",
        "step-up left to an accomplice who is given the role",
        "the policy revealed to outsiders",
        "users enumerated by who is asked for a code",
        "CSRF",
    ),
    "Traps of the libraries": (
        "a device verified without the lock of its row",
        "throttling that is rolled back with the request",
        "devices not confirmed, all devices at once, and recovery codes taken for a device",
        "recovery codes of 40 bits, in plain text",
        "a session key that stays, and marks that survive a later log-in",
        "backends that check no password",
        "a provider begun by GET, a callback that nobody began, an identity without a key",
        "a backend whose package is missing breaks the passwords",
        "a passkey without user verification as a whole log-in",
        "the defaults of REST framework: Basic, and open to everybody",
        "a reset that logs in, and other doors for a password alone",
        "a test client that counts as SSO",
    ),
}
ALL = tuple(f"{chapter}: {way}" for chapter, ways in WAYS.items() for way in ways)


@cache
def held_by() -> dict[str, list[str]]:
    """Return, for each way that some test names, those tests as ``folder/file.py::test``."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for way in _named_on(node):
                    found.setdefault(way, []).append(f"{path.relative_to(TESTS)}::{node.name}")
    return found


def _named_on(test: ast.FunctionDef) -> Iterator[str]:
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.way":
            yield from (ast.literal_eval(way) for way in mark.args)
