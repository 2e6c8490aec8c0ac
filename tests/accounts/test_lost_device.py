"""A lost device is reset by whoever administers everything that its owner reaches, and by nobody else."""

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.compliance import has_factor
from audit.models import Event
from environments.choices import Role
from environments.lost_device import reset_factors
from environments.models import ApiKey, Membership
from tests.factories import NOW, UserFactory, environment, member
from tests.signing_in import app_of, sign_in


@pytest.fixture
def vic(acme):
    vic = member(acme, Role.MEMBER, email="vic@acme.test")
    app_of(vic)
    return vic


def test_an_administrator_of_everything_resets_and_every_session_and_key_ends(ada, vic, acme):
    visitor = Client()
    sign_in(visitor, vic)
    ApiKey.objects.create(name="key", owner=vic, created_by=vic, prefix="abc", hash="x")

    assert reset_factors(vic, by=ada, now=NOW) == 1

    assert not has_factor(vic)
    assert visitor.get("/profile/security/").status_code == 302
    assert ApiKey.objects.get().revoked_at == NOW
    assert Event.objects.filter(action="factors.reset", organisation_id=acme.pk, subject_id=vic.pk).count() == 1


def test_one_tenants_administrator_cannot_reset_somebody_of_other_tenants(ada, vic):
    other = environment()
    Membership.objects.create(user=vic, organisation=other, roles=[Role.MEMBER], accepted_at=timezone.now())
    with pytest.raises(PermissionDenied):
        reset_factors(vic, by=ada, now=NOW)
    assert has_factor(vic)


@pytest.mark.parametrize("role", [role for role in Role if role != Role.ADMINISTRATOR])
def test_no_lower_role_resets(vic, acme, role):
    with pytest.raises(PermissionDenied):
        reset_factors(vic, by=member(acme, role), now=NOW)


def test_nobody_resets_himself_or_a_super_user_or_a_stranger(ada, vic, acme):
    vic.is_superuser = True
    vic.save()
    for by, user in ((ada, ada), (ada, vic), (ada, UserFactory())):
        with pytest.raises(PermissionDenied):
            reset_factors(user, by=by, now=NOW)
    assert reset_factors(vic, by=UserFactory(is_superuser=True), now=NOW) == 1


def test_the_command_says_what_would_go_and_then_does_it(vic, capsys):
    call_command("reset_mfa", "VIC@acme.test", "--dry-run")
    assert has_factor(vic)
    call_command("reset_mfa", "vic@acme.test")
    assert not has_factor(vic)
    assert "would lose these factors: Phone" in capsys.readouterr().out
