"""Two administrators of Acme, domains, and the name server that is asked about them."""

import pytest

from accounts.models import User
from environments.caller import SYSTEM, Caller
from environments.domains import services as domains
from environments.models import OrganisationDomain
from tests.environments.dns_server import Zone, dns_server, publish
from tests.factories import NOW, member
from tests.mailbox import clear_mails, sent_mails


@pytest.fixture
def ada(acme) -> User:
    return member(acme, email="ada@acme.test", name="Ada")


@pytest.fixture
def bea(acme) -> User:
    return member(acme, email="bea@acme.test", name="Bea")


@pytest.fixture(scope="module")
def server():
    with dns_server() as zone:
        yield zone


@pytest.fixture
def zone(server, settings) -> Zone:
    """An empty zone that Studio asks."""
    settings.DNS_NAMESERVERS = [server.address]
    for records in (server.texts, server.other_names, server.failing, server.silent, server.asked):
        records.clear()
    return server


@pytest.fixture
def domain(acme, ada) -> OrganisationDomain:
    return domains.add_domain(acme, domain="acme.test", by=Caller.of(ada), now=NOW)


@pytest.fixture
def proven(zone, domain) -> OrganisationDomain:
    publish(zone, domain)
    domains.check_record(domain, by=SYSTEM, now=NOW)
    return domain


@pytest.fixture
def mails(django_capture_on_commit_callbacks):
    """Call something, and return the subjects of what it mailed and to whom."""

    def mailed_by(call):
        clear_mails()
        with django_capture_on_commit_callbacks(execute=True):
            call()
        return [(message.subject, message.to[0]) for message in sent_mails()]

    return mailed_by
