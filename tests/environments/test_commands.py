"""The commands that scripts rely on: what they print, and how they refuse."""

import io
import os
import re
import resource
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts.models import User
from archival.journal import entries as journal
from archival.models import JournalEntry
from audit.models import Event
from environments.choices import Role
from environments.models import ApiKey, Membership, Organisation
from tests import factories
from tests.archival.celery_processes import database_url

pytestmark = pytest.mark.django_db


def run(*args, stdin="", monkeypatch=None):
    out = io.StringIO()
    if monkeypatch is not None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    call_command(*args, stdout=out)
    return out.getvalue()


def refusal(*args, **kwargs):
    with pytest.raises(CommandError) as error:
        run(*args, **kwargs)
    return error.value.returncode, str(error.value)


def test_create_organisation_prints_the_short_name():
    assert run("create_organisation", "Noorderlicht Digital", "--kind", "agency") == "noorderlicht-digital\n"
    made = run(
        "create_organisation", "Acme", "--kind", "environment", "--parent", "noorderlicht-digital", "--slug", "a1"
    )
    assert made == "a1\n"
    a1 = Organisation.objects.get(slug="a1")
    assert Organisation.objects.get(path=a1.parent_path).slug == "noorderlicht-digital"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["X", "--kind", "environment"], "needs a parent"),
        (["X", "--kind", "agency", "--parent", "nowhere"], "no organisation with the short name 'nowhere'"),
        (["X", "--kind", "agency", "--slug", "login"], "reserved"),
        (["X", "--kind", "agency", "--slug", "Bad Slug"], "slug:"),
        (["X", "--kind", "agency", "--slug", "taken"], "taken"),
    ],
)
def test_create_organisation_refuses(args, says):
    factories.organisation(slug="taken")
    before = Organisation.objects.count()
    code, message = refusal("create_organisation", *args)
    assert (code, says in message, Organisation.objects.count()) == (1, True, before)


def test_create_member_creates_a_user_whose_password_obeys_the_rules(monkeypatch):
    factories.environment(slug="acme")
    args = [
        "create_member",
        "Ada@Example.test",
        "--organisation",
        "acme",
        "--role",
        "administrator",
        "--password-stdin",
    ]
    code, _ = refusal(*args, stdin="short\n", monkeypatch=monkeypatch)
    assert (code, User.objects.count()) == (1, 0)
    run(*args, stdin="Correct-Horse-9\n", monkeypatch=monkeypatch)
    ada = User.objects.get(email="ada@example.test")
    assert ada.check_password("Correct-Horse-9")
    assert Membership.objects.live().get(user=ada).roles == ["administrator"]


def test_create_member_gives_an_existing_user_the_membership_and_leaves_their_password(monkeypatch):
    acme, ada = factories.environment(slug="acme"), factories.UserFactory(email="ada@example.test")
    args = ["create_member", "ADA@example.test", "--organisation", "acme", "--role", "member", "--password-stdin"]
    run(*args, stdin="Another-Horse-9\n", monkeypatch=monkeypatch)
    ada.refresh_from_db()
    assert ada.check_password(factories.PASSWORD)
    assert ada.memberships.get().organisation == acme


@pytest.mark.parametrize("args", [["nobody", "acme"], ["ada@example.test", "elsewhere"]])
def test_create_member_refuses_and_leaves_no_user(args):
    factories.environment(slug="acme")
    email, slug = args
    assert refusal("create_member", email, "--organisation", slug, "--role", "member")[0] == 1
    assert User.objects.count() == 0


def test_create_super_user_grants_the_flag_once():
    run("create_super_user", "root@example.test")
    run("create_super_user", "root@example.test")
    assert User.objects.get().is_superuser
    assert Event.objects.filter(action="super_user.granted").count() == 1


def test_configure_sets_both_settings():
    acme = factories.environment(slug="acme")
    run("configure", "acme", "--require-mfa", "on", "--archive-after-days", "30", "--now")
    acme.refresh_from_db()
    assert (acme.effective_require_mfa, acme.effective_archive_after_days) == (True, 30)
    run("configure", "acme", "--require-mfa", "inherit", "--archive-after-days", "keep")
    acme.refresh_from_db()
    assert (acme.require_mfa, acme.archival, acme.effective_archive_after_days) == ("inherit", "keep", None)


def test_configure_does_all_or_nothing():
    agency = factories.organisation(slug="agency")
    acme = factories.environment(slug="acme", parent=agency)
    agency.archival, agency.archive_after_days, agency.archival_locked = "limit", 30, True
    agency.save(update_fields=["archival", "archive_after_days", "archival_locked"])
    assert refusal("configure", "acme", "--require-mfa", "on", "--archive-after-days", "31")[0] == 1
    acme.refresh_from_db()
    assert (acme.require_mfa, acme.archival) == ("inherit", "inherit")


@pytest.mark.parametrize("value", ["0", "-1", "3651", "1.5", "", "forever", "٣"])
def test_configure_refuses_what_is_no_number_of_days(value):
    factories.environment(slug="acme")
    with pytest.raises((CommandError, SystemExit)):
        run("configure", "acme", f"--archive-after-days={value}")


def test_configure_with_nothing_to_set_is_wrong_usage():
    factories.environment(slug="acme")
    assert refusal("configure", "acme")[0] == 2


def test_configure_requires_mfa_from_a_date_and_at_once_without_one():
    acme = factories.environment(slug="acme")
    out = run("configure", "acme", "--require-mfa", "on", "--from", "2035-01-01T09:00+01:00")
    assert out.splitlines()[0] == "acme: MFA required from 2035-01-01 08:00 UTC"
    acme.refresh_from_db()
    assert (acme.require_mfa, acme.mfa_changes.get().state) == ("inherit", "pending")
    run("configure", "acme", "--require-mfa", "on")
    acme.refresh_from_db()
    assert (acme.effective_require_mfa, acme.mfa_changes.get().state) == (True, "replaced")


