"""Domains are proven by a record in the DNS, asked of a real server on loopback, or by a super user's word."""

from datetime import timedelta
from functools import partial

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from audit.models import Event
from environments import tasks
from environments.caller import SYSTEM, Caller
from environments.checks import check_name_servers
from environments.choices import DnsAnswer, DomainProof, Role
from environments.domains import services as domains
from environments.models import Organisation, OrganisationDomain
from tests.at_once import at_once
from tests.environments.dns_server import arrange, name_of, publish
from tests.factories import NOW, UserFactory, environment, member, organisation
from tests.mailbox import sent_mails


def actions() -> list[str]:
    return list(Event.objects.filter(action__startswith="domain.").order_by("pk").values_list("action", flat=True))


def test_a_published_record_proves_the_domain(zone, domain):
    publish(zone, domain)
    assert domains.check_record(domain, by=SYSTEM, now=NOW) == DnsAnswer.FOUND
    assert (domain.verified_at, domain.proof) == (NOW, DomainProof.DNS)
    assert {name for name, _protocol in zone.asked} == {"_studio-challenge.acme.test"}


def test_a_record_in_pieces_among_others_and_longer_than_a_packet_is_found(zone, domain):
    half = len(domain.token) // 2
    others = [f"v=spf1 include:{number}.mail.test {'x' * 100}" for number in range(10)]
    zone.texts[name_of(domain)] = [*others, [domain.token[:half], domain.token[half:]]]
    assert domains.check_record(domain, by=SYSTEM, now=NOW) == DnsAnswer.FOUND
    assert {protocol for _name, protocol in zone.asked} == {"udp", "tcp"}


def test_a_server_that_is_not_there_says_nothing_of_the_domain(settings, domain):
    settings.DNS_NAMESERVERS = ["127.0.0.1:1"]
    assert domains.check_record(domain, by=SYSTEM, now=NOW) in {DnsAnswer.SERVER_FAILED, DnsAnswer.NO_ANSWER}
    assert domain.verified_at is None


@pytest.mark.parametrize(
    "odd",
    [
        *("", "localhost", "acme", "192.0.2.1", "acme..test", "-acme.test", "a" * 64 + ".test", "acme.test/x"),
        *("x." * 120 + "test", "acme.1", "http://acme.test", "nora@acme.test", "acme\x00.test", "a b.test"),
    ],
)
def test_what_is_no_domain_name_is_refused(acme, ada, odd):
    with pytest.raises(ValidationError, match="Enter a domain name"):
        domains.add_domain(acme, domain=odd, by=Caller.of(ada), now=NOW)


@pytest.mark.parametrize(
    "shared",
    ["gmail.com", "GMail.COM.", "@outlook.com", "mail.gmail.com", "ziggo.nl", "co.uk", "github.io", "host.local"],
)
def test_what_is_nobodys_own_is_refused(acme, ada, shared):
    with pytest.raises(ValidationError, match="is a public domain"):
        domains.add_domain(acme, domain=shared, by=Caller.of(ada), now=NOW)


@pytest.mark.parametrize(
    ("typed", "kept", "read"),
    [
        ("Acme.TEST.", "acme.test", "acme.test"),
        ("@acme.test", "acme.test", "acme.test"),
        ("Bücher.example", "xn--bcher-kva.example", "bücher.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", "bücher.example"),
        ("straße.example", "xn--strae-oqa.example", "straße.example"),
        ("acme.co.uk", "acme.co.uk", "acme.co.uk"),
    ],
)
def test_a_name_is_kept_in_one_spelling(acme, ada, typed, kept, read):
    added = domains.add_domain(acme, domain=typed, by=Caller.of(ada), now=NOW)
    assert (added.domain, added.readable) == (kept, read)
    with pytest.raises(ValidationError, match="already in the list"):
        domains.add_domain(acme, domain=kept.upper(), by=Caller.of(ada), now=NOW)


@pytest.mark.django_db(transaction=True)
def test_of_two_organisations_that_prove_a_domain_at_once_exactly_one_wins(zone):
    rivals = []
    for slug in ("acme", "globex"):
        organisation = environment(slug=slug)
        rivals.append(domains.add_domain(organisation, domain="acme.test", by=Caller.of(member(organisation)), now=NOW))
    zone.texts[name_of(rivals[0])] = [rival.token for rival in rivals]
    checks = [partial(domains.check_record, rival, by=SYSTEM, now=NOW) for rival in rivals]
    results = at_once(*checks, refused=ValidationError)
    refusals = [message for error in results if isinstance(error, ValidationError) for message in error.messages]
    assert OrganisationDomain.objects.filter(verified_at__isnull=False).count() == 1
    assert refusals == ["Another organisation has verified acme.test. If it is yours, contact support."]
    assert actions().count("domain.proven") == 1


def test_the_clock_proves_what_is_due_and_waits_longer_after_each_miss(zone, domain):
    waits = []
    for _look in range(14):
        domain.refresh_from_db()
        at = domain.next_check_at
        assert domains.check_due_records(now=at - timedelta(seconds=1)) == 0
        assert domains.check_due_records(now=at) == 1
        domain.refresh_from_db()
        waits.append(domain.next_check_at - at)
    assert waits[:4] == [timedelta(minutes=2), timedelta(minutes=4), timedelta(minutes=8), timedelta(minutes=16)]
    assert waits == sorted(waits)
    assert waits[-1] == timedelta(days=1)
    publish(zone, domain)
    domains.check_due_records(now=domain.next_check_at)
    domain.refresh_from_db()
    assert domain.verified_at


