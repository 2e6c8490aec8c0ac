"""Pages of conversations in a real browser: accessible in both themes and all widths, also with nasty texts."""

import gzip
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from archival.holds.services import place_hold
from conversations.ingest.lines import check_conversation, parse
from conversations.ingest.services import store
from conversations.models import Conversation
from environments.caller import SYSTEM
from tests import factories
from tests.browser import assert_accessible, assert_accessible_here, log_in_page, screenshot
from tests.conversations.lines import line

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def acme(page):
    environment = factories.environment(slug="acme", name="Acme")
    log_in_page(page, factories.member(environment))
    return environment


def test_empty_pages_are_accessible(page, acme):
    for path in ("conversations/", "conversations/?q=nothing", "contacts/"):
        assert_accessible(page, f"/acme/{path}")


def test_full_pages_are_accessible(page, acme):
    nasty = "Z" + "\u0300\u0489" * 500 + " " + "W" * 300 + " \u202egpj.exe"
    contact = {"id": "k" * 255, "name": "n" * 255, "variables": {"v" * 255: nasty}}
    files = [{"name": "f" * 255, "mime": "text/html", "size": 9, "seq": 0}]
    value = line("i" * 255, texts=(nasty, "مرحبا"), channel="c" * 255, contact=contact, variables={"a": [1] * 999})
    store(acme, [check_conversation(value | {"attachments": files})], now=timezone.now())
    made = Conversation.objects.select_related("contact").get()
    for path in ("conversations/", f"conversations/{made.uuid}/", "contacts/", f"contacts/{made.contact.uuid}/"):
        assert_accessible(page, f"/acme/{path}")


def test_pages_of_what_is_held_and_the_list_of_holds_are_accessible(page, acme):
    now = timezone.now()
    nasty = {"contact": {"id": "k" * 255, "name": "n" * 255, "variables": {}}}
    store(acme, [check_conversation(line("i" * 255, texts=("Hello",), channel="web", **nasty))], now=now)
    made = Conversation.objects.select_related("contact").get()
    for target in ({}, {"contact": made.contact}, {"conversation": made}):
        place_hold(acme, reason="Claims dispute", by=SYSTEM, now=now, until=now + timedelta(days=9), **target)
    for path in (
        f"conversations/{made.uuid}/", f"contacts/{made.contact.uuid}/",
        f"retention/holds/?conversation={made.uuid}",
    ):  # fmt: skip
        assert_accessible(page, f"/acme/{path}")
        screenshot(page, path.split("/")[0])
    page.get_by_label("The whole environment").check()
    page.get_by_label("Reason").fill("x")
    page.get_by_role("button", name="Place a legal hold").click()
    expect(page.get_by_text("but “The whole environment” is chosen.").first).to_be_visible()
    assert_accessible_here(page, "holds-refused")


def test_no_edge_conversation_runs_a_script_or_widens_the_page(page, acme, data):
    with gzip.open(data / "edge_cases.jsonl.gz") as lines:
        store(acme, [parse(each) for each in lines], now=timezone.now())
    wide = []
    for made in Conversation.objects.order_by("pk"):
        page.goto(f"/acme/conversations/{made.uuid}/")
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(made.external_id)
    assert wide == []
