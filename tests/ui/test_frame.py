"""The frame: what it costs, whom it greets, and what it answers when a page cannot."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.template import engines
from django.template.loader import render_to_string
from django.test import Client
from django.utils import translation

from accounts.gate import OPEN_VIEWS
from environments.choices import Role
from studio import assets
from tests.factories import environment, member, organisation

frame_urls = pytest.mark.urls("tests.ui.urls")


def test_one_stylesheet_holds_every_layer_in_order():
    css = Path(finders.find("studio/studio.css")).read_text()

    assert css == assets.joined_stylesheet()
    assert css.startswith("@layer reset, tokens, base, components, pages;")
    parts = [layer for layer in ("components", "pages") for _file in (assets.SOURCES / layer).glob("*.css")]
    assert "components" in parts
    assert re.findall(r"^@layer (\w+) {", css, re.MULTILINE) == ["reset", "tokens", "base", *parts]
    assert "url(" not in css


@pytest.fixture
def past_the_gate(monkeypatch):
    """Let strangers reach the views that fail: what stands behind the gate answers nobody else."""
    monkeypatch.setattr("accounts.gate.OPEN_VIEWS", {*OPEN_VIEWS, "refuse", "confuse", "fail"})


@frame_urls
@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/confuse/", 400, "Studio could not read this request"),
        ("/refuse/", 403, "Your role does not allow this"),
        ("/nothing/at/all/", 404, "Page not found"),
        ("/fail/", 500, "Something went wrong on our side"),
    ],
)
def test_errors_are_pages_that_cost_strangers_no_query(
    client, db, past_the_gate, path, status, title, django_assert_num_queries
):
    client.raise_request_exception = False
    with django_assert_num_queries(0):
        response = client.get(path)

    assert response.status_code == status
    assert f"<title>{title} · Studio</title>" in response.text


@frame_urls
@pytest.mark.parametrize(
    ("path", "status", "code", "detail"),
    [
        (
            "/api/refuse/",
            403,
            "permission_denied",
            "Advanced settings of Maasborg Claims are for Administrators and Organisation managers.",
        ),
        ("/api/nothing/", 404, "not_found", "Not found."),
        ("/api/fail/", 500, "error", "Something went wrong on our side."),
    ],
)
def test_errors_below_the_api_are_json(client, db, past_the_gate, path, status, code, detail):
    client.raise_request_exception = False
    response = client.get(path)

    assert response.status_code == status
    assert response.json() == {"code": code, "detail": detail}


@frame_urls
def test_a_form_without_its_token_is_refused_with_a_page(db):
    browser = Client(enforce_csrf_checks=True)
    browser.cookies["studio_language"] = "en"
    response = browser.post("/theme/", {"theme": "dark"})

    assert response.status_code == 403
    assert "<title>This form has expired · Studio</title>" in response.text


def test_the_worst_page_needs_no_context():
    assert "Something went wrong on our side" in render_to_string("500.html")


@pytest.mark.parametrize(
    ("after", "goes_to"),
    [
        ("/acme/?q=1", "/acme/?q=1"),
        ("https://evil.test/", "/"),
        ("//evil.test/", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
def test_the_theme_is_kept_and_the_way_back_stays_here(client, db, after, goes_to):
    response = client.post("/theme/", {"theme": "dark", "next": after})

    assert response.status_code == 302
    assert response.headers["Location"] == goes_to
    assert response.cookies["studio_theme"].value == "dark"


@pytest.mark.parametrize("theme", ["blue", "", '"><script>'])
def test_an_unknown_theme_changes_nothing(client, db, theme):
    assert "studio_theme" not in client.post("/theme/", {"theme": theme}).cookies


@frame_urls
@pytest.mark.parametrize(
    ("cookie", "attribute"), [("dark", ' data-theme="dark"'), ("system", ""), ('x"', ""), (None, "")]
)
def test_the_theme_is_there_from_the_first_byte(client, db, cookie, attribute):
    if cookie:
        client.cookies["studio_theme"] = cookie

    assert f'<html lang="en"{attribute}>' in client.get("/nothing/at/all/").text


@frame_urls
def test_the_frame_speaks_dutch(client, db):
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "nl"

    assert '<html lang="nl">' in client.get("/nothing/at/all/").text


@frame_urls
@pytest.mark.parametrize("role", [Role.MEMBER, Role.ADMINISTRATOR])
def test_the_frame_costs_the_same_for_every_size_of_tree(client, db, role, django_assert_num_queries):
    agency = organisation()
    somebody = member(agency, role)
    client.force_login(somebody)
    client.get("/components/")
    with django_assert_num_queries(
        6
    ):  # session, user, its record, the gate, what is scheduled, memberships that manage
        client.get("/components/")

    for _ in range(3):
        environment(parent=agency)
    with django_assert_num_queries(6):
        client.get("/components/")


MAIL = """
{% extends base %}
{% block title %}A recovery code was used{% endblock %}
{% block body %}Hello {{ name }},{% endblock %}
"""


@pytest.mark.parametrize("language", ["en", "nl"])
def test_a_mail_reads_well_as_text_and_as_html(language):
    with translation.override(language):
        html, text = (
            engines["django"]
            .from_string(MAIL.strip())
            .render({"base": f"mail/base.{kind}", "name": "Femke <b>"})
            .strip()
            for kind in ("html", "txt")
        )

    assert html.startswith(f'<!doctype html>\n<html lang="{language}">')
    assert "Hello Femke &lt;b&gt;," in html
    assert html.count("<style>") == 1
    assert not re.search(r"(src|href|url)[=(]", html)
    assert text.startswith("Hello Femke <b>,\n\n-- \n")
    assert "<" not in text.replace("<b>", "")
