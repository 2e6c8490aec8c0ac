"""What templates say again and again, in both languages."""

from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.core.paginator import Paginator
from django.template import engines
from django.utils import timezone, translation

NOW = datetime(2026, 11, 22, 21, 5, tzinfo=UTC)


def rendered(source, **context):
    return engines["django"].from_string(source).render(context).strip()


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=59), "59 minutes ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(hours=23, minutes=59), "23 hours ago"),
        (timedelta(hours=24), "21 Nov 2026, 22:05"),
        (timedelta(seconds=-30), "in less than a minute"),
        (timedelta(minutes=-1), "in 1 minute"),
        (timedelta(hours=-16), "in 16 hours"),
        (timedelta(hours=-24), "23 Nov 2026, 22:05"),
    ],
)
@time_machine.travel(NOW, tick=False)
def test_an_instant_is_in_words_when_less_than_a_day_away(ago, words):
    with timezone.override("Europe/Amsterdam"):
        shown = rendered("{{ at|when }}", at=NOW - ago)

    utc = f"{NOW - ago:%Y-%m-%d %H:%M}"
    assert shown == f'<time datetime="{NOW - ago:%Y-%m-%dT%H:%M:%SZ}" title="{utc} UTC">{words}</time>'


@pytest.mark.parametrize(
    ("form", "text"), [("exact", "22 Nov 2026, 22:05"), ("date", "22 Nov 2026"), ("time", "22:05")]
)
@time_machine.travel(NOW, tick=False)
def test_an_instant_can_be_exact_in_the_viewers_zone(form, text):
    with timezone.override("Europe/Amsterdam"):
        shown = rendered("{{ at|when:form }}", at=NOW, form=form)

    assert shown == f'<time datetime="2026-11-22T21:05:00Z" title="2026-11-22 21:05 UTC">{text}</time>'


def test_a_date_has_no_zone_and_nothing_is_nothing():
    assert rendered("{{ day|when }}", day=date(2026, 3, 1)) == '<time datetime="2026-03-01">1 Mar 2026</time>'
    assert rendered("{{ day|when }}", day=None) == ""


@pytest.mark.parametrize(("language", "shown"), [("en", "1,284,507 0  42.7\xa0GB"), ("nl", "1.284.507 0  42,7\xa0GB")])
def test_figures_are_written_the_readers_way(language, shown):
    with translation.override(language):
        assert (
            rendered(
                "{{ n|thousands }} {{ 0|thousands }} {{ none|thousands }} {{ size|filesize }}",
                n=1284507,
                none=None,
                size=42_700_000_000,
            )
            == shown
        )


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (1.9e12, "1.9 TB")],
)
def test_sizes_count_in_thousands(size, shown):
    assert rendered("{{ size|filesize }}", size=size) == shown.replace(" ", "\xa0")


def test_tags_escape_what_they_are_given():
    source = """
        {% badge state text %}{% notice "ok" text %}{{ text }}{% endnotice %}{% fact text text text %}
        {% table text %}{{ text }}{% endtable %}{% empty_state "inbox" text %}{{ text }}{% endempty_state %}
    """
    shown = rendered(source, state='"><script>', text='"><script>')

    assert "<script>" not in shown
    assert shown.count("&quot;&gt;&lt;script&gt;") == 11


def test_cells_of_a_table_have_the_label_of_their_column():
    source = """{% table "Runs" %}
      <thead><tr>{% columns "Run" '"A" & B' num "Actions" unseen %}</tr></thead>
      <tbody><tr><th scope="row">7</th><td class="table__num">5</td><td> </td></tr></tbody>
      <tfoot><tr><th scope="row">All</th><td>
      </td><td>Reset</td></tr></tfoot>
    {% endtable %}"""

    body = rendered(source).partition("</thead>")[2]

    label = 'data-label="&quot;A&quot; &amp; B"'
    assert f'<th scope="row">7</th><td class="table__num" {label}>5</td><td></td>' in body
    assert f'<th scope="row">All</th><td {label}></td><td>Reset</td>' in body


def test_page_links_keep_the_rest_of_the_query(rf):
    request = rf.get("/", {"q": "a&b", "page": "2"})
    page = Paginator(range(120), 50).page(2)

    shown = rendered("{% pages page %}", request=request, page=page)

    assert 'href="?q=a%26b&amp;page=1"' in shown
    assert 'href="?q=a%26b&amp;page=3"' in shown
    assert "51–100 of 120" in shown


@pytest.mark.parametrize(
    ("name", "letters"), [("Femke de Vries", "FV"), ("ada@example.test", "A"), ("", "?"), ("Bo Bo", "B")]
)
def test_initials_are_those_of_the_first_and_last_word(name, letters):
    assert rendered("{{ name|initials }}", name=name) == letters