def test_after_a_month_only_the_button_looks(zone, domain):
    OrganisationDomain.objects.update(failed_checks=39, next_check_at=NOW + timedelta(days=31))
    domains.check_due_records(now=NOW + timedelta(days=31))
    domain.refresh_from_db()
    assert domain.next_check_at is None
    publish(zone, domain)
    domains.check_record(domain, by=SYSTEM, now=NOW + timedelta(days=40))
    assert domain.verified_at


def test_two_clocks_do_not_look_at_the_same_domain(zone, domain):
    OrganisationDomain.objects.update(next_check_at=NOW)
    due = list(OrganisationDomain.objects.all())
    assert domains.claim_check(due[0], now=NOW)
    assert not domains.claim_check(due[0], now=NOW)


def test_a_vanished_record_is_mailed_and_lapses_only_after_the_grace(zone, proven, ada, mails):
    zone.texts.clear()
    check = lambda **after: mails(lambda: domains.check_record(proven, by=SYSTEM, now=NOW + timedelta(**after)))  # noqa: E731
    assert check(days=1) == [("Acme: the DNS record of acme.test is missing", ada.email)]
    assert "before 30 November 2026, 13:00 CET. Until then nothing changes" in sent_mails()[0].body
    assert proven.next_check_at == NOW + timedelta(days=1, hours=1)
    assert check(days=2) == []
    assert check(days=7, hours=23) == []
    assert proven.verified_at
    assert check(days=8) == [("Acme: acme.test is no longer verified", ada.email)]
    assert "nobody can join Acme by acme.test" in sent_mails()[0].body
    assert (proven.verified_at, proven.proof) == (None, "")
    assert actions() == ["domain.added", "domain.proven", "domain.missing", "domain.lapsed"]


def test_a_record_that_comes_back_within_the_grace_is_mailed_too(zone, proven, ada, mails):
    zone.texts.clear()
    domains.check_record(proven, by=SYSTEM, now=NOW + timedelta(days=1))
    publish(zone, proven)
    told = mails(lambda: domains.check_record(proven, by=SYSTEM, now=NOW + timedelta(days=3)))
    assert told == [("Acme: the DNS record of acme.test is back", ada.email)]
    zone.texts.clear()
    domains.check_record(proven, by=SYSTEM, now=NOW + timedelta(days=9))
    assert proven.verified_at


@pytest.mark.parametrize("state", ["SERVFAIL", "silence"])
def test_servers_that_fail_never_end_a_proof(zone, proven, state):
    zone.texts.clear()
    domains.check_record(proven, by=SYSTEM, now=NOW + timedelta(days=1))
    arrange(zone, proven, state)
    domains.check_record(proven, by=SYSTEM, now=NOW + timedelta(days=30))
    assert proven.verified_at
    assert proven.missing_since == NOW + timedelta(days=1)


def test_a_super_users_word_needs_no_record_and_does_not_lapse(zone, domain):
    with pytest.raises(PermissionDenied):
        domains.verify_without_record(domain, by=Caller.of(member(domain.organisation)), now=NOW)
    domains.verify_without_record(domain, by=Caller.of(UserFactory(is_superuser=True)), now=NOW)
    assert (domain.proof, domain.next_check_at) == (DomainProof.WORD, None)
    domains.check_record(domain, by=SYSTEM, now=NOW + timedelta(days=90))
    domains.check_record(domain, by=SYSTEM, now=NOW + timedelta(days=99))
    assert domain.verified_at


def test_adding_proving_and_removing_are_mailed_and_written_down(zone, acme, ada, mails):
    member(acme, Role.MEMBER)
    added = []
    assert mails(lambda: added.append(domains.add_domain(acme, domain="acme.test", by=Caller.of(ada), now=NOW))) == [
        ("acme.test was added to Acme", ada.email)
    ]
    publish(zone, added[0])
    assert mails(lambda: domains.check_record(added[0], by=Caller.of(ada), now=NOW)) == [
        ("Acme: acme.test is verified", ada.email)
    ]
    assert mails(lambda: domains.remove_domain(added[0], by=Caller.of(ada), now=NOW)) == [
        ("acme.test was removed from Acme", ada.email)
    ]
    assert actions() == ["domain.added", "domain.proven", "domain.removed"]


def test_where_nobody_administers_the_nearest_above_get_the_mail(db, mails):
    acme = environment(name="Acme", parent=organisation())
    boss = member(Organisation.objects.get_parent(acme), email="boss@agency.test")
    manager = member(acme, Role.ORGANISATION_MANAGER)
    told = mails(lambda: domains.add_domain(acme, domain="acme.test", by=Caller.of(manager), now=NOW))
    assert told == [("acme.test was added to Acme", boss.email)]


def test_the_task_looks_at_what_is_due(zone, domain):
    publish(zone, domain)
    tasks.check_domains()
    domain.refresh_from_db()
    assert domain.proof == DomainProof.DNS


def test_name_servers_that_cannot_be_asked_stop_the_start(settings):
    settings.DNS_NAMESERVERS = ["192.0.2.53", "192.0.2.53:5353", "[2001:db8::53]:53", "2001:db8::53"]
    assert check_name_servers(None) == []
    settings.DNS_NAMESERVERS = ["dns.acme.test", "192.0.2.53:port"]
    assert [error.id for error in check_name_servers(None)] == ["environments.E001", "environments.E001"]


def test_a_domain_removed_while_it_is_looked_up_is_no_error(zone, domain, ada):
    publish(zone, domain)
    OrganisationDomain.objects.all().delete()
    with pytest.raises(ValidationError, match="has removed this domain"):
        domains.check_record(domain, by=Caller.of(ada), now=NOW)
