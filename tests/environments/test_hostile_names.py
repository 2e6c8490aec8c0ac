"""Names go into mails, subjects and lines of text: none ends its line there or turns around what follows."""

import re

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.models import User
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.invitations.services import invite
from environments.joining.sso_pipeline import full_name
from environments.models import ApiKey
from environments.tree.services import create_organisation, rename
from tests.logging_in import log_in
from tests.mailbox import sent_mails

pytestmark = pytest.mark.django_db
HOSTILE = [
    "Ada\n\nYour account ends today: https://evil.test",
    "Ada\r\nBcc: everybody@example.test",
    "Ada\tand\x00more",
    "Ada\x85next",
    "Ada\u2028next",
    "\u202egnp.exe",
    "Ada \u2066hidden\u2069",
]
FRIENDLY = ["Zoë O'Brien-García", "مريم", "李小龍", "👩‍👩‍👧 Family", "A <b>bold</b> name", "שרה\u200f"]


@pytest.fixture
def ada(ada, client):
    log_in(client, ada)
    return ada


@pytest.mark.parametrize("name", HOSTILE)
def test_nobody_takes_a_name_of_several_lines_or_one_that_reads_backwards(client, acme, ada, name):
    mailed = invite(acme, email="new@example.test", roles=[Role.MEMBER], by=Caller.of(ada), now=timezone.now())
    for path, typed in [
        ("/profile/", {"name": name, "language": "", "time_zone": "UTC"}),
        ("/acme/settings/", {"do": "name", "name": name}),
        ("/acme/organisation/", {"do": "rename", "name": name}),
        ("/profile/api-keys/", {"name": name, "lasts": "30"}),
        ("/acme/api-keys/", {"name": name, "lasts": "30", "roles": [Role.MEMBER]}),
    ]:
        answer = client.post(path, typed)
        assert answer.status_code == 200, path
        assert "no control characters" in answer.content.decode() or "Null characters" in answer.content.decode(), path
    ada.refresh_from_db()
    acme.refresh_from_db()
    assert (ada.name, acme.name, ApiKey.objects.count()) == ("Ada", "Acme", 0)
    assert mailed.organisation.name == "Acme"


@pytest.mark.parametrize("name", HOSTILE)
def test_no_service_keeps_such_a_name_either(acme, name):
    for call in (
        lambda: rename(acme, name=name, by=SYSTEM),
        lambda: create_organisation(name, kind="agency", by=SYSTEM),
        lambda: User.objects.create_user("new@example.test", name=name),
    ):
        with pytest.raises(ValidationError):
            call()


@pytest.mark.parametrize("name", FRIENDLY)
def test_every_readable_name_is_kept_as_it_is(client, acme, ada, name):
    assert client.post("/profile/", {"name": name, "language": "", "time_zone": "UTC"}).status_code == 302
    assert client.post("/acme/settings/", {"do": "name", "name": name}).status_code == 302
    ada.refresh_from_db()
    acme.refresh_from_db()
    assert (ada.name, acme.name) == (name, name)


@pytest.mark.parametrize("name", FRIENDLY)
def test_a_mail_says_a_name_in_one_line_and_as_text(acme, ada, name, django_capture_on_commit_callbacks):
    rename(acme, name=name, by=Caller.of(ada))
    User.objects.filter(pk=ada.pk).update(name=name)
    ada.refresh_from_db()
    with django_capture_on_commit_callbacks(execute=True):
        invite(acme, email="new@example.test", roles=[Role.MEMBER], by=Caller.of(ada), now=timezone.now())
    told = sent_mails()[-1]
    assert told.subject == f"You are invited to {name}"
    assert f"{name} invited you to join {name} in Studio." in told.body
    assert "<b>bold" not in told.alternatives[0].content


def test_a_provider_s_word_for_somebody_s_name_is_tidied(acme):
    class Backend:
        def full_name(self) -> str:
            return "Nina\r\nX: y\x00\u202e" + "n" * 300

    assert re.fullmatch(r"NinaX: yn+", full_name(Backend()))
    assert len(full_name(Backend())) == 255
