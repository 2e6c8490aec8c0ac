"""In a database that was put back, no command changes what the journal speaks of before it was done again."""

from importlib import import_module
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command, get_commands
from django.utils import timezone

from archival.engine.run import purge
from archival.journal import entries as journal
from archival.restore.reapply import reapply_journal
from conversations.models import Conversation, Message
from environments.models import Organisation
from tests.archival.limits import archive_after
from tests.archival.restoring import backup
from tests.conversations.lines import line, raw
from tests.factories import conversation, environment, organisation
from tests.test_architecture import ROOMS

pytestmark = pytest.mark.django_db(transaction=True)
REFUSED = {
    "import_conversations": ["{lines}", "--environment", "acme"],
    "export_environment": ["acme", "{lines}.exported"],
    "configure": ["acme", "--archive-after-days", "keep"],
    "create_organisation": ["New", "--kind", "environment", "--parent", "above"],
    "delete_organisation": ["acme", "--yes"],
    "purge": [],
    "seed_demo": [],
}
DRY = ("import_conversations", "export_environment", "delete_organisation", "purge")


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def acme(now):
    acme = archive_after(environment(slug="acme", parent=organisation(slug="above")), 30)
    conversation(of=acme, days_ago=1, now=now)
    return acme


@pytest.fixture
def lines(tmp_path, own_storage):
    (tmp_path / "lines.jsonl").write_bytes(raw(line("c1")))
    return str(tmp_path / "lines.jsonl")


def run(name, lines, *more):
    call_command(name, *(each.format(lines=lines) for each in REFUSED[name]), *more)


def refusal_of(name, lines, *more):
    with pytest.raises(CommandError) as refused:
        run(name, lines, *more)
    assert refused.value.returncode == 1
    return str(refused.value)


def rows():
    conversations, organisations = Conversation.objects.order_by("pk"), Organisation.objects.order_by("pk")
    return list(conversations.values()), list(organisations.values("pk", "slug", "archival", "archive_after_days"))


def test_commands_that_change_data_or_limits_are_refused_until_the_journal_is_done_again(acme, lines, now):
    with backup() as taken:
        gone = conversation(of=acme, days_ago=31, now=now)
        purge(now=now, sleep_ratio=0)
        taken.restore()
        before = rows()
        assert {name: refusal_of(name, lines) for name in REFUSED} == dict.fromkeys(REFUSED, journal.RESTORED)
        with pytest.raises(CommandError, match="An older database"):
            call_command("sweep_blobs", "--delete")
        for name in DRY:
            run(name, lines, "--dry-run")
        call_command("check_retention")
        call_command("sweep_blobs")
        assert rows() == before
        taken.restore()  # a dry run has taken ids
        call_command("reapply_purges")
        run("import_conversations", lines)
    stored = Conversation.objects.get(external_id="c1")
    assert stored.pk <= gone.pk, "it has an id that the journal names, and was not there when that was done again"
    assert Message.objects.filter(conversation=stored).count() == 1
    assert reapply_journal(now=now).entries == 0


def test_commands_wait_too_where_the_journal_cannot_be_read(acme, lines):
    location = Path(storages["journal"].location)
    location.parent.mkdir(parents=True, exist_ok=True)
    location.write_text("in the way")
    try:
        said = {refusal_of(name, lines) for name in REFUSED}
    finally:
        location.unlink()
    (line,) = said
    assert line.startswith("The journal of purges cannot be read (NotADirectoryError)")
    run("import_conversations", lines)
    assert Conversation.objects.filter(external_id="c1").exists()


def test_each_command_says_whether_it_waits():
    """The others write accounts, memberships and keys, of which the journal knows nothing, or write nothing."""
    ours = {name: room for name, room in get_commands().items() if room in ROOMS}
    commands = {name: import_module(f"{room}.management.commands.{name}").Command for name, room in ours.items()}
    assert {name for name, made in commands.items() if getattr(made, "needs_current_database", False)} == set(REFUSED)
    assert set(commands) - set(REFUSED) == {
        "check_heartbeat", "check_retention", "create_api_key", "create_member", "create_super_user",
        "createsuperuser", "reapply_purges", "reset_mfa", "rotate_totp", "sweep_blobs", "verify_audit",
        "verify_receipt",
    }  # fmt: skip
