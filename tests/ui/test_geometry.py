"""Every list and detail page in a browser, by geometry: with long names nothing is cut, hidden, broken or in two lines.

The pages have the names, addresses and identifiers of ``full_lists``, in both languages.
"""

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Page

from tests import factories
from tests.browser import WIDTHS, log_in_page, screenshot, set_cookie
from tests.ui.full_lists import fill_lists

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PAGES = {
    "home": "/acme/",
    "overview": "/noorderlicht/",
    "members": "/acme/members/",
    "member": "/acme/members/{member.pk}/",
    "access-requests": "/acme/access-requests/",
    "keys": "/acme/api-keys/",
    "settings": "/acme/settings/",
    "audit": "/noorderlicht/audit/?q=Wilhelmina",
    "organisation": "/acme/organisation/",
    "tree": "/noorderlicht/organisation/",
    "organisations": "/organisations/?q=a",
    "conversations": "/acme/conversations/?channel=whatsapp-business-klantenservice-verzekeringen",
    "conversation": "/acme/conversations/{talk.uuid}/",
    "contacts": "/acme/contacts/",
    "contact": "/acme/contacts/{contact.uuid}/",
    "ledger": "/acme/retention/?only=rows",
    "run": "/noorderlicht/retention/runs/{run.pk}/",
    "ages": "/acme/retention/ages/",
    "holds": "/acme/retention/holds/",
    "erased": "/noorderlicht/retention/erased/",
    "erasure": "/acme/retention/erased/{erasure.uuid}/",
    "deletion": "/deletions/{deletion.uuid}/",
    "compliance": "/noorderlicht/compliance/",
    "profile": "/profile/",
    "own-keys": "/profile/api-keys/",
    "security": "/profile/security/",
}
FAULTS = """() => {
  const faults = [], wide = innerWidth >= 1280, room = document.documentElement.clientWidth;
  const shown = (selector) => [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility());
  const name = (one) => `${one.localName}.${one.className} “${one.innerText.replace(/\\s+/g, " ").slice(0, 60)}”`;
  const isUnseen = (one) => one.closest(".hidden-text, .skip, [popover]:not(:popover-open), svg");
  if (document.documentElement.scrollWidth > room) faults.push("the page scrolls sideways");
  for (const one of shown("body *")) {
    const box = one.getBoundingClientRect(), look = getComputedStyle(one);
    if (!box.width || isUnseen(one)) continue;
    if (!one.closest(".clip") && (box.right > room + 1 || box.left < -1)) faults.push(`outside: ${name(one)}`);
    const isScrolled = ["auto", "scroll"].includes(look.overflowX) && one.scrollWidth > one.clientWidth + 1;
    if (isScrolled) faults.push(`scrolls sideways: ${name(one)}`);
  }
  for (const one of shown(".button, .badge, .tag, .tabs a, select, .side__link")) {
    if (one.scrollWidth > one.clientWidth + 1) faults.push(`cut: ${name(one)}`);
  }
  const marks = shown(".main .button, .main .badge, .main .tag").map((one) => [one, one.getBoundingClientRect()]);
  marks.forEach(([one, a], place) => marks.slice(place + 1).forEach(([other, b]) => {
    const apart = a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
    if (!apart && !one.contains(other)) faults.push(`over each other: ${name(one)} and ${name(other)}`);
  }));
  const main = document.querySelector(".main"), inside = getComputedStyle(main);
  const line = main.clientWidth - parseFloat(inside.paddingLeft) - parseFloat(inside.paddingRight);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (!text.parentElement.checkVisibility() || isUnseen(text.parentElement)) continue;
    for (const word of text.data.matchAll(/(?<![^\\s(])\\p{L}[\\p{L}'’]+(?=[.,:;?!…)]*(\\s|$))/gu)) {
      if (room < 390 && word[0].length > 24) continue;
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const boxes = [...range.getClientRects()].filter((box) => box.width);
      const isBroken = new Set(boxes.map((box) => Math.round(box.bottom))).size > 1;
      if (isBroken && boxes.reduce((sum, box) => sum + box.width, 0) <= line) faults.push(`broken: ${word[0]}`);
    }
  }
  if (wide) {
    for (const form of shown(".filters")) {
      const controls = [...form.children].filter((one) => one.checkVisibility());
      const bottoms = new Set(controls.map((one) => Math.round(one.getBoundingClientRect().bottom)));
      if (bottoms.size > 1) faults.push(`filters on ${bottoms.size} lines`);
    }
    for (const one of shown(".table code")) {
      if (one.getClientRects().length > 1) faults.push(`on several lines: ${name(one)}`);
    }
  }
  return faults;
}"""


@pytest.mark.parametrize("language", ["en", "nl"])
def test_with_long_names_nothing_is_cut_hidden_broken_or_on_top_of_another(page, language):
    made = fill_lists(now=timezone.now())
    set_cookie(page, settings.LANGUAGE_COOKIE_NAME, language)
    log_in_page(page, made.ada)
    faults = {
        name: found for name, path in PAGES.items() if (found := faults_of(page, name, path.format_map(vars(made))))
    }
    log_in_page(page, factories.UserFactory(is_superuser=True, language=language))
    faults |= {"slowed": found} if (found := faults_of(page, "slowed", "/sign-in/slowed/")) else {}
    assert faults == {}


def faults_of(page: Page, name: str, path: str) -> dict[int, list[str]]:
    """Return the faults of a page by width, without widths that have none."""
    found = {}
    page.goto(path)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        screenshot(page, f"{name}-{width}")
        found[width] = page.evaluate(FAULTS)
    return {width: faults for width, faults in found.items() if faults}
