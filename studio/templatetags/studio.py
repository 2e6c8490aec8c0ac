"""Tags and filters of all templates: icons, badges, fields, instants and numbers."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from html import unescape
from typing import Any

from django import template
from django.contrib.messages.storage.base import Message
from django.core.exceptions import NON_FIELD_ERRORS
from django.core.paginator import Page
from django.forms import (
    BaseForm,
    BoundField,
    CheckboxInput,
    CheckboxSelectMultiple,
    NumberInput,
    RadioSelect,
)
from django.template import Context
from django.template.base import FilterExpression, Parser, Token
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import escape, format_html, strip_tags
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from lucide.templatetags.lucide import lucide

from accounts.interrupted import show_typed
from archival.management.counts import count_in_words
from environments.filters import last_day_before
from web import addresses, undo
from web.versions import CHANGED_MEANWHILE, version_of

register = template.Library()

RECENT = timedelta(hours=24)
HEAD_CELL = re.compile(r"<th\b[^>]*>(.*?)</th>", re.DOTALL)
ROW_OR_CELL = re.compile(r"<(?P<name>tr|th|td)\b[^>]*>")
BLANK_CELL = re.compile(r"(<td\b[^>]*>)\s+(</td>)")
NOTICE_ICONS = {
    "": "info",
    "ok": "check",
    "pending": "clock",
    "late": "triangle-alert",
    "danger": "triangle-alert",
}


@register.simple_tag
@cache
def icon(name: str, extra: str = "") -> SafeString:
    """Return the Lucide icon ``name``, hidden from screen readers: the words beside it have the meaning."""
    svg = lucide(name, size=16, **{"class": f"icon {extra}".strip(), "aria-hidden": "true"})
    return SafeString("".join(line.strip() for line in svg.splitlines()))


@register.filter
def readable(email: str) -> str:
    """Return an e-mail address for people to read; it is stored with its domain in punycode."""
    return addresses.readable(email)


@register.simple_tag
def badge(state: str, text: str) -> SafeString:
    """Return ``text`` as a badge; ``state`` is one of the words in ``badge.css``, or empty for a neutral one."""
    return format_html('<span class="badge" data-state="{}">{}</span>', state, text)


@register.simple_tag
def fact(label: str, value: Any, note: Any = "", strong: bool = False) -> SafeString:
    """Return one labelled value for a ``<dl class="facts">``, with a ``note`` below, and ``strong`` to stress it."""
    looks = SafeString(' class="facts__value"') if strong else ""
    small = format_html("<small>{}</small>", note) if note else ""
    return format_html("<div><dt>{}</dt><dd{}>{}{}</dd></div>", label, looks, value, small)


@register.simple_block_tag(end_name="endcapture")
def capture(content: str) -> SafeString:
    """Return ``content`` without white space around it: ``{% capture as title %}`` keeps it for use further down."""
    return SafeString(content.strip())


@register.simple_block_tag(end_name="endsection")
def section(content: str, key: str, title: str, note: str = "") -> SafeString:
    """Wrap a part of a page below its heading; ``key`` is the id of the heading, ``note`` a short text beside it."""
    beside = format_html("<p>{}</p>", note) if note else ""
    head = format_html('<header class="section__head"><h2 id="{}">{}</h2>{}</header>', key, title, beside)
    return format_html('<section class="section" aria-labelledby="{}">{}{}</section>', key, head, content)


class Columns(template.Node):
    """The head cells of a table: labels, each with the classes of its cell."""

    def __init__(self, columns: Sequence[tuple[FilterExpression, Sequence[str]]]) -> None:
        self.columns = columns

    def render(self, context: Context) -> SafeString:
        return SafeString("".join(_head_cell(label.resolve(context), looks) for label, looks in self.columns))


def _head_cell(label: str, looks: Sequence[str]) -> SafeString:
    if "unseen" in looks:
        return format_html('<th scope="col"><span class="hidden-text">{}</span></th>', label)
    classes = format_html(' class="{}"', " ".join(f"table__{look}" for look in looks)) if looks else ""
    return format_html('<th scope="col"{}>{}</th>', classes, label)


@register.tag
def columns(parser: Parser, token: Token) -> Columns:
    """Return the head cells of a table: ``{% columns _("Name") _("Files") num _("Actions") unseen %}``.

    Behind its label, ``num`` marks a column of figures, and ``unseen`` one whose label only screen readers say.
    """
    found: list[tuple[FilterExpression, list[str]]] = []
    for bit in token.split_contents()[1:]:
        if bit in ("num", "unseen"):
            found[-1][1].append(bit)
        else:
            found.append((parser.compile_filter(bit), []))
    return Columns(found)


@register.simple_block_tag(end_name="endtable")
def table(content: str, label: str) -> SafeString:
    """Wrap rows in a table with a label that can be scrolled by keyboard too.

    Each cell gets the label of its column, which it shows where the room is too small for columns. The table is in a
    group and in no region, a landmark: the section around it is one, often by the same name.
    """
    return format_html(
        '<div class="table-wrap" tabindex="0" role="group" aria-label="{}"><table class="table">{}</table></div>',
        label,
        SafeString(_with_labels(content)),
    )


def _with_labels(rows: str) -> str:
    """Return the rows of a table with ``data-label`` on the cells below a head that is seen; blank cells get empty."""
    head, end, body = BLANK_CELL.sub(r"\1\2", rows).partition("</thead>")
    cells = HEAD_CELL.findall(head)
    labels = ["" if "hidden-text" in cell else escape(unescape(strip_tags(cell)).strip()) for cell in cells]
    place = 0

    def label(tag: re.Match[str]) -> str:
        nonlocal place
        place = 0 if tag["name"] == "tr" else place + 1
        text = labels[place - 1] if tag["name"] == "td" and place <= len(labels) else ""
        return f'{tag[0][:-1]} data-label="{text}">' if text else tag[0]

    return head + end + ROW_OR_CELL.sub(label, body)


@register.simple_block_tag(end_name="endnotice")
def notice(content: str, state: str, title: str, live: bool = False) -> SafeString:
    """Return a notice; ``state`` is empty, ok, pending or late. With ``live``, screen readers read it at once."""
    return format_html(
        '<div class="notice" data-state="{}"{}>{}<p class="notice__title">{}</p>{}</div>',
        state,
        SafeString(' role="status"') if live else "",
        icon(NOTICE_ICONS[state]),
        title,
        content,
    )


@register.simple_tag(takes_context=True)
def undo_of(context: Context, message: Message) -> undo.Undo | None:
    """Return the form that undoes what the message says was done, or None."""
    return undo.undo_of(message, user_id=context["request"].user.pk)


@register.simple_block_tag(end_name="endempty_state")
def empty_state(content: str, icon_name: str, title: str) -> SafeString:
    """Return the text in place of an empty list: what the list has, and what to do next."""
    return format_html(
        '<section class="empty">{}<h2>{}</h2>{}</section>',
        icon(icon_name),
        title,
        content,
    )


@register.simple_block_tag(end_name="endchoices")
def choices(content: str, bound: BoundField) -> SafeString:
    """Wrap the rows of ``choice``, with the field's label for screen readers and its errors below; links lead to it."""
    errors = (
        format_html("{}<span>{}</span>", icon("triangle-alert"), " ".join(map(str, bound.errors)))
        if bound.errors
        else ""
    )
    return format_html(
        '<fieldset id="{}"><legend class="hidden-text">{}</legend><div class="choices">{}</div>{}</fieldset>',
        bound.auto_id,
        bound.label,
        content,
        format_html('<div class="field__error">{}</div>', errors) if errors else "",
    )


