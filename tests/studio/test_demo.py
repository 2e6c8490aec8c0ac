"""The demo data of ``make run``."""

import base64
import json
from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db.models import Min

from accounts import totp
from accounts.models import TotpDevice, User
from conversations.models import Attachment, Contact, Conversation, Message
from devserver.demo.cast import LOGINS, PASSWORD
from devserver.demo.seed import seed
from environments.models import Organisation
from environments.policies.resolve import mfa_required
from tests.factories import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def state(tmp_path, settings):
    settings.STATE = tmp_path
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "attachments")},
        }
    }
    return tmp_path


def test_the_demo_fills_sixty_environments_with_400_days_of_conversations(state):
    stored = seed(now=NOW, say=lambda _done: None)

    assert Organisation.objects.environments().count() == 60
    assert Conversation.objects.count() == stored
    assert Conversation.objects.values("environment").distinct().count() == 60
    oldest = Message.objects.aggregate(at=Min("sent_at"))["at"]
    assert timedelta(days=390) < NOW - oldest < timedelta(days=402)
    assert not Message.objects.filter(sent_at__gt=NOW).exists()
    assert not Contact.objects.filter(created_at__gt=NOW).exists()
    assert Contact.objects.filter(created_at__gt=NOW - timedelta(days=7)).count() < Contact.objects.count() / 20
    file = Attachment.objects.filter(name="photo.png").select_related("blob").first()
    with default_storage.open(file.blob.key) as stored_file:
        assert stored_file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_seeding_twice_changes_nothing(state, capsys):
    call_command("seed_demo")
    before = (Message.objects.count(), User.objects.count(), (state / "demo.json").read_text())

    call_command("seed_demo")

    assert (Message.objects.count(), User.objects.count(), (state / "demo.json").read_text()) == before
    assert capsys.readouterr().out.endswith("0 conversations stored.\n")


def test_every_printed_log_in_is_right(state):
    seed(now=NOW, say=lambda _done: None)

    rows = json.loads((state / "demo.json").read_text())

    assert [row["email"] for row in rows] == [login.email for login in LOGINS]
    for row in rows:
        user = User.objects.get(email=row["email"])
        assert user.check_password(PASSWORD) == (row["password"] == PASSWORD)
        assert row["sso"] == ("" if row["password"] else row["email"])  # what a visitor types at the provider
        device = TotpDevice.objects.filter(user=user).first()
        assert bool(row["totp_secret"]) == bool(device)
        if device:
            assert totp.unseal(bytes(device.secret), user_id=user.pk) == base64.b32decode(row["totp_secret"])
    required = {row["email"] for row in rows if mfa_required(User.objects.get(email=row["email"]))}
    assert "pieter@lindehof.example" in required
    assert "jeroen@maasborg.example" not in required
