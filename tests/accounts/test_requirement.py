"""The gate's one question: right for every way of reaching, and the same price for 10 and 10,000 environments."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.requirement import complies
from environments.choices import Kind, MfaSetting
from environments.models import Membership, Organisation
from environments.policies.resolve import mfa_required, requiring_environments, resolve
from tests.accounts.conftest import require_mfa
from tests.factories import NOW, UserFactory, environment, member, organisation
from tests.logging_in import give_app, log_in


def grow(agency: Organisation, count: int, *, requiring: int) -> None:
    """Put ``count`` environments below the agency, ``requiring`` of which require MFA."""
    step = Organisation.steplen
    Organisation.objects.bulk_create(
        Organisation(
            path=agency.path + Organisation._int2str(number).rjust(step, "0"),
            depth=agency.depth + 1,
            kind=Kind.ENVIRONMENT,
            name=f"Environment {number}",
            slug=f"grown-{agency.pk}-{number}",
            require_mfa=MfaSetting.ON if number <= requiring else MfaSetting.INHERIT,
            effective_require_mfa=number <= requiring,
        )
        for number in range(1, count + 1)
    )


def plan_of(user: Any) -> dict[str, Any]:
    with CaptureQueriesContext(connection) as captured:
        mfa_required(user)
    assert len(captured) == 1
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + captured[0]["sql"])
        found = cursor.fetchone()[0]
    plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def shape(node: dict[str, Any]) -> list[Any]:
    return [node["Node Type"], node.get("Index Name"), [shape(inner) for inner in node.get("Plans", [])]]


@pytest.mark.parametrize("requiring", [0, 10], ids=["none requires it", "some require it"])
def test_the_query_has_one_plan_and_one_cost_for_10_and_10000_environments(db, requiring):
    small, large = organisation(Kind.AGENCY), organisation(Kind.AGENCY)
    grow(small, 10, requiring=requiring)
    grow(large, 10_000, requiring=requiring)
    of_small, of_large = member(small), member(large)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE environments_organisation, environments_membership")

    plans = plan_of(of_small), plan_of(of_large)

    assert shape(plans[0]) == shape(plans[1])
    assert "environments_requiring_mfa" in json.dumps(plans[1])
    assert abs(plans[0]["Shared Hit Blocks"] - plans[1]["Shared Hit Blocks"]) <= 2
    assert mfa_required(of_large) is bool(requiring)


def test_a_member_of_nothing_that_requires_it_is_not_asked(ada):
    assert not mfa_required(ada)


@pytest.mark.way("Policy: access only through an agency")
def test_access_through_an_agency_counts(acme):
    agent = member(Organisation.objects.get_parent(acme))
    require_mfa(acme)
    assert mfa_required(agent)
    assert [one.name for one in requiring_environments(agent)] == ["Acme"]


@pytest.mark.way("Policy: inherited from a node above")
def test_a_node_above_passes_its_setting_down(acme, ada):
    require_mfa(Organisation.objects.get_parent(acme))
    assert mfa_required(ada)


def test_the_requirement_of_an_environment_applies_to_its_people_alone(acme, ada):
    require_mfa(environment())
    assert not mfa_required(ada)


def test_a_membership_not_accepted_or_expired_asks_nothing(acme):
    require_mfa(acme)
    user = UserFactory()
    membership = Membership.objects.create(user=user, organisation=acme, roles=["member"])
    assert not mfa_required(user)
    membership.accepted_at = timezone.now()
    membership.expires_at = timezone.now() - timedelta(seconds=1)
    membership.save()
    assert not mfa_required(user)
    membership.expires_at = None
    membership.save()
    assert mfa_required(user)


@pytest.mark.way("Policy: the environment suspended, and open again")
def test_a_suspended_environment_asks_nothing_and_asks_again_when_it_is_back(acme, ada):
    require_mfa(acme)
    Organisation.objects.filter(pk=acme.pk).update(suspended_at=NOW)
    resolve(acme, now=NOW)
    assert not mfa_required(ada)
    Organisation.objects.filter(pk=acme.pk).update(suspended_at=None)
    resolve(acme, now=NOW)
    assert mfa_required(ada)


def test_super_users_are_always_asked(db):
    assert mfa_required(UserFactory(is_superuser=True))


@pytest.mark.way("Policy: added to a requiring environment in mid-session")
def test_being_added_to_a_requiring_environment_takes_effect_at_the_next_request(client, ada):
    client.force_login(ada)
    assert client.get("/profile/security/").status_code == 200
    other = environment()
    require_mfa(other)
    Membership.objects.create(user=ada, organisation=other, roles=["member"], accepted_at=timezone.now())
    assert client.get("/profile/security/").url.startswith("/enrol/")


def test_a_half_open_session_cannot_leave_the_requiring_environment(client, ada, strict):
    client.force_login(ada)
    client.post("/acme/members/leave/")
    assert Membership.objects.filter(user=ada).exists()
    assert client.get("/profile/security/").url.startswith("/enrol/")


@pytest.mark.parametrize(
    ("password", "has_app", "has_identity", "is_super_user", "answer"),
    [
        ("Correct-Horse-9", False, False, False, False),
        ("Correct-Horse-9", True, False, False, True),
        ("Correct-Horse-9", False, True, False, False),
        (None, False, True, False, True),
        (None, False, False, False, False),
        (None, False, True, True, False),
        (None, True, True, True, True),
    ],
)
@pytest.mark.way("Tokens and recovery: a key created before the requirement")
def test_a_key_works_only_while_its_owner_complies(strict, password, has_app, has_identity, is_super_user, answer):
    owner = member(strict, password=password, is_superuser=is_super_user)
    if has_app:
        give_app(owner)
    if has_identity:
        owner.social_auth.create(provider="oidc-acme", uid="owner", id_key="sub")
    assert complies(owner) is answer


def test_a_key_of_somebody_who_needs_no_factor_works(ada):
    assert complies(ada)


def test_the_guard_and_the_gate_cost_a_query_each(client, ada, django_assert_num_queries):
    client.force_login(ada)
    with django_assert_num_queries(4):  # session, user, the session's record, the gate's question
        assert client.get("/profile/security/sessions/end/").status_code == 405


def test_a_session_that_passed_a_factor_costs_the_gate_no_query(client, ada, strict, django_assert_num_queries):
    log_in(client, ada)
    with django_assert_num_queries(3):  # session, user, the session's record with their factors
        assert client.get("/profile/security/sessions/end/").status_code == 405
