"""Domains are proven by a record in the DNS, asked of a real server on loopback, or by a super user's word."""

import threading
from datetime import timedelta

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connections
from django.utils import timezone

from audit.models import Event
from environments import domains, tasks
from environments.checks import check_name_servers
from environments.choices import DnsAnswer, DomainProof, Role
from environments.models import Organisation, OrganisationDomain
from tests.environments.dns_server import Zone, dns_server
from tests.factories import NOW, UserFactory, environment, member, organisation
from tests.signing_in import give_password, sign_in

PAGE = "/acme/settings/"
CHANGE = "/acme/settings/domains/"
CHECK = "/acme/settings/domains/check/"


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
def acme(db):
    return environment(name="Acme", slug="acme")


@pytest.fixture
def ada(acme):
    return member(acme, email="ada@acme.test", name="Ada")


@pytest.fixture
def domain(acme, ada) -> OrganisationDomain:
    return domains.add_domain(acme, domain="acme.test", by=ada, now=NOW)


@pytest.fixture
def proven(zone, domain) -> OrganisationDomain:
    publish(zone, domain)
    domains.check(domain, by=None, now=NOW)
    return domain


def name_of(domain: OrganisationDomain) -> str:
    return f"_studio-challenge.{domain.domain}"


def publish(zone: Zone, domain: OrganisationDomain) -> None:
    zone.texts[name_of(domain)] = [domain.token]


def actions() -> list[str]:
    return list(Event.objects.filter(action__startswith="domain.").order_by("pk").values_list("action", flat=True))


def test_a_published_record_proves_the_domain(zone, domain):
    publish(zone, domain)
    assert domains.check(domain, by=None, now=NOW) == DnsAnswer.FOUND
    assert (domain.verified_at, domain.proof) == (NOW, DomainProof.DNS)
    assert {name for name, _protocol in zone.asked} == {"_studio-challenge.acme.test"}


def test_a_record_in_pieces_among_others_and_longer_than_a_packet_is_found(zone, domain):
    half = len(domain.token) // 2
    others = [f"v=spf1 include:{number}.mail.test {'x' * 100}" for number in range(10)]
    zone.texts[name_of(domain)] = [*others, [domain.token[:half], domain.token[half:]]]
    assert domains.check(domain, by=None, now=NOW) == DnsAnswer.FOUND
    assert {protocol for _name, protocol in zone.asked} == {"udp", "tcp"}


def arrange(zone: Zone, domain: OrganisationDomain, state: str) -> None:
    name = name_of(domain)
    if state == "no TXT":
        zone.other_names.add(name)
    if state == "another value":
        zone.texts[name] = ["studio-domain=somebody-elses", domain.token[:-1]]
    if state == "SERVFAIL":
        zone.failing.add(name)
    if state == "silence":
        zone.silent.add(name)


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
    sign_in(client, ada)
    began = timezone.now()
    client.post(CHECK, {"domain": domain.pk})
    assert timezone.now() - began < timedelta(seconds=8)
    assert words in client.get(PAGE).content.decode()
    domain.refresh_from_db()
    assert (domain.answer, domain.verified_at) == (answer, None)


def test_a_server_that_is_not_there_says_nothing_of_the_domain(settings, domain):
    settings.DNS_NAMESERVERS = ["127.0.0.1:1"]
    assert domains.check(domain, by=None, now=NOW) in {DnsAnswer.SERVER_FAILED, DnsAnswer.NO_ANSWER}
    assert domain.verified_at is None


def test_the_page_shows_the_record_and_the_button_proves(client, ada, zone, domain):
    sign_in(client, ada)
    page = client.get(PAGE).content.decode()
    assert "_studio-challenge.acme.test" in page
    assert domain.token in page
    publish(zone, domain)
    client.post(CHECK, {"domain": domain.pk})
    domain.refresh_from_db()
    assert domain.proof == DomainProof.DNS
    assert Event.objects.get(action="domain.proven").actor_label == str(ada)


def test_the_button_is_throttled(client, ada, zone, domain):
    sign_in(client, ada)
    for _number in range(12):
        client.post(CHECK, {"domain": domain.pk})
    assert len(zone.asked) == 10
    assert "Too many tries" in client.get(PAGE).content.decode()


@pytest.mark.parametrize(
    "odd",
    [
        *("", "localhost", "acme", "192.0.2.1", "acme..test", "-acme.test", "a" * 64 + ".test", "acme.test/x"),
        *("x." * 120 + "test", "acme.1", "http://acme.test", "nora@acme.test", "acme\x00.test", "a b.test"),
    ],
)
def test_what_is_no_domain_name_is_refused(acme, ada, odd):
    with pytest.raises(ValidationError, match="no domain name"):
        domains.add_domain(acme, domain=odd, by=ada, now=NOW)


