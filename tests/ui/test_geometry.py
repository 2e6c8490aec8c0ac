"""The pages of who is logged in, by geometry: with long names nothing is cut, hidden, broken or too small for a phone.

The pages have the names, addresses and identifiers of ``full_lists``, in both languages.
"""

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Page

from tests.browser import WIDTHS, screenshot, set_cookie
from tests.ui.full_lists import fill_lists
from tests.ui.pages import FULL, visit

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PEOPLE = ("an account", "an administrator", "a reader", "a data protection officer", "an agency", "a super user")
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
  for (const one of shown(".table .button")) {
    const box = one.getBoundingClientRect(), wrap = one.closest(".table-wrap").getBoundingClientRect();
    if (box.left < wrap.left || box.right > wrap.right + 1) faults.push(`cut by its table: ${name(one)}`);
  }
  for (const one of wide ? [] : shown(".table:has(thead th:nth-child(3)) td:not([data-label])")) {
    if (parseFloat(getComputedStyle(one).paddingLeft) > 0) faults.push(`indented in its card: ${name(one)}`);
  }
  for (const one of shown("time")) {
    if (one.getClientRects().length > 1 && !one.closest(".table, .facts")) faults.push(`in two lines: ${name(one)}`);
  }
  for (const one of shown(".main > .notice + *")) {
    const gap = one.getBoundingClientRect().top - one.previousElementSibling.getBoundingClientRect().bottom;
    if (gap < 8) faults.push(`it touches the notice above it: ${name(one)}`);
  }
  for (const one of room < 390 ? [] : shown(".facts[data-size=large] dt")) {
    const line = parseFloat(getComputedStyle(one).lineHeight);
    if (one.offsetHeight > 1.6 * line) faults.push(`in two lines: ${name(one)}`);
  }
  for (const one of wide ? [] : shown("input:not([type=checkbox], [type=radio]), select, textarea")) {
    if (parseFloat(getComputedStyle(one).fontSize) < 16) faults.push(`a phone zooms into it: ${one.name}`);
  }
  const marks = shown(".main .button, .main .badge, .main .tag").map((one) => [one, one.getBoundingClientRect()]);
  marks.forEach(([one, a], place) => marks.slice(place + 1).forEach(([other, b]) => {
    const apart = a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
    if (!apart && !one.contains(other)) faults.push(`over each other: ${name(one)} and ${name(other)}`);
  }));
  const main = document.querySelector("main"), inside = getComputedStyle(main);
  const line = main.clientWidth - parseFloat(inside.paddingLeft) - parseFloat(inside.paddingRight);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), range = document.createRange();
  while (texts.nextNode()) {
    const text = texts.currentNode;
    range.selectNodeContents(text);
    if (range.getClientRects().length < 2) continue;
    if (!text.parentElement.checkVisibility() || isUnseen(text.parentElement)) continue;
    for (const word of text.data.matchAll(/(?<![^\\s(])\\p{L}[\\p{L}'’]+(?=[.,:;?!…)]*(\\s|$))/gu)) {
      if (room < 390 && word[0].length > 24) continue;
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
      if (bottoms.size > (controls.length > 7 ? 2 : 1)) faults.push(`filters on ${bottoms.size} lines`);
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
    faults = {one.name: faults_of(page, one.name) for who in PEOPLE for one in visit(page, made, who, states=FULL)}
    assert {name: found for name, found in faults.items() if found} == {}


def faults_of(page: Page, name: str) -> dict[int, list[str]]:
    """Return the faults of the open page by width, without widths that have none."""
    found = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        screenshot(page, f"{name}-{width}")
        found[width] = page.evaluate(FAULTS)
    return {width: faults for width, faults in found.items() if faults}
