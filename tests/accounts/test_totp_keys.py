"""The keys that seal TOTP secrets: rotated row by row, and missed at the start, not at the next log-in."""

import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.choices import MailPurpose
from accounts.factors import services as factors
from accounts.factors.rotation import opens_with_newest
from accounts.models import TotpDevice
from environments.models import IdentityProvider
from tests.factories import UserFactory, environment
from tests.logging_in import code, give_app
from tests.mailbox import sent_mails
from tests.own_providers import own_provider


@pytest.fixture
def new_key(settings) -> str:
    """Put another key in front of the one that is used."""
    key = Fernet.generate_key().decode()
    settings.TOTP_KEYS = [key, *settings.TOTP_KEYS]
    return key


def about_keys(**checked: object) -> list[str]:
    return [message.id for message in run_checks(**checked) if message.id in {"accounts.E009", "accounts.W001"}]


def test_every_secret_is_sealed_with_the_newest_key_and_the_old_one_can_go(transactional_db, settings, request, capsys):
    people = [UserFactory() for _number in range(3)]
    for user in people:
        give_app(user)
    new = request.getfixturevalue("new_key")
    call_command("rotate_totp")
    assert "3 secrets re-encrypted: 3 are on the newest key, 0 on older ones." in capsys.readouterr().out
    settings.TOTP_KEYS = [new]
    assert factors.verify_app(people[0], code(), now=timezone.now()).name == "Phone"
    call_command("rotate_totp")
    assert "0 secrets re-encrypted: 3 are on the newest key" in capsys.readouterr().out


def test_a_dry_run_counts_and_changes_nothing(db, request, capsys):
    give_app(UserFactory())
    request.getfixturevalue("new_key")
    give_app(UserFactory())
    call_command("rotate_totp", "--dry-run")
    assert "1 secrets are on the newest key, 1 on older ones. Nothing was changed." in capsys.readouterr().out
    assert [opens_with_newest(bytes(device.secret)) for device in TotpDevice.objects.order_by("pk")] == [False, True]


def test_a_secret_that_no_key_opens_is_reported_and_not_changed(db, settings, capsys):
    device = give_app(UserFactory())
    settings.TOTP_KEYS = [Fernet.generate_key().decode()]
    give_app(UserFactory())
    with pytest.raises(CommandError, match="No key of TOTP_KEYS opens 1 secrets"):
        call_command("rotate_totp")
    assert bytes(TotpDevice.objects.get(pk=device.pk).secret) == bytes(device.secret)


def test_keys_that_open_no_stored_secret_fail_the_check_that_migrate_runs(db, settings):
    assert about_keys(databases=["default"]) == []
    give_app(UserFactory())
    assert about_keys(databases=["default"]) == []
    settings.TOTP_KEYS = [Fernet.generate_key().decode()]
    assert about_keys(databases=["default"]) == ["accounts.E009"]


def test_a_newest_key_that_opens_nothing_yet_asks_for_a_rotation(db, request):
    give_app(UserFactory())
    request.getfixturevalue("new_key")
    assert about_keys(databases=["default"]) == ["accounts.W001"]
    call_command("rotate_totp")
    assert about_keys(databases=["default"]) == []


def test_without_a_database_the_check_asks_nothing(settings):
    settings.TOTP_KEYS = [Fernet.generate_key().decode()]
    assert about_keys() == []


def test_the_client_secret_of_an_identity_provider_is_sealed_with_the_newest_key_too(transactional_db, request):
    provider = own_provider(environment())
    IdentityProvider.objects.create(organisation=provider.organisation, title="Without a secret yet")
    request.getfixturevalue("new_key")
    call_command("rotate_totp")
    provider.refresh_from_db()
    assert opens_with_newest(bytes(provider.secret))


def test_a_mail_that_waits_is_sealed_with_the_newest_key_too(db, settings, request):
    ada = UserFactory()
    factors.send_mailbox_code(ada, purpose=MailPurpose.STEP_UP, now=timezone.now())
    new = request.getfixturevalue("new_key")
    call_command("rotate_totp")
    settings.TOTP_KEYS = [new]
    assert [mail.to for mail in sent_mails()] == [[ada.email]]
