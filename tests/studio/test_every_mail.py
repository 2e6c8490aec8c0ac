"""Every mail opens well: narrow and wide, light and dark, with and without its style sheet, in both languages."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from django.core.mail import EmailMultiAlternatives
from django.template import engines
from playwright.sync_api import Page

from accounts.models import User
from tests.accounts.test_mails import FACT, NOT_FILLED_IN, words_of
from tests.browser import faults_in_every_width_and_theme, sideways
from tests.mailbox import sent_mails
from tests.studio.mails import Mails

pytestmark = pytest.mark.django_db
FOLDER = Path(__file__).resolve().parent.parent.parent / "templates" / "mail"
WIDTHS = (600, 360)
LINK = re.compile(r'<a\b[^>]*href="([^"]*)"')
STYLES = re.compile(r"<style>.*?</style>", re.DOTALL)


@pytest.fixture
def mails(settings, monkeypatch) -> Mails:
    monkeypatch.setattr(engines["django"].engine, "string_if_invalid", NOT_FILLED_IN)
    settings.SITE_URL = "https://studio.agency-with-a-long-name.example"
    return Mails()


def sent_in(language: str, mails: Mails) -> Iterator[tuple[str, EmailMultiAlternatives]]:
    """Send every mail in a language, and yield the template of each, numbered, with the mail."""
    User.objects.filter(pk=mails.ada.pk).update(language=language)
    mails.ada.refresh_from_db()
    templates = list(mails.send())
    for number, (template, message) in enumerate(zip(templates, sent_mails(), strict=True)):
        yield f"{number:02}-{template}", message


def html_of(message: EmailMultiAlternatives) -> str:
    return str(message.alternatives[0].content)


def seen(html: str) -> str:
    """Return what a reader sees of the HTML, and where its links lead."""
    body = re.sub(r'<div style="display: none.*?</div>', "", html[html.index("<body") :], flags=re.DOTALL)
    return unescape(re.sub(r"<[^>]+>", " ", body) + " " + " ".join(LINK.findall(body)))


def test_every_mail_of_the_folder_is_tried(mails):
    whole = {path.stem for path in FOLDER.glob("*.html") if 'extends "mail/base.html"' in path.read_text()}
    assert set(mails.all()) == whole


@pytest.mark.parametrize("language", ["en", "nl"])
def test_text_and_html_of_every_mail_say_the_same(mails, language):
    for name, message in sent_in(language, mails):
        text, html = message.body, html_of(message)
        assert "⟦" not in message.subject + text + html, name
        assert set(FACT.findall(text)) == set(FACT.findall(seen(html))), name
        assert words_of(text) - words_of(seen(html)) == set(), name
        assert re.findall(r"\n\n\n|^ .*", text, re.MULTILINE) == [], name


@pytest.mark.parametrize("language", ["en", "nl"])
def test_a_list_of_mails_shows_the_first_paragraph_beside_the_subject(mails, language):
    for name, message in sent_in(language, mails):
        title, first, *_rest = message.body.split("\n\n")
        shown = re.search(r'<div style="display: none[^"]*">(.*?)</div>', html_of(message), re.DOTALL)
        assert shown, name
        assert unescape(shown[1]) == " ".join(first.split()), name
        assert len(shown[1]) > 40, name
        assert " ".join(title.split()) != " ".join(first.split()), name


@pytest.mark.parametrize("language", ["en", "nl"])
def test_the_subject_of_a_mail_about_an_environment_names_it(mails, language):
    about_others = {"access_rejected": mails.acme.slug}  # a stranger learns no more than the address that they opened
    with_account_alone = {*mails.of_accounts(), "api_key_revoked", "purge_silent", "purge_heard"}
    for name, message in sent_in(language, mails):
        template = name.partition("-")[2]
        is_personal = template == "api_key_created" and mails.acme.name not in message.body
        if template not in with_account_alone and not is_personal:
            assert about_others.get(template, mails.acme.name) in message.subject, name


def test_the_address_of_every_link_can_be_read_and_copied(mails):
    for name, message in sent_in("en", mails):
        html = html_of(message)
        for address in LINK.findall(html):
            assert unescape(address) in unescape(re.sub(r"<[^>]+>", " ", html)), name
            assert unescape(address) in message.body, name


@pytest.mark.browser
@pytest.mark.parametrize("language", ["en", "nl"])
def test_every_mail_opens_well_at_both_widths_and_in_both_themes_with_and_without_its_style_sheet(
    mails, page, language
):
    """axe sees each template once in each of these: what a template can say has the same elements."""
    faults, seen_by_axe = {}, set()
    for name, message in sent_in(language, mails):
        html, template = html_of(message), name.partition("-")[2]
        for looks, widths, shown in ("", WIDTHS, html), (" bare", WIDTHS[1:], STYLES.sub("", html)):
            page.set_content(shown)
            look = too_wide if template in seen_by_axe else faults_in_every_width_and_theme
            faults[f"{name}{looks}"] = look(page, f"mail-{name}-{language}{looks}", widths=widths)
        seen_by_axe.add(template)
    assert {name: found for name, found in faults.items() if found} == {}


def too_wide(page: Page, _name: str, *, widths: tuple[int, ...]) -> list[int]:
    """Return the widths at which the page scrolls sideways."""
    found = []
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        found += [width] if sideways(page) else []
    return found


@pytest.mark.browser
@pytest.mark.parametrize("is_styled", [True, False])
def test_a_code_is_large_and_selected_whole_without_spaces(mails, page: Page, is_styled):
    (html, *_others) = [html_of(message) for name, message in sent_in("en", mails) if "mailbox_code" in name]
    page.set_viewport_size({"width": 360, "height": 800})
    page.set_content(html if is_styled else STYLES.sub("", html))
    code = page.get_by_text("012345", exact=True)
    size, family, height = code.evaluate(
        "node => { const style = getComputedStyle(node);"
        " return [parseFloat(style.fontSize), style.fontFamily, node.getClientRects().length] }"
    )
    assert (size >= 28, "monospace" in family, height) == (True, True, 1)
    code.click()
    assert page.evaluate("getSelection().toString()") == "012345"
