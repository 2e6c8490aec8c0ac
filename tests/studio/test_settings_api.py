"""GET and PATCH of the two advanced settings, and the list of organisations, over REST."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import SessionRecord
from audit.models import Event
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.keys.services import create_organisation_key, create_personal_key
from environments.models import Organisation
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa, set_retention
from studio.api import change_settings
from tests import factories
from tests.logging_in import give_app
from web.tasks import send_deliveries

pytestmark = pytest.mark.django_db
SETTINGS = "/api/v1/organisations/acme/settings/"


def client_of(user):
    raw = create_personal_key(user, name="test", by=SYSTEM, now=timezone.now())[1]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {raw}")
    return client


@pytest.fixture
def api(acme):
    owner = factories.member(acme, Role.ADMINISTRATOR)
    give_app(owner)
    return client_of(owner)


def patch(api, **body):
    return api.patch(SETTINGS, body, format="json")


def test_settings_have_own_values_effective_values_and_their_sources(api, acme):
    assert api.get(SETTINGS).json() == {
        "require_mfa": "inherit", "require_mfa_locked": False,
        "archival": "inherit", "archive_after_days": None, "archival_locked": False,
        "effective": {
            "require_mfa": False, "require_mfa_source": None,
            "archive_after_days": None, "archive_after_days_source": None,
        },
        "bounds": {"require_mfa_locked_by": None, "archive_after_days_at_most": None, "archival_locked_by": None},
        "pending": None, "require_mfa_pending": None,
    }  # fmt: skip


def test_patch_sets_both_and_answers_with_what_holds(api):
    answer = patch(api, archival="limit", archive_after_days=30, archival_locked=True).json()
    source = {"slug": "acme", "name": "Acme"}
    assert answer["effective"]["archive_after_days"] == 30
    assert answer["effective"]["archive_after_days_source"] == source
    assert answer["archival_locked"] is True
    assert patch(api, archival="keep").json()["effective"]["archive_after_days"] is None


def test_a_limit_that_deletes_is_pending_first(api, acme):
    factories.conversation(of=acme, days_ago=100, now=timezone.now())
    answer = patch(api, archive_after_days=30).json()
    assert answer["effective"]["archive_after_days"] is None
    assert (answer["pending"]["archival"], answer["pending"]["archive_after_days"]) == ("limit", 30)
    assert answer["pending"]["would_delete"]["messages"] == 1


def test_a_pending_limit_says_whether_it_waits_for_its_announcement(api, acme, post_office):
    factories.conversation(of=acme, days_ago=100, now=timezone.now())
    bob = factories.member(acme, Role.ADMINISTRATOR, email="bob@acme.test")
    post_office.answers[bob.email] = "451 4.3.0 Try again later"

    assert patch(api, archive_after_days=30).json()["pending"]["waits_for_mail"] is True
    send_deliveries()
    assert api.get(SETTINGS).json()["pending"]["waits_for_mail"] is True
    bob.memberships.update(roles=[Role.MEMBER])  # who cannot cancel it any more is not waited for
    assert api.get(SETTINGS).json()["pending"]["waits_for_mail"] is False


def test_a_scheduled_change_that_shortens_nothing_waits_for_no_mail(api, acme):
    set_retention(acme, to=Retention.limit(20), by=SYSTEM, now=timezone.now())
    at = timezone.now() + timedelta(days=30)
    answer = patch(api, archive_after_days=30, archival_from=at.isoformat()).json()
    assert answer["pending"]["waits_for_mail"] is False


def test_days_alone_mean_a_limit(api):
    assert patch(api, archive_after_days=90).json()["archival"] == "limit"


def test_a_source_that_the_caller_cannot_see_has_no_name(api, agency):
    set_retention(agency, to=Retention.limit(90, locked=True), by=SYSTEM, now=timezone.now())
    answer = api.get(SETTINGS).json()
    nameless = {"slug": None, "name": None}
    assert answer["effective"]["archive_after_days_source"] == nameless
    assert answer["bounds"]["archive_after_days_at_most"] == 90
    known = client_of(factories.member(agency)).get(SETTINGS).json()
    assert known["effective"]["archive_after_days_source"] == {"slug": "noorderlicht", "name": "Noorderlicht Digital"}
    refused = patch(api, archive_after_days=91)
    assert refused.status_code == 400
    assert refused.json()["errors"] == {
        "archive_after_days": [
            {"code": "locked", "detail": "An organisation above locks this setting: at most 90 days."}
        ]
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"archive_after_days": 0}, "archive_after_days"), ({"archive_after_days": 3651}, "archive_after_days"),
        ({"archive_after_days": -1}, "archive_after_days"), ({"archive_after_days": "30"}, "archive_after_days"),
        ({"archive_after_days": True}, "archive_after_days"), ({"archive_after_days": 1.5}, "archive_after_days"),
        ({"archival": "limit"}, "archive_after_days"),
        ({"archival": "keep", "archive_after_days": 30}, "archive_after_days"),
        ({"archival": "forever"}, "archival"), ({"archival": None}, "archival"), ({"archival": []}, "archival"),
        ({"archival_locked": True}, "archival_locked"), ({"archival_locked": "yes"}, "archival_locked"),
        ({"require_mfa": "maybe"}, "require_mfa"), ({"require_mfa": True}, "require_mfa"),
        ({"require_mfa": "off", "require_mfa_locked": True}, "require_mfa_locked"),
        ({"require_mfa_from": "2035-01-01T09:00"}, "require_mfa_from"),
        ({"require_mfa_from": "2035-01-01"}, "require_mfa_from"), ({"require_mfa_from": 2035}, "require_mfa_from"),
        ({"require_mfa_from": "2020-01-01T09:00Z"}, "require_mfa_from"),
        ({"require_mfa_from": "9999-12-31T23:59:59-12:00"}, "require_mfa_from"),
        ({"require_mfa_from": "2099-01-01T00:00Z"}, "require_mfa_from"),
        ({"require_mfa": "off", "require_mfa_from": "2035-01-01T09:00Z"}, "require_mfa_from"),
        ({"require_mfa": "inherit", "require_mfa_from": "2035-01-01T09:00Z"}, "require_mfa_from"),
        ({"require_mfa": "on", "nonsense": 1}, "nonsense"), ({}, "non_field_errors"), ([], "non_field_errors"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_field(api, acme, body, field):
    before = Event.objects.count()
    refused = api.patch(SETTINGS, body, format="json")
    assert (refused.status_code, refused.json()["code"], list(refused.json()["errors"])) == (400, "invalid", [field])
    acme.refresh_from_db()
    assert (acme.require_mfa, acme.archival, Event.objects.count()) == ("inherit", "inherit", before)


def test_patch_is_all_or_nothing(api, acme, agency):
    set_retention(agency, to=Retention.limit(90, locked=True), by=SYSTEM, now=timezone.now())
    assert patch(api, require_mfa="on", archive_after_days=91).status_code == 400
    acme.refresh_from_db()
    assert acme.require_mfa == "inherit"


def test_malformed_json_is_refused(api):
    refused = api.patch(SETTINGS, "{", content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (400, "parse_error")


@pytest.mark.parametrize(
    ("role", "get", "change"),
    [
        (Role.ADMINISTRATOR, 200, 200), (Role.ORGANISATION_MANAGER, 200, 200), (Role.ENVIRONMENT_MANAGER, 200, 403),
        (Role.DEVELOPER, 200, 403), (Role.MEMBER, 200, 403), (None, 404, 404),
    ],
)  # fmt: skip
def test_each_role_can_read_and_change_settings_as_listed(acme, role, get, change):
    user = factories.member(acme, role) if role else factories.UserFactory()
    api = client_of(user)
    assert (api.get(SETTINGS).status_code, patch(api, archival="keep").status_code) == (get, change)


def test_organisations_are_listed_by_kind_and_search(acme, agency):
    factories.environment(slug="elsewhere")
    factories.environment(parent=agency, name="Hoogveld Webshop", slug="hoogveld")
    api = client_of(factories.member(agency))

    def slugs(query=""):
        return [row["slug"] for row in api.get(f"/api/v1/organisations/{query}").json()["results"]]

    assert slugs() == ["noorderlicht", "acme", "hoogveld"]
    assert slugs("?kind=environment") == ["acme", "hoogveld"]
    assert slugs("?kind=environment&search=WEBSHOP") == ["hoogveld"]
    assert slugs("?search=%") == []
    assert api.get("/api/v1/organisations/?kind=planet").status_code == 400


def test_a_parent_is_named_only_where_it_is_reached(acme, agency, api):
    (row,) = api.get("/api/v1/organisations/").json()["results"]
    assert (row["slug"], row["parent"]) == ("acme", None)
    rows = client_of(factories.member(agency)).get("/api/v1/organisations/?kind=environment").json()["results"]
    assert rows[0]["parent"] == "noorderlicht"


def test_a_stranger_gets_the_same_answer_for_what_exists_and_what_does_not(acme):
    api = client_of(factories.UserFactory())
    there, not_there = api.get("/api/v1/organisations/acme/"), api.get("/api/v1/organisations/nowhere/")
    assert (there.status_code, there.content) == (not_there.status_code, not_there.content) == (404, there.content)


@pytest.mark.parametrize("count", [1, 50])
def test_listing_costs_the_same_for_any_number(agency, count, django_assert_num_queries):
    for _number in range(count):
        factories.environment(parent=agency)
    api = client_of(factories.member(agency))
    api.get("/api/v1/organisations/?kind=environment")
    with django_assert_num_queries(5):  # key, MFA requirement, count, organisations, parents
        assert len(api.get("/api/v1/organisations/?kind=environment").json()["results"]) == count


def test_the_schema_is_served_to_those_who_can_call(api):
    assert APIClient().get("/api/v1/schema/").status_code == 401
    schema = api.get("/api/v1/schema/?format=json").json()
    assert "/api/v1/organisations/{slug}/settings/" in schema["paths"]


def test_a_suspended_organisation_refuses(acme, api):
    set_require_mfa(acme, to=MfaRule.inherit(), by=SYSTEM, now=timezone.now())
    acme.is_suspended = True
    acme.save(update_fields=["is_suspended"])
    assert api.get(SETTINGS).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"\\ud800": 1}',
        b'{"require_mfa": "\\ud800"}',
        b'{"archive_after_days": 5, "archive_after_days": 9}',
        b'{"archive_after_days": NaN}',
        b"\xff",
    ],
    ids=["deep", "surrogate in a key", "surrogate in a value", "key twice", "NaN", "not UTF-8"],
)
def test_a_malformed_body_is_refused_and_changes_nothing(api, acme, body):
    before = api.get(SETTINGS).json()
    response = api.generic("PATCH", SETTINGS, body, content_type="application/json")
    assert response.status_code == 400, response.content
    assert api.get(SETTINGS).json() == before


def test_a_requirement_from_a_date_is_pending_until_it_is_replaced_or_taken_back(api, acme):
    answer = patch(api, require_mfa="on", require_mfa_from="2035-01-01T09:00+01:00", require_mfa_locked=True).json()
    assert answer["require_mfa_pending"] == {
        "require_mfa": "on", "require_mfa_locked": True, "require_mfa_from": "2035-01-01T08:00:00Z",
    }  # fmt: skip
    assert (answer["require_mfa"], answer["effective"]["require_mfa"]) == ("inherit", False)
    moved = patch(api, require_mfa_from="2035-01-02T09:00Z").json()["require_mfa_pending"]
    assert (moved["require_mfa_locked"], moved["require_mfa_from"]) == (False, "2035-01-02T09:00:00Z")
    assert patch(api, require_mfa_from=None).json()["require_mfa_pending"] is None
    assert patch(api, require_mfa_from=None).status_code == 200
    patch(api, require_mfa_from="2035-01-02T09:00Z")
    assert patch(api, require_mfa="inherit").json()["require_mfa_pending"] is None
    states = list(acme.mfa_changes.order_by("pk").values_list("state", flat=True))
    assert states == ["replaced", "cancelled", "replaced"]


def test_a_key_of_the_organisation_cannot_take_a_schedule_back(acme):
    ada = factories.member(acme, Role.ADMINISTRATOR)
    raw = create_organisation_key(acme, name="bot", roles=[Role.ADMINISTRATOR], by=Caller.of(ada), now=timezone.now())[
        1
    ]
    bot = APIClient(HTTP_AUTHORIZATION=f"Bearer {raw}")
    assert patch(bot, require_mfa_from="2035-01-01T09:00Z").status_code == 200
    for body in [
        {"require_mfa_from": None}, {"require_mfa": "inherit"}, {"require_mfa": "off"},
        {"require_mfa_from": "2035-01-01T10:00Z"}, {"require_mfa_locked": False},
    ]:  # fmt: skip
        assert patch(bot, **body).status_code == 403, body
    assert acme.mfa_changes.get().state == "pending"


def test_a_session_that_passed_no_factor_cannot_require_one_by_rest(client, acme):
    client.force_login(factories.member(acme, Role.ADMINISTRATOR))
    SessionRecord.objects.update(stepped_up_at=timezone.now())
    for body in [{"require_mfa": "on"}, {"require_mfa_from": "2035-01-01T09:00Z"}]:
        refused = client.patch(SETTINGS, body, content_type="application/json")
        assert (refused.status_code, refused.json()["code"]) == (403, "own_factor_required")
    assert client.patch(SETTINGS, {"require_mfa": "off"}, content_type="application/json").status_code == 200


def test_a_key_of_somebody_without_a_factor_cannot_require_one_and_shut_itself_out(acme):
    owner = factories.member(acme, Role.ADMINISTRATOR)
    key = client_of(owner)
    for body in [{"require_mfa": "on"}, {"require_mfa_from": "2035-01-01T09:00Z"}]:
        refused = patch(key, **body)
        assert (refused.status_code, refused.json()["code"]) == (403, "own_factor_required")
    give_app(owner)
    assert patch(key, require_mfa="on").status_code == 200


def test_a_limit_is_scheduled_shown_and_cancelled(api, acme):
    factories.conversation(of=acme, days_ago=40, now=timezone.now())
    answer = patch(api, archive_after_days=30, archival_from="2099-01-01T09:00+01:00")
    assert answer.status_code == 400, "further than ten years"
    at = (timezone.now() + timedelta(days=30)).replace(microsecond=0)

    answer = patch(api, archive_after_days=30, archival_from=at.isoformat())

    assert answer.status_code == 200, answer.json()
    pending = answer.json()["pending"]
    assert (pending["archival"], pending["archive_after_days"]) == ("limit", 30)
    assert datetime.fromisoformat(pending["acts_at"]) == at
    assert answer.json()["effective"]["archive_after_days"] is None

    assert patch(api, archival_from=None).json()["pending"] is None
    assert Event.objects.filter(action="retention.change_cancelled").count() == 1
    assert patch(api, archival_from=None).json()["pending"] is None


@pytest.mark.parametrize(
    "body",
    [
        {"archival_from": "2027-01-01T09:00+01:00"},
        {"archive_after_days": 30, "archival_from": "2020-01-01T09:00+01:00"},
        {"archive_after_days": 30, "archival_from": "2027-01-01T09:00"},
        {"archive_after_days": 30, "archival_from": 1},
        {"archive_after_days": 30, "archival_from": "soon"},
    ],
)
def test_a_start_that_means_nothing_is_refused_at_its_field(api, acme, body):
    answer = patch(api, **body)
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["archival_from"]
    acme.refresh_from_db()
    assert acme.archival == "inherit"


def test_what_a_patch_leaves_out_stays_as_somebody_quicker_has_set_it(acme):
    as_it_was = Organisation.objects.get(pk=acme.pk)
    now = timezone.now()
    set_require_mfa(acme, to=MfaRule.on(), by=SYSTEM, now=now)
    set_retention(acme, to=Retention.limit(365), by=SYSTEM, now=now)

    change_settings(as_it_was, {"require_mfa_locked": False}, by=SYSTEM)
    change_settings(as_it_was, {"archival_locked": False}, by=SYSTEM)

    acme.refresh_from_db()
    assert (acme.require_mfa, acme.archival, acme.archive_after_days) == ("on", "limit", 365)


def test_without_a_wait_a_limit_that_deletes_needs_the_typed_name(api, acme, settings):
    settings.COOLING_OFF_HOURS = 0
    factories.conversation(of=acme, days_ago=40, now=timezone.now())
    for extra, code in (({}, "name_required"), ({"typed_name": "acmee"}, "wrong_name")):
        refused = patch(api, archive_after_days=30, **extra)
        assert (refused.status_code, refused.json()["errors"]["typed_name"][0]["code"]) == (400, code)
    assert Organisation.objects.get(slug="acme").archival == "inherit"
    assert patch(api, typed_name="Acme").status_code == 400  # sets nothing
    answer = patch(api, archive_after_days=30, typed_name="Acme").json()
    assert (answer["effective"]["archive_after_days"], answer["pending"]) == (30, None)
