"""After a restore, step by step as ``docs/retention.md`` says it, with PostgreSQL's own programs."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from archival.engine.run import purge
from archival.holds.services import place_hold
from archival.models import Erasure
from archival.requests.deletion import delete_organisation
from archival.requests.erasure import erase_contact
from archival.restore.readiness import readiness
from conversations.models import Blob, Contact, Message
from environments.caller import SYSTEM
from environments.models import Organisation
from tests.archival.limits import archive_after
from tests.archival.restoring import Dump
from tests.browser import assert_accessible
from tests.factories import conversation, environment, organisation

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_steps_of_the_document_bring_back_a_database_without_what_was_deleted_since(client, capsys, tmp_path):
    now = timezone.now()
    agency = organisation(slug="agency")
    limited = archive_after(environment(slug="limited", parent=agency), 30)
    conversation(of=limited, days_ago=[40, 1], now=now)
    whom = conversation(of=limited, days_ago=1, now=now).contact
    doomed = environment(slug="doomed", parent=agency)
    conversation(of=doomed, now=now)
    taken = Dump(tmp_path / "studio.dump")
    taken.take()
    purge(now=now, sleep_ratio=0)
    erase_contact(whom, by=SYSTEM, now=now)
    delete_organisation(doomed, by=SYSTEM, now=now)
    with connection.cursor() as cursor:  # what a later release might have added
        cursor.execute("CREATE TABLE later (of bigint REFERENCES environments_organisation)")

    taken.restore()

    assert Message.objects.count() == 4, "the backup has what was deleted since"
    call_command("migrate", verbosity=0)
    assert client.get("/readyz").status_code == 503
    call_command("reapply_purges", "--dry-run")
    call_command("reapply_purges")
    planned, done = capsys.readouterr().out.split("Repeating the entries of the journal.\n")
    assert planned.replace("Would be permanently", "Permanently") == done
    readiness.forget()
    assert client.get("/readyz").status_code == 200
    assert (Message.objects.count(), Contact.objects.count(), Erasure.objects.count()) == (1, 1, 1)
    assert not Organisation.objects.filter(slug="doomed").exists()
    call_command("check_retention")
    assert "0 findings late" in capsys.readouterr().out


def test_the_document_names_the_programs_and_options_that_were_tried():
    text = (Path(settings.ROOT) / "docs" / "retention.md").read_text()
    for command in ("pg_dump --format=custom", "dropdb --force", "createdb", "pg_restore --exit-on-error --no-owner"):
        assert command in text


def test_a_file_that_came_after_the_backup_is_found_by_the_sweep_a_day_later(capsys, tmp_path):
    limited = environment(slug="limited")
    taken = Dump(tmp_path / "studio.dump")
    taken.take()
    key = default_storage.save(f"{limited.pk}/late", ContentFile(b"x"))
    Blob.objects.create(environment=limited, sha256="x", key=key, size=1)
    taken.restore()
    written_at = (timezone.now() - timedelta(hours=25)).timestamp()
    os.utime(default_storage.path(key), (written_at, written_at))
    with pytest.raises(SystemExit, match="1"):
        call_command("sweep_blobs")
    assert f"{key}" in capsys.readouterr().out


@pytest.mark.browser
def test_the_page_that_says_so_is_accessible(page, tmp_path):
    acme = environment(slug="acme")
    taken = Dump(tmp_path / "studio.dump")
    taken.take()
    place_hold(acme, reason="dispute", by=SYSTEM, now=timezone.now())
    taken.restore()
    assert_accessible(page, "/acme/")
    assert page.get_by_role("heading").inner_text() == "Studio is not ready yet"
