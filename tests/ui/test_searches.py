"""A search that cannot be carried out says why, beside what was typed, instead of listing everything as if it had."""

import pytest

from tests import factories
from tests.logging_in import log_in

pytestmark = pytest.mark.django_db
PAGES = [
    "/organisations/",
    "/switch/",
    "/acme/organisation/",
    "/acme/members/",
    "/acme/audit/",
    "/acme/conversations/",
    "/acme/contacts/",
]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    ("words", "reason"), [("x" * 201, "at most 200 characters"), ("a\0b", "Null characters are not allowed")]
)
def test_a_search_that_is_refused_says_why_and_keeps_the_words(client, agency, acme, path, words, reason):
    log_in(client, factories.member(agency))
    page = client.get(path, {"q": words})
    text = page.content.decode()
    assert page.status_code == 200
    assert 'id="id_q_error"' in text, "what aria-describedby of the box names is on the page"
    assert text.count(reason) == 1
    assert f'value="{words}"' in text
    assert "Not saved" not in text