@register.simple_block_tag(end_name="endchoice", takes_context=True)
def choice(
    context: Context,
    content: str,
    bound: BoundField,
    value: str,
    label: str,
    disabled: object = None,
    has_controls: bool = False,
) -> SafeString:
    """Return a radio button of a form field as a row: its label, and ``content``, which explains the choice.

    A label cannot hold other controls, so with ``has_controls`` the ``content`` stands outside the label; with script,
    typing into one of them chooses the row.
    """
    show_typed(context["request"], bound.form)
    checked = SafeString(" checked") if bound.value() == value else ""
    off = SafeString(" disabled") if disabled else ""
    name = bound.html_name
    key = f"{bound.auto_id}_{value}"
    radio = format_html('<input type="radio" name="{}" value="{}" id="{}"{}{}>', name, value, key, checked, off)
    if has_controls:
        text = format_html('<label class="choice__label" for="{}">{}</label>', key, label)
        return format_html('<div class="choice" data-typing-chooses="{}">{}{}{}</div>', key, radio, text, content)
    text = format_html('<span class="choice__label">{}</span>', label)
    return format_html('<label class="choice">{}{}<span class="choice__means">{}</span></label>', radio, text, content)


@register.simple_tag
def row_box(name: str, value: str, label: str) -> SafeString:
    """Return the checkbox that chooses a row of a table; only screen readers say its label."""
    return format_html(
        '<label class="check"><input type="checkbox" name="{}" value="{}"><span class="hidden-text">{}</span></label>',
        name,
        value,
        label,
    )


