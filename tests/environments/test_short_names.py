"""Short names change, and none is ever given to another organisation: no bot stores data of one tenant at another."""

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework.test import APIClient

from audit.models import Event
from environments.caller import SYSTEM, Caller
from environments.choices import Kind, Role
from environments.keys.services import create_organisation_key
from environments.models import Organisation, ReservedSlug
from environments.tree.services import change_slug, create_organisation, delete_organisation, free_slug
from tests import factories
from tests.conversations.lines import line
from tests.factories import environment, member
from tests.logging_in import give_app, logged_in_client
from web.versions import ChangedMeanwhile

pytestmark = pytest.mark.django_db
PAGE = "/acme/settings/short-name/"


def rename(organisation: Organisation, slug: str, **how: object) -> None:
    change_slug(organisation, slug=slug, by=SYSTEM, now=timezone.now(), **how)


def create(slug: str, parent: Organisation) -> Organisation:
    return create_organisation("New", kind=Kind.ENVIRONMENT, parent=parent, slug=slug, by=SYSTEM)


@pytest.fixture
def ada(acme):
    person = member(acme)
    give_app(person)
    return person


def test_the_short_name_before_is_given_to_no_other_organisation(acme, agency):
    other = environment(parent=agency, slug="other")
    rename(acme, "acme-2")
    rename(acme, "acme-3")

    for slug in ("acme", "acme-2"):
        with pytest.raises(ValidationError, match="belonged to another organisation"):
            create(slug, agency)
        with pytest.raises(ValidationError, match="belonged to another organisation"):
            rename(other, slug)
    other.refresh_from_db()
    assert other.slug == "other"
    assert free_slug("Acme") == "acme-4"


def test_its_own_one_can_be_taken_back(acme, agency):
    rename(acme, "acme-2")
    rename(acme, "acme")

    assert (acme.slug, list(ReservedSlug.objects.values_list("slug", flat=True))) == ("acme", ["acme-2"])
    with pytest.raises(ValidationError):
        create("acme-2", agency)


def test_short_names_of_a_deleted_organisation_stay_reserved(acme, agency):
    rename(acme, "acme-2")
    delete_organisation(acme, by=SYSTEM, now=timezone.now())

    assert set(ReservedSlug.objects.values_list("slug", "organisation")) == {("acme", None), ("acme-2", None)}
    for slug in ("acme", "acme-2"):
        with pytest.raises(ValidationError, match="belonged to another organisation"):
            create(slug, agency)


@pytest.mark.parametrize(
    ("slug", "said"),
    [
        ("other", "taken"),
        ("login", "reserved"),
        ("No Such", "Enter a valid"),
        ("-x", "Use a-z"),
        ("", "cannot be blank"),
        ("x" * 64, "at most 63"),
    ],
)
def test_a_short_name_that_cannot_be_is_refused(acme, agency, slug, said):
    environment(parent=agency, slug="other")
    with pytest.raises(ValidationError, match=said):
        rename(acme, slug)
    assert acme.slug == "acme"
    assert not ReservedSlug.objects.exists()


def test_a_bot_with_the_address_before_stores_nothing_anywhere(acme, ada):
    _key, raw = create_organisation_key(acme, name="Bot", roles=[Role.DEVELOPER], by=Caller.of(ada), now=timezone.now())
    bot = APIClient()
    bot.credentials(HTTP_AUTHORIZATION=f"Bearer {raw}")
    rename(acme, "acme-2")

    statuses = [
        bot.post(f"/api/v1/environments/{slug}/conversations/", line(), format="json").status_code
        for slug in ("acme", "acme-2")
    ]

    assert statuses == [404, 201]
    assert acme.conversations.count() == 1


def test_members_are_led_to_the_same_page_of_the_new_address_and_strangers_learn_nothing(acme, ada, elsewhere):
    vic = logged_in_client(member(acme, Role.MEMBER))
    stranger = logged_in_client(member(elsewhere))
    rename(acme, "acme-2")

    answer = vic.get("/acme/conversations/?q=refund")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/acme-2/conversations/?q=refund")
    assert vic.get("/acme/members/", follow=True).status_code == 403
    assert logged_in_client(ada).get("/acme/members/7/").headers["Location"] == "/acme-2/members/7/"
    gone, never = stranger.get("/acme/conversations/"), stranger.get("/none/conversations/")
    assert (gone.status_code, len(gone.content)) == (404, len(never.content))
    assert stranger.get("/acme/").status_code == 404


def test_nothing_that_a_form_sends_is_led_on(acme, ada):
    client = logged_in_client(ada)
    rename(acme, "acme-2")
    assert client.post("/acme/settings/", {"do": "name", "name": "Mine"}).status_code == 404
    acme.refresh_from_db()
    assert acme.name == "Acme"


def test_the_page_says_what_stops_and_changes_it(acme, ada):
    client = logged_in_client(ada)
    create_organisation_key(acme, name="Bot", roles=[Role.DEVELOPER], by=Caller.of(ada), now=timezone.now())
    assert "1 API key of the organisation works" in client.get(PAGE).text

    answer = client.post(PAGE, {"slug": "acme-2"})

    assert answer.headers["Location"] == "/acme-2/organisation/"
    event = Event.objects.get(action="organisation.slug_changed")
    assert (event.actor_id, event.before, event.after) == (ada.pk, {"slug": "acme"}, {"slug": "acme-2"})
    assert "changed the short name" in client.get("/acme-2/audit/").text
    assert "acme" in client.get("/acme-2/settings/short-name/").text


def test_the_page_keeps_what_is_refused_and_the_second_of_two_sees_it(acme, agency, ada):
    environment(parent=agency, slug="other")
    client = logged_in_client(ada)
    refused = client.post(PAGE, {"slug": "other"})
    assert "This short name is taken." in refused.text
    assert 'href="/acme/organisation/"' in refused.text
    with pytest.raises(ChangedMeanwhile):
        rename(acme, "acme-9", seen="x")


def test_only_administrators_change_it(acme):
    manager = factories.member(acme, Role.ORGANISATION_MANAGER)
    give_app(manager)
    client = logged_in_client(manager)
    assert client.get(PAGE).status_code == 403
    assert "short-name" not in client.get("/acme/organisation/").text
