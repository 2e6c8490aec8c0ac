"""The proof prints what is left of each kind, and has nothing in common with what it checks."""

import ast
import inspect
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from archival import proof
from archival.holds import place_hold
from archival.management.commands import check_retention
from tests.archival.limits import archive_after
from tests.factories import conversation, environment

pytestmark = pytest.mark.django_db


def imported_from(module, room):
    tree = ast.parse(inspect.getsource(module))
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return {name for name in names if name.split(".")[0] == room}


def test_the_proof_imports_nothing_of_the_purge():
    assert imported_from(proof, "archival") == {"archival.choices", "archival.models"}
    assert imported_from(check_retention, "archival") == {"archival.choices", "archival.proof"}


def test_it_prints_the_oldest_item_of_every_kind_in_every_environment(capsys):
    now = timezone.now()
    conversation(of=archive_after(environment(slug="limited"), 30), days_ago=29, now=now)
    conversation(of=environment(slug="forever"), days_ago=5000, now=now)

    call_command("check_retention")

    rows = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    shown = {(slug.strip(), kind.strip()): (oldest.strip(), state.strip()) for slug, kind, _, oldest, state, _ in rows}
    kinds = {"messages", "variables", "attachments", "conversations", "contacts", "files"}
    assert shown.keys() == {(slug, kind) for slug in ("limited", "forever") for kind in kinds}
    assert shown["limited", "messages"] == ((now - timedelta(days=29)).isoformat(timespec="seconds"), "On time")
    assert shown["forever", "messages"] == ((now - timedelta(days=5000)).isoformat(timespec="seconds"), "Kept")
    assert shown["limited", "files"] == ("", "On time")


def test_it_can_show_only_what_is_late_or_held(capsys):
    now = timezone.now()
    late, held = (archive_after(environment(slug=slug), 30) for slug in ("too-late", "on-hold"))
    for each in (late, held):
        conversation(of=each, days_ago=31, now=now)
    place_hold(held, reason="Claims dispute", by=None, now=now)
    conversation(of=archive_after(environment(slug="fine"), 30), days_ago=29, now=now)

    with pytest.raises(SystemExit, match="1"):
        call_command("check_retention", "--late")

    out = capsys.readouterr().out
    assert ("too-late" in out, "on-hold" in out, "fine" in out) == (True, True, False)
    assert "3 environments checked" in out
