"""What narrows a caller stands in the caller, not on the user: fetching the user again widens nothing."""

import pytest
from rest_framework.test import APIRequestFactory

from accounts.models import User
from environments.caller import SYSTEM, Caller
from environments.choices import Role
from environments.keys.authentication import ApiKeyAuthentication
from environments.keys.services import create_organisation_key, create_personal_key
from environments.memberships import grant_membership
from studio.api import OrganisationList, OrganisationSettings
from tests import factories
from tests.environments.test_impersonation import begin
from tests.logging_in import log_in
from web.clock import database_now

pytestmark = pytest.mark.django_db


@pytest.fixture
def other(agency):
    return factories.environment(parent=agency, name="Other place", slug="other")


@pytest.fixture
def ada(agency, acme, other) -> User:
    """An Administrator of the agency, who reaches both environments."""
    return factories.member(agency, Role.ADMINISTRATOR, email="ada@acme.test", name="Ada")


class RefetchesPerson(ApiKeyAuthentication):
    """Authenticates as ever, then fetches whoever stands behind the key again, as any code could."""

    def authenticate(self, request):
        _user, key = super().authenticate(request)
        return User.objects.get(pk=(key.owner or key.created_by).pk), key


class RefetchUser:
    """A middleware behind all others that fetches the request's user again."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        if request.user.is_authenticated:
            request.user = User.objects.get(pk=request.user.pk)


def personal_key(ada, acme):
    return create_personal_key(ada, name="script", organisation=acme, by=Caller.of(ada), now=database_now())[1]


def key_of_the_organisation(ada, acme):
    roles = [Role.ADMINISTRATOR]
    return create_organisation_key(acme, name="bot", roles=roles, by=Caller.of(ada), now=database_now())[1]


def answer(view, raw, **kwargs):
    request = APIRequestFactory(HTTP_AUTHORIZATION=f"Bearer {raw}").get("/")
    return view.as_view(authentication_classes=[RefetchesPerson])(request, **kwargs)


@pytest.mark.parametrize("minted", [personal_key, key_of_the_organisation])
def test_a_key_reaches_no_more_once_its_person_is_fetched_again(ada, acme, other, agency, minted):
    raw = minted(ada, acme)
    listed = [row["slug"] for row in answer(OrganisationList, raw).data["results"]]
    statuses = [answer(OrganisationSettings, raw, slug=place.slug).status_code for place in (acme, other, agency)]
    assert (listed, statuses) == (["acme"], [200, 404, 404])


def test_a_key_of_lower_roles_has_no_more_permissions_once_its_person_is_fetched_again(ada, acme):
    raw = create_organisation_key(acme, name="bot", roles=[Role.MEMBER], by=Caller.of(ada), now=database_now())[1]
    request = APIRequestFactory(HTTP_AUTHORIZATION=f"Bearer {raw}").patch("/", {"require_mfa": "on"}, format="json")
    view = OrganisationSettings.as_view(authentication_classes=[RefetchesPerson])
    assert view(request, slug="acme").status_code == 403


def test_impersonation_shows_no_more_once_the_member_is_fetched_again(client, settings, ada, acme, other, agency):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.RefetchUser"]
    bea = factories.member(acme, Role.ADMINISTRATOR, email="bea@acme.test")
    vic = factories.member(acme, Role.MEMBER, email="vic@acme.test")
    grant_membership(vic, other, roles=[Role.ADMINISTRATOR], by=SYSTEM)
    log_in(client, bea)
    assert begin(client, vic, acme).url == "/acme/"

    assert [client.get(page).status_code for page in ("/acme/", "/acme/members/", "/other/")] == [200, 403, 404]
    for page in ("/organisations/", "/switch/"):
        response = client.get(page)
        assert response.wsgi_request.user == vic
        assert "Other place" not in response.content.decode()