@pytest.mark.parametrize(
    "shared",
    ["gmail.com", "GMail.COM.", "@outlook.com", "mail.gmail.com", "ziggo.nl", "co.uk", "github.io", "host.local"],
)
def test_what_is_nobodys_own_is_refused(acme, ada, shared):
    with pytest.raises(ValidationError, match="no organisation's own"):
        domains.add_domain(acme, domain=shared, by=ada, now=NOW)


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
    added = domains.add_domain(acme, domain=typed, by=ada, now=NOW)
    assert (added.domain, added.readable) == (kept, read)
    with pytest.raises(ValidationError, match="listed already"):
        domains.add_domain(acme, domain=kept.upper(), by=ada, now=NOW)


@pytest.mark.django_db(transaction=True)
def test_of_two_organisations_that_prove_a_domain_at_once_exactly_one_wins(zone):
    rivals = []
    for slug in ("acme", "globex"):
        organisation = environment(slug=slug)
        rivals.append(domains.add_domain(organisation, domain="acme.test", by=member(organisation), now=NOW))
    zone.texts[name_of(rivals[0])] = [rival.token for rival in rivals]
    ready, refusals = threading.Barrier(len(rivals)), []

    def prove(rival: OrganisationDomain) -> None:
        ready.wait()
        try:
            domains.check(rival, by=None, now=NOW)
        except ValidationError as error:
            refusals.extend(error.messages)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=prove, args=[rival]) for rival in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert OrganisationDomain.objects.filter(verified_at__isnull=False).count() == 1
    assert refusals == ["Another organisation has proven acme.test. Ask us if it is yours."]
    assert actions().count("domain.proven") == 1


def test_who_comes_second_reads_why_on_the_page(client, zone, proven):
    globex = environment(slug="globex")
    gina = member(globex)
    theirs = domains.add_domain(globex, domain="ACME.test", by=gina, now=NOW)
    zone.texts[name_of(theirs)] = [theirs.token]
    sign_in(client, gina)
    client.post("/globex/settings/domains/check/", {"domain": theirs.pk})
    assert "Another organisation has proven acme.test" in client.get("/globex/settings/").content.decode()


def test_the_clock_proves_what_is_due_and_waits_longer_after_each_miss(zone, domain):
    waits = []
    for _look in range(14):
        domain.refresh_from_db()
        at = domain.next_check_at
        assert domains.check_due(now=at - timedelta(seconds=1)) == 0
        assert domains.check_due(now=at) == 1
        domain.refresh_from_db()
        waits.append(domain.next_check_at - at)
    assert waits[:4] == [timedelta(minutes=2), timedelta(minutes=4), timedelta(minutes=8), timedelta(minutes=16)]
    assert waits == sorted(waits)
    assert waits[-1] == timedelta(days=1)
    publish(zone, domain)
    domains.check_due(now=domain.next_check_at)
    domain.refresh_from_db()
    assert domain.verified_at


def test_after_a_month_only_the_button_looks(zone, domain):
    OrganisationDomain.objects.update(failed_checks=39, next_check_at=NOW + timedelta(days=31))
    domains.check_due(now=NOW + timedelta(days=31))
    domain.refresh_from_db()
    assert domain.next_check_at is None
    publish(zone, domain)
    domains.check(domain, by=None, now=NOW + timedelta(days=40))
    assert domain.verified_at


def test_two_clocks_do_not_look_at_the_same_domain(zone, domain):
    OrganisationDomain.objects.update(next_check_at=NOW)
    due = list(OrganisationDomain.objects.all())
    assert domains.claim(due[0], now=NOW)
    assert not domains.claim(due[0], now=NOW)


@pytest.fixture
def mails(django_capture_on_commit_callbacks):
    """Call something, and return the subjects of what it mailed and to whom."""

    def mailed_by(call):
        mail.outbox.clear()
        with django_capture_on_commit_callbacks(execute=True):
            call()
        return [(message.subject, message.to[0]) for message in mail.outbox]

    return mailed_by


def test_a_vanished_record_is_told_and_lapses_only_after_the_grace(zone, proven, ada, mails):
    zone.texts.clear()
    check = lambda **after: mails(lambda: domains.check(proven, by=None, now=NOW + timedelta(**after)))  # noqa: E731
    assert check(days=1) == [("The DNS record of acme.test is missing", ada.email)]
    assert "Nothing changes before 30 November 2026, 13:00 CET." in mail.outbox[0].body
    assert proven.next_check_at == NOW + timedelta(days=1, hours=1)
    assert check(days=2) == []
    assert check(days=7, hours=23) == []
    assert proven.verified_at
    assert check(days=8) == [("acme.test is no longer proven", ada.email)]
    assert "nobody joins by it any more" in mail.outbox[0].body
    assert (proven.verified_at, proven.proof) == (None, "")
    assert actions() == ["domain.added", "domain.proven", "domain.missing", "domain.lapsed"]


def test_a_record_that_comes_back_within_the_grace_is_told_too(zone, proven, ada, mails):
    zone.texts.clear()
    domains.check(proven, by=None, now=NOW + timedelta(days=1))
    publish(zone, proven)
    told = mails(lambda: domains.check(proven, by=None, now=NOW + timedelta(days=3)))
    assert told == [("The DNS record of acme.test is back", ada.email)]
    zone.texts.clear()
    domains.check(proven, by=None, now=NOW + timedelta(days=9))
    assert proven.verified_at


