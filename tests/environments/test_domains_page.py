"""The page of domains: what it shows, and who may do what with it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Event
from environments.caller import Caller
from environments.choices import DnsAnswer, DomainProof, Role
from environments.domains import services as domains
from environments.models import OrganisationDomain
from tests.environments.dns_server import arrange, name_of, publish
from tests.factories import NOW, environment, member
from tests.logging_in import give_password, log_in

PAGE = "/acme/settings/"
CHANGE = "/acme/settings/domains/"
CHECK = "/acme/settings/domains/check/"


@pytest.mark.parametrize(
    ("state", "answer", "words"),
    [
        ("NXDOMAIN", DnsAnswer.NO_NAME, "there is no such name yet"),
        ("no TXT", DnsAnswer.NO_TXT, "has no TXT record"),
        ("another value", DnsAnswer.OTHER_VALUE, "none with this value"),
        ("SERVFAIL", DnsAnswer.SERVER_FAILED, "answered with an error"),
        ("silence", DnsAnswer.NO_ANSWER, "did not answer in time"),
    ],
)
def test_what_is_wrong_is_said_in_words_and_within_seconds(client, ada, zone, domain, state, answer, words):
    arrange(zone, domain, state)
    log_in(client, ada)
    began = timezone.now()
    client.post(CHECK, {"domain": domain.pk})
    assert timezone.now() - began < timedelta(seconds=30)  # it gives up by itself after five, on a machine at rest
    assert words in client.get(PAGE).content.decode()
    domain.refresh_from_db()
    assert (domain.answer, domain.verified_at) == (answer, None)


def test_the_page_shows_the_record_and_the_button_proves(client, ada, zone, domain):
    log_in(client, ada)
    page = client.get(PAGE).content.decode()
    assert "_studio-challenge.acme.test" in page
    assert domain.token in page
    publish(zone, domain)
    client.post(CHECK, {"domain": domain.pk})
    domain.refresh_from_db()
    assert domain.proof == DomainProof.DNS
    assert Event.objects.get(action="domain.proven").actor_label == str(ada)


def test_the_button_is_throttled(client, ada, zone, domain):
    log_in(client, ada)
    for _number in range(12):
        client.post(CHECK, {"domain": domain.pk})
    assert len(zone.asked) == 10
    assert "Too many tries" in client.get(PAGE).content.decode()


def test_who_comes_second_reads_why_on_the_page(client, zone, proven):
    globex = environment(slug="globex")
    gina = member(globex)
    theirs = domains.add_domain(globex, domain="ACME.test", by=Caller.of(gina), now=NOW)
    zone.texts[name_of(theirs)] = [theirs.token]
    log_in(client, gina)
    client.post("/globex/settings/domains/check/", {"domain": theirs.pk})
    assert "Another organisation has verified acme.test" in client.get("/globex/settings/").content.decode()


@pytest.mark.parametrize("do", ["add", "remove", "vouch"])
def test_changing_domains_needs_a_stepped_up_session(client, ada, domain, do):
    give_password(client, ada)
    before = OrganisationDomain.objects.count()
    answer = client.post(CHANGE, {"do": do, "domain": domain.pk if do != "add" else "globex.test"})
    assert answer.url.startswith("/profile/security/confirm/")
    assert OrganisationDomain.objects.count() == before


def test_an_administrator_adds_and_removes_and_cannot_vouch(client, ada, acme):
    log_in(client, ada)
    client.post(CHANGE, {"do": "add", "domain": "acme.test"})
    added = OrganisationDomain.objects.get()
    assert client.post(CHANGE, {"do": "vouch", "domain": added.pk}).status_code == 403
    client.post(CHANGE, {"do": "remove", "domain": added.pk})
    assert OrganisationDomain.objects.count() == 0


@pytest.mark.parametrize("path", [CHANGE, CHECK])
def test_strangers_and_members_reach_no_domain(client, domain, path):
    log_in(client, member(domain.organisation, Role.MEMBER))
    assert client.post(path, {"do": "remove", "domain": domain.pk}).status_code == 403
    log_in(client, member(environment()))
    assert client.post(path, {"do": "remove", "domain": domain.pk}).status_code == 404
    assert OrganisationDomain.objects.count() == 1


def test_the_domain_of_another_organisation_is_not_found(client, ada, zone):
    theirs = environment(slug="globex")
    other = domains.add_domain(theirs, domain="globex.test", by=Caller.of(member(theirs)), now=NOW)
    log_in(client, ada)
    assert client.post(CHANGE, {"do": "remove", "domain": other.pk}).status_code == 404
    assert client.post(CHECK, {"domain": other.pk}).status_code == 404


@pytest.mark.parametrize("count", [1, 20])
def test_the_page_costs_the_same_for_any_number_of_domains(client, ada, acme, count, django_assert_num_queries):
    for number in range(count):
        domains.add_domain(acme, domain=f"d{number}.test", by=Caller.of(ada), now=NOW)
    log_in(client, ada)
    client.get(PAGE)
    with django_assert_num_queries(6):
        client.get(PAGE)


def test_an_act_that_nobody_named_removes_nothing(client, ada, acme, domain):
    log_in(client, ada)
    for body in ({}, {"do": ""}, {"do": "delete"}):
        assert client.post("/acme/settings/domains/", {**body, "domain": str(domain.pk)}).status_code == 400
    assert acme.domains.count() == 1