@register.simple_tag(takes_context=True)
def bare_field(context: Context, bound: BoundField, **attrs: Any) -> SafeString:
    """Return only the control of a form field, with its label as ``aria-label``.

    Every keyword becomes an attribute, with ``-`` for ``_``.
    """
    show_typed(context["request"], bound.form)
    attributes = {"aria-label": str(bound.label), **{name.replace("_", "-"): text for name, text in attrs.items()}}
    attributes["class"] = "input input--number" if isinstance(bound.field.widget, NumberInput) else "input"
    return bound.as_widget(attrs=attributes)


@register.simple_tag(takes_context=True)
def seen(context: Context, value: Any, form: BaseForm) -> SafeString:
    """Return the hidden field by which a form says which ``value`` it showed: see ``ChangedMeanwhile``.

    A form with an error, or with what was typed before a log-in, says what it showed first, unless the error told who
    changed the value meanwhile.
    """
    show_typed(context["request"], form)
    shown = getattr(form, "seen", None)
    if form.errors and not form.has_error(NON_FIELD_ERRORS, CHANGED_MEANWHILE):
        shown = form.data.get("seen")
    return format_html('<input type="hidden" name="seen" value="{}">', shown or version_of(value))


@register.simple_tag
def when_or_never(value: datetime | None, form: str = "") -> str | SafeString:
    """Return an instant as the filter ``when`` does, or "never" for None."""
    return when(value, form) if value else format_html('<span class="muted">{}</span>', _("never"))


@register.inclusion_tag("components/field.html", takes_context=True)
def field(context: Context, bound: BoundField, **attrs: str) -> dict[str, Any]:
    """Render a form field with its label, hint and error.

    ``unit`` is shown after the control; every other keyword becomes an attribute of the control, with ``-`` for ``_``.
    """
    show_typed(context["request"], bound.form)
    unit = attrs.pop("unit", "")
    extra = attrs.pop("class", "")
    attributes: dict[str, str | bool] = {name.replace("_", "-"): value for name, value in attrs.items()}
    widget = bound.field.widget
    is_list = isinstance(widget, RadioSelect | CheckboxSelectMultiple)
    is_check = isinstance(widget, CheckboxInput)
    if not is_list and not is_check:
        kind = "input input--number" if isinstance(widget, NumberInput) else "input"
        attributes["class"] = " ".join(filter(None, [kind, widget.attrs.get("class"), extra]))
    control = "" if is_list else bound.as_widget(attrs=attributes)
    return {
        "field": bound,
        "control": control,
        "unit": unit,
        "is_check": is_check,
        "is_list": is_list,
        "is_radio": is_list and not isinstance(widget, CheckboxSelectMultiple),
    }