@pytest.mark.parametrize("value", ["2035-01-01T09:00", "2035-01-01", "tomorrow", "", "2035-13-01T09:00Z"])
def test_configure_refuses_a_date_without_offset(value):
    factories.environment(slug="acme")
    with pytest.raises((CommandError, SystemExit)):
        run("configure", "acme", "--require-mfa", "on", f"--from={value}")


def test_configure_refuses_a_date_in_the_past_and_beside_anything_but_on():
    acme = factories.environment(slug="acme")
    code, message = refusal("configure", "acme", "--require-mfa", "on", "--from", "2020-01-01T09:00Z")
    assert (code, message) == (1, "require_mfa_from: Choose a moment in the future.")
    for value in ["off", "inherit"]:
        assert refusal("configure", "acme", "--require-mfa", value, "--from", "2035-01-01T09:00Z")[0] == 2
    assert not acme.mfa_changes.exists()


def test_configure_limits_from_a_date():
    acme = factories.environment(slug="acme")
    factories.conversation(of=acme, days_ago=40, now=timezone.now())
    at = (timezone.now() + timedelta(days=30)).replace(second=0, microsecond=0)
    answer = run("configure", "acme", "--archive-after-days", "30", "--archive-from", at.isoformat())
    assert f"acme: pending, acts at {at:%Y-%m-%d %H:%M} UTC" in answer
    acme.refresh_from_db()
    assert acme.archival == "inherit"
    for words in (["--require-mfa", "on"], ["--archive-after-days", "30", "--now"]):
        assert refusal("configure", "acme", *words, "--archive-from", at.isoformat())[0] == 2


def test_a_super_user_without_a_password_sets_one_by_the_link_that_is_printed(client, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    link = re.search(r"http://\S+(/password/\S+)", run("create_super_user", "root@example.test"))

    page = client.get(link[1], follow=True)
    assert page.status_code == 200
    client.post(page.request["PATH_INFO"], {"password": "Correct-Horse-9", "again": "Correct-Horse-9"})

    assert User.objects.get().check_password("Correct-Horse-9")


@pytest.mark.parametrize(
    "more", [["create_super_user"], ["create_member", "--organisation", "acme", "--role", "member"]]
)
def test_a_second_run_gives_a_password_to_whoever_has_none(monkeypatch, more):
    factories.environment(slug="acme")
    command, *options = more
    run("create_super_user", "root@example.test")
    args = [command, "root@example.test", *options, "--password-stdin"]

    assert refusal(*args, stdin="x\n", monkeypatch=monkeypatch)[0] == 1
    run(*args, stdin="Correct-Horse-9\n", monkeypatch=monkeypatch)
    assert User.objects.get().check_password("Correct-Horse-9")

    assert "password was not changed" in run(*args, stdin="Another-Horse-9\n", monkeypatch=monkeypatch)
    assert User.objects.get().check_password("Correct-Horse-9")


def test_djangos_own_command_makes_nobody_with_a_password_outside_the_rules(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "x")
    with pytest.raises(CommandError, match="create_super_user"):
        call_command("createsuperuser", "--noinput", "--email", "root@example.test")
    assert not User.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_key_that_cannot_be_shown_is_not_made():
    acme = factories.environment(slug="acme")
    factories.member(acme, Role.ADMINISTRATOR, email="ada@example.test")

    answer = on_a_full_disk("create_api_key", "ada@example.test", "--name", "bot", stdout="/dev/full")

    assert (answer.returncode, ApiKey.objects.count()) == (1, 0)
    assert answer.stderr.count("\n") == 1, answer.stderr
    assert "No space left on device" in answer.stderr


@pytest.mark.django_db(transaction=True)
def test_a_command_on_a_database_without_tables_says_in_a_line_what_to_do():
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE environments_organisation RENAME TO elsewhere")
    try:
        code, message = refusal("create_organisation", "Acme", "--kind", "agency")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO environments_organisation")
    assert (code, "manage.py migrate" in message) == (1, True)


@pytest.mark.django_db(transaction=True)
def test_configure_on_a_full_disk_says_so_in_lines_and_leaves_no_half_file_in_the_journal():
    acme = factories.environment(slug="acme")

    answer = on_a_full_disk("configure", "acme", "--archive-after-days", "30", "--now")

    acme.refresh_from_db()
    assert (answer.returncode, acme.archive_after_days) == (1, 30)
    assert "The command did its work, but the journal could not be written" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert JournalEntry.objects.get().sequence is None
    assert [path for path in Path(storages["journal"].location).rglob("*") if path.is_file()] == []

    journal.write_entries()
    assert [told.kind for told in map(journal.read_entry, journal.file_names())] == ["policy"]


def test_no_file_is_stored_in_part_on_a_full_disk(tmp_path):
    """As of an attachment: a limit of the size of files stands for the disk."""
    script = """if True:
        import resource, sys
        from django.core.files.base import ContentFile
        from django.core.files.storage import storages
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        try:
            storages["default"].save("1/file", ContentFile(b"x" * 5000))
        except OSError as error:
            print("refused", error.strerror)
    """
    environment = os.environ | {"ATTACHMENT_ROOT": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v0", "-c", script],
        cwd=settings.ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert "refused" in answer.stdout, answer.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def on_a_full_disk(*arguments, stdout=""):
    """Run a command in a process of its own that cannot write a byte into a file, and perhaps not to its output."""

    def no_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    with open(stdout or os.devnull, "w") as output:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=settings.ROOT,
            env=os.environ | {"DATABASE_URL": database_url()},
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=no_room,
        )
