"""The agency of the tests of compliance and of reminders, and its administrator."""

import pytest

from environments.choices import Kind
from environments.models import Organisation
from tests.factories import environment, member, organisation
from tests.logging_in import give_app, logged_in_client


@pytest.fixture
def aurora() -> Organisation:
    """Aurora with a customer of six environments and an environment of its own; and one of another agency."""
    aurora = organisation(Kind.AGENCY, name="Aurora", slug="aurora")
    bakker = organisation(Kind.CUSTOMER, parent=aurora, name="Bakker", slug="bakker")
    for slug in ("shop", "depot", "desk", "till", "van", "fresh"):
        environment(parent=bakker, slug=slug)
    environment(parent=aurora, slug="lab")
    environment(slug="elsewhere")
    return aurora


@pytest.fixture
def ada(aurora):
    user = member(aurora, email="ada@aurora.test")
    give_app(user)
    return logged_in_client(user)