@register.inclusion_tag("components/pages.html", takes_context=True)
def pages(context: Mapping[str, Any], page: Page[Any], name: str = "page", label: str = "") -> dict[str, Any]:
    """Render the links below a numbered page of Django's paginator; other parameters of the query string stay.

    For a page with several lists, ``name`` is the query's parameter and ``label`` says what the links go through.
    """

    def link(number: int) -> str:
        query = context["request"].GET.copy()
        query[name] = str(number)
        return f"?{query.urlencode()}"

    return {
        "label": label,
        "first": page.start_index(),
        "last": page.end_index(),
        "total": page.paginator.count,
        "newer": link(page.previous_page_number()) if page.has_previous() else None,
        "older": link(page.next_page_number()) if page.has_next() else None,
    }


@register.filter
def when(value: datetime | date | None, form: str = "") -> str | SafeString:
    """Return an instant in the viewer's zone as ``<time>`` with UTC in its title; in words when less than a day away.

    ``form`` "exact" never uses words, "date" leaves the time of day out, "time" gives only that. Nothing for ``None``.
    """
    if value is None:
        return ""
    if not isinstance(value, datetime):
        return format_html(
            '<time datetime="{}">{}</time>',
            value.isoformat(),
            date_format(value, _("j M Y")),
        )
    utc = value.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        utc.strftime("%Y-%m-%d %H:%M"),
        _in_words(value, form),
    )


register.filter("day_before", last_day_before)


@register.filter
def last_day(end: datetime | None) -> str | SafeString:
    """Return the last day of something that ends at this instant, in the viewer's zone; its title is the end in UTC."""
    if end is None:
        return ""
    utc = end.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        utc.strftime("%Y-%m-%d %H:%M"),
        date_format(last_day_before(end), _("j M Y")),
    )


def _in_words(value: datetime, form: str) -> str:
    distance = value - timezone.now()
    if form or abs(distance) >= RECENT:
        pattern = {"date": _("j M Y"), "time": "H:i"}.get(form, _("j M Y, H:i"))
        return date_format(timezone.localtime(value), pattern)
    minutes = int(abs(distance) // timedelta(minutes=1))
    if minutes == 0:
        return _("in less than a minute") if distance > timedelta(0) else _("just now")
    if minutes < 60:
        ahead = ngettext("in %(n)s minute", "in %(n)s minutes", minutes)
        ago = ngettext("%(n)s minute ago", "%(n)s minutes ago", minutes)
        return (ahead if distance > timedelta(0) else ago) % {"n": minutes}
    hours = minutes // 60
    ahead, ago = (
        ngettext("in %(n)s hour", "in %(n)s hours", hours),
        ngettext("%(n)s hour ago", "%(n)s hours ago", hours),
    )
    return (ahead if distance > timedelta(0) else ago) % {"n": hours}


@register.filter
def thousands(value: float | None) -> str:
    """Return a number with its thousands separated the reader's way; a zero is written, ``None`` is nothing."""
    return "" if value is None else number_format(value, use_l10n=True, force_grouping=True)


@register.simple_tag
def first_count(counts: Any) -> str:
    """Return the first count that is not zero, in words: "371 conversations"; empty if there is none.

    ``counts`` has conversations, messages, contacts, variables and attachments, by key or as attributes.
    """
    for kind in ("conversations", "messages", "contacts", "variables", "attachments"):
        count = counts.get(kind, 0) if isinstance(counts, Mapping) else getattr(counts, kind, 0)
        if count:
            return count_in_words(kind, count)
    return ""


@register.filter
def filesize(size: int | None) -> str:
    """Return a count of bytes in units of a thousand, as storage is sold: 42.7 GB. ``None`` is nothing."""
    if size is None:
        return ""
    amount, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if abs(amount) < 999.95 or unit == "PB":
            break
        amount /= 1000
    return f"{number_format(round(amount, 1), 0 if unit == 'B' else 1)}\N{NO-BREAK SPACE}{unit}"


@register.filter
def initials(name: str) -> str:
    """Return the first letters of the first and the last word of a name, for an avatar."""
    words = name.split()
    return "".join(word[0] for word in dict.fromkeys([words[0], words[-1]])).upper() if words else "?"
