"""``docs/security.md`` lists what the tests check; it is written from them, and this test fails when it is stale."""

import ast
import os
from pathlib import Path

from accounts.gate import OPEN_VIEWS
from tests.accounts.ways import ALL, WAYS, held_by

HERE = Path(__file__).parent
STATEMENT = HERE.parent.parent / "docs" / "security.md"
CHAPTERS = {
    "test_sweep.py": "Doors",
    "test_doors.py": "What no page before the gate does",
    "test_log_in.py": "Pending log-ins, enrolment and codes",
    "test_codes.py": "Codes and secrets",
    "test_typed_codes.py": "Codes as people type them",
    "test_guessing.py": "Guessing",
    "test_sso.py": "Single sign-on",
    "test_sso_odd_answers.py": "Unexpected answers of a provider",
    "test_certified_provider.py": "Through a certified provider",
    "test_sso_refusals.py": "Failed log-ins through a provider",
    "test_sso_tokens.py": "Signatures, clocks and claims of a provider",
    "test_slow_provider.py": "Slow providers and large answers",
    "test_providers.py": "Google, Microsoft Entra ID and other providers",
    "test_own_providers.py": "An organisation's own provider",
    "test_guarded_exchange.py": "Calls to a provider that an organisation chose",
    "test_identities.py": "Linked identities",
    "test_passkeys.py": "Passkeys",
    "test_passkey_autofill.py": "Passkeys in the e-mail field",
    "test_what_ended.py": "What has ended stays ended",
    "test_races.py": "Ending access while a thief acts",
    "test_requirement.py": "The requirement",
    "test_policy.py": "Changes in mid-session",
    "test_workers.py": "Several web processes",
    "test_second_factor_soon.py": "A requirement from a date",
    "test_step_up.py": "Step-up, sessions and factors",
    "test_interrupted_ways.py": "What a step-up interrupts",
    "test_two_tabs.py": "Two tabs of one's own profile",
    "test_passwords.py": "Passwords",
    "test_lost_device.py": "Lost devices",
    "test_budgets.py": "Throttling, for each way to log in",
    "test_email_change.py": "Changing the e-mail address",
    "test_new_places.py": "Log-ins from new places",
    "test_recovery_codes.py": "Recovery codes",
    "test_totp_keys.py": "Keys of authenticator secrets",
    "test_compression.py": "Compressed pages and secrets",
    "test_mails.py": "Mails",
    "test_mail_away.py": "While mail cannot be sent",
    "test_mailbox.py": "The mailbox of a development server",
    "test_browser.py": "In a real browser",
    "test_browser_ways_in.py": "Every way to log in, in a real browser",
    "test_passkey_autofill_in_browser.py": "Passkeys in the e-mail field, in a real browser",
    "test_links_in_browser.py": "Mailed links, in a real browser",
}
OPENING = """# Logging in: what is promised, and which tests hold it

If any environment that you can open requires multi-factor authentication, you cannot log in with a password without a
second factor. People who log in through a trusted SSO provider are not asked for one. An organisation's own provider is
trusted with people who have access to nothing outside that organisation; for others it replaces a password alone.

A right password starts a pending log-in, which is not a session. The session opens when the factor is passed. One gate
(`accounts/gate.py`), closed by default, is in front of every view and checks the session at each request. A session
that is not good enough is anonymous to everything behind the gate, also to error pages. A request with an API key is
authenticated by the key alone.

Every act on credentials, and every act that ends access, locks the user's row first and then checks its own session
again (`accounts/standing.py`), so a thief cannot act after their access was ended. A mailed link for a new password
works once and ends every session; changes made in a session meanwhile do not stop it.

Somebody who administers the database can rewrite what Studio recorded; [audit.md](audit.md) says how that is found.

This page is written from the tests' own names: `STUDIO_WRITE_DOCS=1 make test ARGS="-k statement"`.

## Views that the gate leaves open

Every other view is closed: a test requests each URL with every method, anonymous and half logged in. Why each of these
is open, and what protects it:

"""
WAYS_OPENING = """
## Ways around MFA, and the test of each

A test names the ways that it closes; one without a test fails the suite (`tests/accounts/ways.py`).
"""


def sentences(file: str) -> list[str]:
    """Return the names of a file's tests as sentences."""
    tree = ast.parse((HERE / file).read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return [sentence(name) for name in names]


def sentence(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ").capitalize()


def ways_and_their_tests() -> str:
    held, text = held_by(), ""
    for chapter, ways in WAYS.items():
        text += f"\n### {chapter}\n\n"
        for way in ways:
            tests = [test.split("::") for test in held.get(f"{chapter}: {way}", [])]
            text += f"- {way[0].upper()}{way[1:]}\n"
            text += "".join(f"  - {sentence(name)} (`tests/{file}`).\n" for file, name in tests)
    return text


def written() -> str:
    text = OPENING + "\n".join(f"- `{name}`: {why}" for name, why in OPEN_VIEWS.items()) + "\n"
    text += WAYS_OPENING + ways_and_their_tests()
    for file, title in CHAPTERS.items():
        text += f"\n## {title}\n\nHeld by `tests/accounts/{file}`:\n\n"
        text += "\n".join(f"- {sentence}." for sentence in sentences(file)) + "\n"
    return text


def test_the_public_statement_says_what_the_tests_hold():
    if os.environ.get("STUDIO_WRITE_DOCS") == "1":
        STATEMENT.write_text(written())
    assert STATEMENT.read_text() == written()


def test_every_test_of_logging_in_is_in_the_statement():
    files = {path.name for path in HERE.glob("test_*.py")} - {"test_statement.py"}
    assert files == set(CHAPTERS)


def test_every_way_around_has_a_test():
    assert [way for way in ALL if way not in held_by()] == []


def test_no_test_names_a_way_that_is_not_listed():
    assert {way: tests for way, tests in held_by().items() if way not in ALL} == {}