@pytest.mark.parametrize("state", ["SERVFAIL", "silence"])
def test_servers_that_fail_never_end_a_proof(zone, proven, state):
    zone.texts.clear()
    domains.check(proven, by=None, now=NOW + timedelta(days=1))
    arrange(zone, proven, state)
    domains.check(proven, by=None, now=NOW + timedelta(days=30))
    assert proven.verified_at
    assert proven.missing_since == NOW + timedelta(days=1)


def test_a_super_users_word_needs_no_record_and_does_not_lapse(zone, domain):
    with pytest.raises(PermissionDenied):
        domains.vouch_for(domain, by=member(domain.organisation), now=NOW)
    domains.vouch_for(domain, by=UserFactory(is_superuser=True), now=NOW)
    assert (domain.proof, domain.next_check_at) == (DomainProof.WORD, None)
    domains.check(domain, by=None, now=NOW + timedelta(days=90))
    domains.check(domain, by=None, now=NOW + timedelta(days=99))
    assert domain.verified_at


def test_adding_proving_and_removing_are_mailed_and_written_down(zone, acme, ada, mails):
    member(acme, Role.MEMBER)
    added = []
    assert mails(lambda: added.append(domains.add_domain(acme, domain="acme.test", by=ada, now=NOW))) == [
        ("acme.test was added to Acme", ada.email)
    ]
    publish(zone, added[0])
    assert mails(lambda: domains.check(added[0], by=ada, now=NOW)) == [("acme.test is proven", ada.email)]
    assert mails(lambda: domains.remove_domain(added[0], by=ada, now=NOW)) == [
        ("acme.test was removed from Acme", ada.email)
    ]
    assert actions() == ["domain.added", "domain.proven", "domain.removed"]


def test_where_nobody_administers_the_nearest_above_are_told(db, mails):
    acme = environment(name="Acme", parent=organisation())
    boss = member(Organisation.objects.get_parent(acme), email="boss@agency.test")
    manager = member(acme, Role.ORGANISATION_MANAGER)
    told = mails(lambda: domains.add_domain(acme, domain="acme.test", by=manager, now=NOW))
    assert told == [("acme.test was added to Acme", boss.email)]


@pytest.mark.parametrize("do", ["add", "remove", "vouch"])
def test_changing_domains_needs_a_stepped_up_session(client, ada, domain, do):
    give_password(client, ada)
    before = OrganisationDomain.objects.count()
    answer = client.post(CHANGE, {"do": do, "domain": domain.pk if do != "add" else "globex.test"})
    assert answer.url.startswith("/profile/security/confirm/")
    assert OrganisationDomain.objects.count() == before


def test_an_administrator_adds_and_removes_and_cannot_vouch(client, ada, acme):
    sign_in(client, ada)
    client.post(CHANGE, {"do": "add", "domain": "acme.test"})
    added = OrganisationDomain.objects.get()
    assert client.post(CHANGE, {"do": "vouch", "domain": added.pk}).status_code == 403
    client.post(CHANGE, {"do": "remove", "domain": added.pk})
    assert OrganisationDomain.objects.count() == 0


@pytest.mark.parametrize("path", [CHANGE, CHECK])
def test_strangers_and_members_reach_no_domain(client, domain, path):
    sign_in(client, member(domain.organisation, Role.MEMBER))
    assert client.post(path, {"do": "remove", "domain": domain.pk}).status_code == 403
    sign_in(client, member(environment()))
    assert client.post(path, {"do": "remove", "domain": domain.pk}).status_code == 404
    assert OrganisationDomain.objects.count() == 1


def test_the_domain_of_another_organisation_is_not_found(client, ada, zone):
    theirs = environment(slug="globex")
    other = domains.add_domain(theirs, domain="globex.test", by=member(theirs), now=NOW)
    sign_in(client, ada)
    assert client.post(CHANGE, {"do": "remove", "domain": other.pk}).status_code == 404
    assert client.post(CHECK, {"domain": other.pk}).status_code == 404


@pytest.mark.parametrize("count", [1, 20])
def test_the_page_costs_the_same_for_any_number_of_domains(client, ada, acme, count, django_assert_num_queries):
    for number in range(count):
        domains.add_domain(acme, domain=f"d{number}.test", by=ada, now=NOW)
    sign_in(client, ada)
    client.get(PAGE)
    with django_assert_num_queries(11):
        client.get(PAGE)


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


def test_an_act_that_nobody_named_removes_nothing(client, ada, acme, domain):
    sign_in(client, ada)
    for body in ({}, {"do": ""}, {"do": "delete"}):
        assert client.post("/acme/settings/domains/", {**body, "domain": str(domain.pk)}).status_code == 400
    assert acme.domains.count() == 1


def test_a_domain_removed_while_it_is_looked_up_is_no_error(zone, domain, ada):
    publish(zone, domain)
    OrganisationDomain.objects.all().delete()
    with pytest.raises(ValidationError, match="removed meanwhile"):
        domains.check(domain, by=ada, now=NOW)
