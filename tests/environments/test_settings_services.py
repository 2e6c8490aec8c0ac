"""Setting the two advanced settings on a node, and what locks above forbid."""

import pytest
from django.core.exceptions import ValidationError

from audit.models import Event
from environments.caller import SYSTEM, Caller
from environments.choices import Archival, MfaSetting, Role
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa, set_retention
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db


def limit(organisation, days, *, locked=False, by=SYSTEM):
    return set_retention(organisation, to=Retention.limit(days, locked=locked), by=by, now=NOW)


def test_a_limit_holds_for_everything_below(agency, acme):
    limit(agency, 90)
    acme.refresh_from_db()
    assert (acme.effective_archive_after_days, acme.archival_source) == (90, agency)


def test_the_nearest_value_wins(agency, acme):
    limit(agency, 90)
    limit(acme, 365)
    assert (acme.effective_archive_after_days, acme.archival_source) == (365, acme)


def test_keep_is_not_inherit(agency, acme):
    limit(agency, 90)
    set_retention(acme, to=Retention.keep(), by=SYSTEM, now=NOW)
    assert (acme.effective_archive_after_days, acme.archival_source) == (None, acme)


def test_a_lock_bounds_what_is_below_and_leaves_the_stored_value(agency, acme):
    limit(acme, 365)
    limit(agency, 90, locked=True)
    acme.refresh_from_db()
    assert (acme.archive_after_days, acme.effective_archive_after_days, acme.archival_source) == (365, 90, agency)
    limit(agency, 90, locked=False)
    acme.refresh_from_db()
    assert (acme.effective_archive_after_days, acme.archival_source) == (365, acme)


@pytest.mark.parametrize(("archival", "days"), [("limit", 91), ("keep", None)])
def test_a_lock_above_refuses_what_is_looser(agency, acme, archival, days):
    limit(agency, 90, locked=True)
    with pytest.raises(ValidationError, match="Noorderlicht Digital locks this setting: at most 90 days"):
        set_retention(acme, to=Retention(archival, days), by=Caller.of(factories.member(agency)), now=NOW)
    acme.refresh_from_db()
    assert acme.archival == Archival.INHERIT


@pytest.mark.parametrize(("archival", "days"), [("limit", 90), ("limit", 1), ("inherit", None)])
def test_a_lock_above_allows_what_is_as_strict(agency, acme, archival, days):
    limit(agency, 90, locked=True)
    set_retention(acme, to=Retention(archival, days), by=SYSTEM, now=NOW)
    assert acme.archival == archival


def test_the_refusal_names_no_organisation_that_the_actor_cannot_see(agency, acme):
    limit(agency, 90, locked=True)
    set_require_mfa(agency, to=MfaRule.on(locked=True), by=SYSTEM, now=NOW)
    ada = factories.member(acme, Role.ADMINISTRATOR)
    with pytest.raises(ValidationError) as archival:
        limit(acme, 100, by=Caller.of(ada))
    with pytest.raises(ValidationError) as mfa:
        set_require_mfa(acme, to=MfaRule.off(), by=Caller.of(ada), now=NOW)
    assert archival.value.messages == ["An organisation above locks this setting: at most 90 days."]
    assert mfa.value.messages == ["An organisation above locks this setting: it stays on."]


@pytest.mark.parametrize(
    ("archival", "days", "locked"),
    [
        ("limit", None, False), ("limit", 0, False), ("limit", -1, False), ("limit", 3651, False),
        ("limit", "30", False), ("limit", True, False), ("limit", 1.5, False), ("keep", 30, False),
        ("inherit", 30, False), ("", None, False), ("delete", None, False), ("keep", None, True),
        ("inherit", None, True),
    ],
)  # fmt: skip
def test_malformed_limits_are_refused_and_change_nothing(acme, archival, days, locked):
    limit(acme, 30)
    events = Event.objects.count()
    with pytest.raises(ValidationError):
        set_retention(acme, to=Retention(archival, days, locked), by=SYSTEM, now=NOW)
    acme.refresh_from_db()
    assert (acme.archival, acme.archive_after_days, Event.objects.count()) == ("limit", 30, events)


@pytest.mark.parametrize(("value", "locked"), [("maybe", False), ("", False), ("off", True), ("inherit", True)])
def test_malformed_mfa_settings_are_refused(acme, value, locked):
    with pytest.raises(ValidationError):
        set_require_mfa(acme, to=MfaRule(value, locked), by=SYSTEM, now=NOW)
    acme.refresh_from_db()
    assert acme.require_mfa == MfaSetting.INHERIT


def test_leaving_the_lockable_value_takes_the_lock_off(agency):
    limit(agency, 90, locked=True)
    set_require_mfa(agency, to=MfaRule.on(locked=True), by=SYSTEM, now=NOW)
    set_retention(agency, to=Retention.keep(), by=SYSTEM, now=NOW)
    set_require_mfa(agency, to=MfaRule.off(), by=SYSTEM, now=NOW)
    assert (agency.archival_locked, agency.require_mfa_locked) == (False, False)


def test_an_mfa_lock_overrules_a_stored_off(agency, acme):
    set_require_mfa(acme, to=MfaRule.off(), by=SYSTEM, now=NOW)
    set_require_mfa(agency, to=MfaRule.on(locked=True), by=SYSTEM, now=NOW)
    acme.refresh_from_db()
    assert (acme.require_mfa, acme.effective_require_mfa, acme.require_mfa_source) == ("off", True, agency)


def test_every_change_is_audited_with_before_and_after_and_no_change_is_not(acme):
    ada = factories.member(acme)
    assert limit(acme, 30, by=Caller.of(ada)) is True
    assert limit(acme, 30, by=Caller.of(ada)) is False
    (event,) = Event.objects.filter(action="retention.changed")
    assert (event.actor_label, event.organisation_id) == (ada.email, acme.pk)
    assert (event.before["archival"], event.after["archive_after_days"]) == ("inherit", 30)
