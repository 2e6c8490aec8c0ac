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


def test_the_longest_name_takes_two_lines_of_a_title_and_is_whole_further_down(page, acme):
    whom = factories.contact(of=acme, name="n" * 255, external_id="k" * 255, now=timezone.now())
    talk = factories.conversation(of=acme, contact=whom, channel="c" * 255, now=timezone.now())
    page.set_viewport_size({"width": 390, "height": 900})
    for path in (f"/acme/contacts/{whom.uuid}/", f"/acme/conversations/{talk.uuid}/"):
        page.goto(path)
        assert page.locator("h1").bounding_box()["height"] < 70, f"two lines at {path}"
        assert page.locator(".page-head__lead").bounding_box()["height"] < 50, f"two lines at {path}"
        details = page.get_by_role("complementary")
        for whole in (whom.name, whom.external_id, *[talk.channel] * ("conversations" in path)):
            box = details.get_by_text(whole).bounding_box()
            assert box["height"] > 60, f"all lines of {whole[:3]}… at {path}"
