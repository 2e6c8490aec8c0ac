"""Tests of the tests: a view that reads a tenant's rows and forgets the door fails the test that opens it."""

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import engines
from django.urls import include, path
from django.utils import timezone

from conversations.models import Conversation
from environments.access import in_environment, reachable_environments
from environments.choices import Permission
from environments.models import Organisation
from tests import factories
from tests.door import expected_unasked, refuse_unasked
from tests.logging_in import log_in

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.authorization.test_door")]
PAGE = """{% extends "base.html" %}{% block content %}{% for each in found %}{{ each.pk }}{% endfor %}{% endblock %}"""


def conversations_of(slug: str):
    return Conversation.objects.filter(environment__in=Organisation.objects.filter(slug=slug).values("pk"))


def forgetful(request: HttpRequest, slug: str) -> HttpResponse:
    return HttpResponse(str(list(conversations_of(slug))))


def forgetful_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Read in the template, after the frame around the page has asked the door for itself."""
    template = engines["django"].from_string(PAGE)
    return HttpResponse(template.render({"found": conversations_of(slug)}, request))


def forgetful_file(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(str(each.pk) for each in conversations_of(slug))


@in_environment(requires=Permission.READ_CONVERSATIONS)
def mindful(request: HttpRequest, organisation: Organisation) -> HttpResponse:
    return HttpResponse(str(list(organisation.conversations.all())))


def mindful_list(request: HttpRequest) -> HttpResponse:
    found = Conversation.objects.filter(environment__in=reachable_environments(request.caller).values("pk"))
    return HttpResponse(str(list(found)))


urlpatterns = [
    path("<slug:slug>/forgetful/", forgetful),
    path("<slug:slug>/forgetful/page/", forgetful_page),
    path("<slug:slug>/forgetful/file/", forgetful_file),
    path("<slug:slug>/mindful/", mindful),
    path("mindful/", mindful_list),
    path("", include("studio.urls")),
]


@pytest.fixture
def visitor(client, acme):
    factories.conversation(of=acme, now=timezone.now())
    log_in(client, factories.member(acme))
    return client


@pytest.mark.parametrize("address", ["/acme/forgetful/", "/acme/forgetful/page/", "/acme/forgetful/file/"])
def test_a_view_that_forgets_the_door_fails_its_test(visitor, address):
    with expected_unasked() as found:
        b"".join(visitor.get(address))
        with pytest.raises(AssertionError, match="conversations_conversation, in GET /acme/forgetful/"):
            refuse_unasked()
        b"".join(visitor.get(address))
    assert [one.partition(":")[0] for one in found] == [f"conversations_conversation, in GET {address}"]


@pytest.mark.parametrize("address", ["/acme/mindful/", "/mindful/", "/acme/", "/acme/conversations/"])
def test_a_view_that_asks_the_door_does_not(visitor, address):
    with expected_unasked() as found:
        assert visitor.get(address).status_code == 200
    assert found == []


def test_what_a_test_reads_itself_after_a_request_does_not(visitor, acme):
    with expected_unasked() as found:
        visitor.get("/profile/")
        assert acme.conversations.count() == 1
    assert found == []
