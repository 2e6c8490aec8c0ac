"""A command whose output cannot be written ends with 1 and one line, and has changed nothing."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings as configured
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command, get_commands
from django.db import transaction
from django.utils import timezone

from archival.journal import entries as journal
from archival.models import JournalEntry
from conversations.models import Contact
from environments.choices import Role
from environments.models import Organisation
from tests.archival.celery_processes import database_url
from tests.archival.limits import archive_after
from tests.conversations.lines import line, raw
from tests.factories import conversation, environment, member
from tests.logging_in import give_app

pytestmark = pytest.mark.django_db

ROOMS = {"web", "audit", "accounts", "environments", "conversations", "archival", "studio", "devserver"}
# The commands that write; {file} is a file of conversations, {folder} one that does not exist yet.
WRITING = {
    "configure": ["acme", "--require-mfa", "on", "--archive-after-days", "20", "--now"],
    "create_api_key": ["ada@acme.test", "--name", "bot"],
    "create_member": ["new@acme.test", "--organisation", "acme", "--role", "member"],
    "create_organisation": ["Other", "--kind", "agency"],
    "create_super_user": ["root@acme.test"],
    "delete_organisation": ["acme", "--yes"],
    "export_environment": ["acme", "{folder}"],
    "import_conversations": ["{file}", "--environment", "acme"],
    "purge": [],
    "reapply_purges": [],
    "reset_mfa": ["ada@acme.test"],
    "rotate_totp": [],
    "seed_demo": [],
    "sweep_blobs": ["--delete"],
}
READING = {"check_heartbeat", "check_retention", "verify_audit", "verify_receipt"}
REFUSED = {"createsuperuser"}


@pytest.fixture
def acme():
    found = archive_after(environment(slug="acme", name="Acme"), 30)
    conversation(of=found, days_ago=[40, 1], now=timezone.now())
    give_app(member(found, Role.ADMINISTRATOR, email="ada@acme.test"))
    return found


@pytest.fixture
def orphan():
    path = Path(default_storage.path("")) / "orphan"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    then = (timezone.now() - timedelta(hours=25)).timestamp()
    os.utime(path, (then, then))
    yield path
    path.unlink(missing_ok=True)


def stored():
    """Return every row of ours."""
    models = [model for model in apps.get_models(include_auto_created=True) if model._meta.app_label in ROOMS]
    return {model: list(model._default_manager.order_by("pk").values()) for model in models}


def forget_a_deletion(acme):
    """Leave a journal that tells of a deletion which the database does not know, as after a restore."""
    with transaction.atomic():
        journal.add_deletion_entry(acme, at=timezone.now())
    journal.write_entries()
    JournalEntry.objects.all().delete()
    assert journal.database_is_older()


def test_each_command_of_ours_is_one_that_writes_or_one_that_reads():
    ours = {name for name, room in get_commands().items() if room in ROOMS}
    assert ours == set(WRITING) | READING | REFUSED


@pytest.mark.parametrize("command", WRITING)
def test_nothing_is_written_by_a_command_that_cannot_say_so(request, orphan, command, tmp_path, settings):
    file = tmp_path / "some.jsonl"
    file.write_bytes(raw(line("a")))
    if command != "seed_demo":  # which fills an empty Studio only
        acme = request.getfixturevalue("acme")
    if command == "rotate_totp":
        settings.TOTP_KEYS = [Fernet.generate_key().decode(), *settings.TOTP_KEYS]
    if command == "reapply_purges":
        forget_a_deletion(acme)
    arguments = [word.format(file=file, folder=tmp_path / "new") for word in WRITING[command]]
    before = stored()

    with open("/dev/full", "w") as full, pytest.raises(CommandError, match="No space left on device") as error:
        call_command(command, *arguments, stdout=full)

    assert error.value.returncode == 1
    assert stored() == before
    assert orphan.exists()

    if command != "seed_demo":  # it takes long, and has tests of its own
        call_command(command, *arguments)
        assert (stored(), orphan.exists()) != (before, True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["create_organisation", "Other", "--kind", "agency"], "No space left on device"),
        (["check_retention"], "No space left on device"),
        (
            ["import_conversations", "--dry-run", "--environment", "acme", "/dev/stdin"],
            "1 refused. [Errno 28] No space",
        ),
    ],
)
def test_the_exit_code_is_1_and_the_reason_one_line(acme, arguments, says):
    Contact.objects.update(last_activity_at=timezone.now() - timedelta(days=99))  # late, which is exit code 1 as well
    with open("/dev/full", "w") as full:
        answer = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=configured.ROOT,
            env=os.environ | {"DATABASE_URL": database_url(), "PYTHONUNBUFFERED": ""},
            input="nonsense",
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )

    said = [line for line in answer.stderr.splitlines() if not line.startswith("/dev/stdin:1:")]
    assert (answer.returncode, len(said)) == (1, 1), answer.stderr
    assert says in said[0]
    assert not Organisation.objects.filter(name="Other").exists()
