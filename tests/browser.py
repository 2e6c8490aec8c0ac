"""Open pages in Chromium, check them with axe, and watch for violations of the Content-Security-Policy.

A test that uses ``page`` is marked ``browser``; ``page.goto("/…")`` is relative to the live server. A violation of the
policy, an error in the console or a request to another host fails the test at its end.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.db import connections
from django.test import Client
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from studio.theme import COOKIE as THEME_COOKIE
from tests.logging_in import log_in
from tests.servers import chromium

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
WIDTHS = (1280, 390, 320)
THEMES = ("light", "dark")
WCAG_22_AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES_OF_COLOUR = ["color-contrast", "link-in-text-block"]
# Without motion, so that axe never measures colours in the middle of a transition.
VISITOR = {"locale": "en-GB", "reduced_motion": "reduce"}
STATUS_NOTE = "Failed to load resource: the server responded with a status of"  # tests ask the status


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        browser.close()
        connections.close_all()  # this thread has others while Playwright's event loop runs, and loses sight of them


@pytest.fixture
def open_page(chrome: Browser, live_server: LiveServer) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page of a new visitor; its keywords are those of Playwright's ``new_context``."""
    opened, problems = [], []

    def open_one(**options: object) -> Page:
        context = chrome.new_context(base_url=live_server.url, **VISITOR | options)  # type: ignore[arg-type]
        opened.append(context)
        page = context.new_page()
        watch(page, problems, host=urlsplit(live_server.url).netloc)
        return page

    yield open_one
    for context in opened:
        context.close()
    assert problems == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


def watch(page: Page, problems: list[str], *, host: str) -> None:
    """Append to ``problems``: errors of scripts and of the console, also of the policy, and requests to other hosts."""

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(STATUS_NOTE):
            problems.append(f"console: {message.text}")

    def see(request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in {"http", "https"} and address.netloc != host:
            problems.append(f"request: {request.url}")

    page.on("console", hear)
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))
    page.on("request", see)


def log_in_page(page: Page, user: User) -> None:
    """Give the page a session of ``user``, as after a complete log-in, without opening the pages of the log-in."""
    client = Client()
    log_in(client, user)
    set_cookie(page, settings.SESSION_COOKIE_NAME, client.cookies[settings.SESSION_COOKIE_NAME].value)


def use_theme(page: Page, theme: str) -> None:
    set_cookie(page, THEME_COOKIE, theme)


def set_cookie(page: Page, name: str, value: str) -> None:
    page.context.add_cookies([{"name": name, "value": value, "domain": "localhost", "path": "/"}])


def violations(page: Page, *, rules: list[str] = WCAG_22_AA) -> list[str]:
    """Return what axe finds on the page as it is now, a line for each element, by these rules or tags of rules."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    options = {"runOnly": rules, "resultTypes": ["violations"]}
    return [
        f"{violation['id']}: {node['html'][:200]} ({node.get('failureSummary', '')[:200]})"
        for violation in page.evaluate("options => axe.run(options).then((found) => found.violations)", options)
        for node in violation["nodes"]
    ]


def sideways(page: Page) -> list[str]:
    is_wider = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return ["the page scrolls sideways"] if is_wider else []


def accessibility_faults(page: Page) -> list[str]:
    return [*violations(page), *sideways(page)]


def faults_in_every_width_and_theme(page: Page, name: str, *, widths: tuple[int, ...] = WIDTHS) -> dict[str, list[str]]:
    """Return the faults of the open page in these widths and both themes, without loading it again.

    In the dark theme only rules about colours can fail that hold in the light one. Before, it is scrolled to its top:
    what the header covers for a moment is no fault.
    """
    faults = {}
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("scrollTo(0, 0)")
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            found = accessibility_faults(page) if theme == "light" else violations(page, rules=RULES_OF_COLOUR)
            faults[f"{theme} {width}"] = found
            screenshot(page, f"{name}-{theme}-{width}")
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    return {state: found for state, found in faults.items() if found}


def assert_accessible(page: Page, path: str) -> None:
    """Open ``path`` in both themes and all widths: axe finds nothing, and nothing makes the page scroll sideways."""
    page.goto(path)
    assert_accessible_here(page, path.strip("/").replace("/", "-"))


def assert_accessible_here(page: Page, name: str) -> None:
    """Check the open page, such as one that only the response to a form shows, as ``assert_accessible`` does."""
    page.wait_for_load_state()
    assert faults_in_every_width_and_theme(page, name) == {}, f"{name} is not accessible"


def shown_codes(page: Page) -> list[str]:
    """Return the recovery codes on the page when all are there: a click returns when the response begins to arrive."""
    expect(page.locator("#codes li")).to_have_count(10)
    return page.locator("#codes li").all_inner_texts()


def screenshot(page: Page, name: str) -> None:
    """Save a picture of the whole page below ``STUDIO_SCREENSHOTS``, if that is set."""
    if folder := os.environ.get("STUDIO_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
