"""The demo's users for the start page of ``make run``, and the OpenID provider behind the SSO button.

``seed_demo`` writes ``demo.json`` into the state folder: a list of objects with ``email``, ``password``, ``role``,
``totp_secret`` (base32, or empty), ``note``, and, for people who come by SSO, ``sso``: their subject at the provider.
"""

import contextlib
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

from devserver.supervisor.preparation import StartFailed

COLUMNS = {"email": "E-mail", "password": "Password", "role": "Role", "totp_secret": "TOTP secret", "note": ""}
PROVIDER = "demo"


def read_people(state: Path) -> list[dict[str, Any]]:
    """Return the users of ``demo.json``; empty if there is none."""
    with contextlib.suppress(OSError, ValueError):
        return list(json.loads((state / "demo.json").read_text()))
    return []


def table(rows: list[dict[str, Any]]) -> str:
    """Return the log-ins as lines of plain text, for a terminal and for a log."""
    lines = [list(COLUMNS.values()), *([str(row.get(name) or "–") for name in COLUMNS] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(f"  {line.rstrip()}" for line in padded)


def provider_settings(port: int) -> str:
    """Return OIDC_PROVIDERS for the provider on this port of the loopback interface."""
    endpoint = f"http://localhost:{port}"
    provider: dict[str, Any] = {
        "id": PROVIDER,
        "title": "Demo SSO",
        "endpoint": endpoint,
        "client_id": "studio",
        "secret": "studio",
    }
    # People of these domains can join at their first log-in. The provider returns the address typed, and confirms none.
    provider.update(domains=["sso.example"], only_domains=["sso.example"], email_is_trusted=True)
    return json.dumps([provider])


def register_people(port: int, rows: list[dict[str, Any]], timeout_seconds: float = 20) -> None:
    """Register the users at the provider, when it is up. Raises ``StartFailed`` if it does not answer."""
    timeout_ends = time.monotonic() + timeout_seconds
    for row in rows:
        subject = str(row.get("sso") or "")
        if not subject:
            continue
        claims = {"email": row["email"], "email_verified": True, "name": row.get("name", ""), "amr": ["pwd", "mfa"]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/users/{quote(subject, safe='')}",
            data=json.dumps(claims).encode(),
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        while not _sent(request):
            if time.monotonic() > timeout_ends:
                raise StartFailed("The demo SSO provider does not answer.")
            time.sleep(0.05)


def _sent(request: urllib.request.Request) -> bool:
    try:
        with urllib.request.urlopen(request, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        raise StartFailed(f"The demo SSO provider refuses its people: {error}") from None
    except OSError:
        return False
