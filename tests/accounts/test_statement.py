"""``docs/security.md`` says what the tests hold; it is written from them, and this test fails when it is stale."""

import ast
import os
from pathlib import Path

from accounts.gate import OPEN_VIEWS

HERE = Path(__file__).parent
STATEMENT = HERE.parent.parent / "docs" / "security.md"
CHAPTERS = {
    "test_sweep.py": "Doors",
    "test_log_in.py": "Half a log-in, enrolment and codes",
    "test_guessing.py": "Guessing",
    "test_sso.py": "Single sign-on",
    "test_passkeys.py": "Passkeys",
    "test_requirement.py": "The requirement",
    "test_step_up.py": "Step-up, sessions and factors",
    "test_passwords.py": "Passwords",
    "test_lost_device.py": "Lost devices",
    "test_mailbox.py": "The mailbox of a development server",
    "test_browser.py": "In a real browser",
}
OPENING = """# Signing in: what is promised, and what holds it

If any environment that you can reach requires multi-factor authentication, no password of yours opens anything without
a second factor; whoever comes through a trusted SSO provider is never asked.

A right password makes a pending log-in, which is nobody's session. The session opens when the factor passes. Before
every view stands one gate (`accounts/gate.py`), closed by default, which judges the session anew at each request. A
session that is not good enough is anonymous to everything behind it, error pages included. A request with an API key is
judged by the key alone.

This page is written from the tests' own names: `STUDIO_WRITE_DOCS=1 make test ARGS="-k statement"`.

## Views that the gate leaves open

Every other view is closed; the sweep asks each address of the resolver with every method, half logged in and anonymous.

"""


def sentences(file: str) -> list[str]:
    """Return the names of a file's tests as sentences."""
    tree = ast.parse((HERE / file).read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return [name.removeprefix("test_").replace("_", " ").capitalize() for name in names]


def written() -> str:
    text = OPENING + "\n".join(f"- `{name}`" for name in sorted(OPEN_VIEWS)) + "\n"
    for file, title in CHAPTERS.items():
        text += f"\n## {title}\n\nHeld by `tests/accounts/{file}`:\n\n"
        text += "\n".join(f"- {sentence}." for sentence in sentences(file)) + "\n"
    return text


def test_the_public_statement_tells_what_the_tests_hold():
    if os.environ.get("STUDIO_WRITE_DOCS") == "1":
        STATEMENT.write_text(written())
    assert STATEMENT.read_text() == written()


def test_every_test_of_signing_in_is_in_the_statement():
    files = {path.name for path in HERE.glob("test_*.py")} - {"test_statement.py"}
    assert files == set(CHAPTERS)
