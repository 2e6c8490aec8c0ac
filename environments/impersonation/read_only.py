"""Switch off, on every page that an impersonator views, the forms and links that would only be refused."""

import html
import re
from collections.abc import Callable

from django.http import HttpResponse, HttpResponseBase
from django.utils.html import format_html

FORM = re.compile(r'(?P<tag><form\b[^>]*\bmethod="post"[^>]*>)(?P<inside>.*?)</form>', re.DOTALL)
ACTION = re.compile(r'\baction="([^"]*)"')
LINK = re.compile(r'<a\b(?P<before>[^>]*)\shref="(?P<address>[^"]*)"')


def switch_off(
    response: HttpResponseBase, *, why: str, is_served: Callable[[str], bool], is_closed: Callable[[str], bool]
) -> None:
    """Disable what the page's forms send by POST, and its links to what is closed; ``why`` is their hint.

    ``is_served`` is asked of the address of a form, ``is_closed`` of that of a link. Here, in one place, as no template
    can forget it, and a disabled ``<fieldset>`` needs no script. Forms that filter and search send GET, and work on.
    """
    if not isinstance(response, HttpResponse) or not response.headers.get("Content-Type", "").startswith("text/html"):
        return
    fieldset = format_html('<fieldset class="read-only" disabled title="{}">', why)
    attributes = format_html('role="link" aria-disabled="true" title="{}"', why)

    def form_off(form: re.Match[str]) -> str:
        action = ACTION.search(form["tag"])
        if action and is_served(html.unescape(action[1])):
            return form[0]
        return f"{form['tag']}{fieldset}{form['inside']}</fieldset></form>"

    def link_off(link: re.Match[str]) -> str:
        return f"<a{link['before']} {attributes}" if is_closed(html.unescape(link["address"])) else link[0]

    page = FORM.sub(form_off, response.content.decode(response.charset))
    response.content = LINK.sub(link_off, page).encode(response.charset)
