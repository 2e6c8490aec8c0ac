"""Fixtures of every room."""

import shutil

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.contenttypes.management import create_contenttypes
from django.core.files.storage import storages
from django.db.models.signals import post_migrate

from archival.restore.readiness import readiness
from environments.choices import Kind
from tests import factories

LEAST_COST = {"time_cost": 1, "memory_cost": 8, "parallelism": 1}  # the least that Argon2 takes
REAL_COST = {name: getattr(Argon2PasswordHasher, name) for name in LEAST_COST}
pytest_plugins = ["tests.browser", "tests.data", "tests.post_office", "tests.tenants", "tests.door"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "way(*names): a way around MFA that the test closes; see tests/accounts/ways.py")
    set_cost_of_hashes(LEAST_COST)
    # Studio reads neither content types nor Django's permissions, and a test that commits would store them all again
    # when the database is emptied after it.
    post_migrate.disconnect(create_contenttypes)
    post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")


def set_cost_of_hashes(cost: dict[str, int]) -> None:
    for name, value in cost.items():
        setattr(Argon2PasswordHasher, name, value)
    factories.hashed.cache_clear()


@pytest.fixture
def real_cost_of_hashes():
    """Hash passwords at the cost that the product pays; other tests pay the least, as this one is 0.2 s each time."""
    set_cost_of_hashes(REAL_COST)
    yield
    set_cost_of_hashes(LEAST_COST)


@pytest.fixture(autouse=True)
def no_journal_of_another_test():
    """Delete the journal: each test's database is new, and would look like a restored one."""
    shutil.rmtree(storages["journal"].location, ignore_errors=True)
    readiness.forget()


@pytest.fixture
def agency(db):
    return factories.organisation(name="Noorderlicht Digital", slug="noorderlicht")


@pytest.fixture
def acme(agency):
    """The environment that most tests are about; some rooms have one of their own."""
    return factories.environment(parent=agency, name="Acme", slug="acme")


@pytest.fixture
def customer(agency):
    return factories.organisation(Kind.CUSTOMER, parent=agency, name="Maasborg", slug="customer")


@pytest.fixture
def elsewhere(db):
    """An environment of an agency that nobody of Noorderlicht is to hear of."""
    secret = factories.organisation(name="Secret Agency")
    return factories.environment(parent=secret, name="Secret Environment", slug="elsewhere")
