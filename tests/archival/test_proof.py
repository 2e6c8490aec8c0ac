"""The proof prints what is left of each kind, and has nothing in common with what it checks."""

import ast
import inspect
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from archival.evidence import alarms, oldest, proof
from archival.evidence.proof import check_all_environments
from archival.holds.services import place_hold, release_hold
from archival.management.commands import check_retention
from archival.models import BlobToDelete, Proof
from archival.policy.services import change_retention
from archival.requests.deletion import delete_organisation
from conversations.models import Blob
from environments.caller import SYSTEM
from environments.choices import Kind
from environments.models import Organisation
from environments.policies.retention import Retention
from tests.archival.limits import archive_after
from tests.factories import conversation, environment, organisation

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def imported_from(module, room):
    tree = ast.parse(inspect.getsource(module))
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return {name for name in names if name.split(".")[0] == room}


def test_the_proof_imports_nothing_of_the_purge():
    assert imported_from(proof, "archival") == {"archival.choices", "archival.models", "archival.evidence.oldest"}
    assert imported_from(oldest, "archival") == set()
    assert imported_from(check_retention, "archival") == {"archival.choices", "archival.evidence.proof"}


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
    place_hold(held, reason="Claims dispute", by=SYSTEM, now=now)
    conversation(of=archive_after(environment(slug="fine"), 30), days_ago=29, now=now)

    with pytest.raises(SystemExit, match="1"):
        call_command("check_retention", "--late")

    out = capsys.readouterr().out
    assert ("too-late" in out, "on-hold" in out, "fine" in out) == (True, True, False)
    assert "3 environments checked" in out


def found(now):
    return {
        (each.environment.slug, each.kind, each.state.value) for each in check_all_environments(now=now) if each.is_late
    }


def sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


@pytest.mark.parametrize("stored", [None, 365])
def test_a_stored_limit_that_is_not_what_the_own_values_say_is_never_green(stored):
    now = timezone.now() + 2 * HOUR
    agency = archive_after(organisation(slug="agency"), 30)
    below = environment(slug="below", parent=agency)
    conversation(of=below, days_ago=100, now=now)
    assert ("below", "messages", "late") in found(now)

    sql("UPDATE environments_organisation SET effective_archive_after_days = %s WHERE id = %s", stored, below.pk)

    assert ("below", "messages", "unreadable") in found(now)


def test_the_proof_works_out_the_same_limits_as_are_stored():
    top = archive_after(organisation(Kind.DISTRIBUTOR), 100, locked=True)
    keeping = archive_after(organisation(parent=top), None)
    shorter = archive_after(organisation(parent=top), 20, locked=True)
    longer = archive_after(organisation(), 400)
    for above in (top, keeping, shorter, longer):
        for days in (10, 50, 200, None):
            archive_after(environment(parent=above), days)
        environment(parent=above)

    everyone = list(Organisation.objects.all())

    assert proof.effective_limits(everyone) == {each.path: each.effective_archive_after_days for each in everyone}


def test_files_of_a_deleted_environment_that_are_still_there_are_found(capsys):
    now, acme = timezone.now(), environment(slug="acme")
    key = default_storage.save(f"{acme.pk}/left", ContentFile(b"bytes"))
    Blob.objects.create(environment=acme, sha256=key, key=key, size=5)
    delete_organisation(acme, by=SYSTEM, now=now)
    assert found(now) == set()

    assert found(now + 2 * HOUR) == {(f"deleted-{acme.pk}", "files", "late")}
    assert alarms.store_proof(now=now + 2 * HOUR) == 0  # no page and nobody of its own is left to tell
    BlobToDelete.objects.update(queued_at=now - 2 * HOUR)
    with pytest.raises(SystemExit, match="1"):
        call_command("check_retention", "--late")
    assert f"deleted-{acme.pk}" in capsys.readouterr().out


def test_a_change_whose_time_has_come_and_that_does_not_act_is_late_wherever_it_would_act():
    now = timezone.now()
    agency = organisation(slug="agency")
    conversation(of=environment(slug="acme", parent=agency), days_ago=400, now=now)
    environment(slug="elsewhere")
    change = change_retention(agency, to=Retention.limit(30), by=SYSTEM, now=now)

    assert found(change.acts_at + HOUR) == set()
    assert found(change.acts_at + 2 * HOUR) == {("acme", "changes", "late")}
    assert alarms.store_proof(now=change.acts_at + 2 * HOUR) == 1
    assert [str(each["kind"]) for each in Proof.objects.get(is_late=True).shown][-1] == "Overdue retention change"


@pytest.mark.parametrize("how", ["released", "ended"])
def test_what_a_hold_has_just_set_free_is_late_only_after_an_hour(how):
    now = timezone.now()
    acme = archive_after(environment(slug="acme"), 30)
    conversation(of=acme, days_ago=100, now=now)
    hold = place_hold(acme, reason="dispute", until=now if how == "ended" else None, by=SYSTEM, now=now - 2 * HOUR)
    if how == "released":
        release_hold(hold, by=SYSTEM, now=now)

    assert found(now + HOUR - SECOND) == set()
    assert ("acme", "messages", "late") in found(now + HOUR)
