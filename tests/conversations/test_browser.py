"""Pages of conversations in a real browser, with nasty texts."""

import gzip

import pytest
from django.utils import timezone

from conversations.ingest.lines import parse
from conversations.ingest.services import store
from conversations.models import Conversation
from tests import factories
from tests.browser import log_in_page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def acme(page):
    environment = factories.environment(slug="acme", name="Acme")
    log_in_page(page, factories.member(environment))
    return environment


def test_no_edge_conversation_runs_a_script_or_widens_the_page(page, acme, data):
    with gzip.open(data / "edge_cases.jsonl.gz") as lines:
        store(acme, [parse(each) for each in lines], now=timezone.now())
    wide = []
    for made in Conversation.objects.order_by("pk"):
        page.goto(f"/acme/conversations/{made.uuid}/")
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(made.external_id)
    assert wide == []
