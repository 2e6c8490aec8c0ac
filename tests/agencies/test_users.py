"""Everybody below an organisation: who is shown and found, the file of it, one person, and their removal."""

import csv
import io
import re
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import make_password
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone
from django_otp_webauthn.models import WebAuthnCredential

from accounts.models import SessionRecord, User
from agencies.users.preview import what_ends
from audit.models import Event
from environments.access import reachable
from environments.caller import SYSTEM, Caller
from environments.choices import Kind, Role
from environments.domains.services import add_domain
from environments.invitation_links.services import create_link
from environments.invitations.services import invite
from environments.keys import services as keys
from environments.members.services import remove_user
from environments.models import ApiKey, Invitation, InvitationLink, Membership, Organisation, OrganisationDomain
from tests.factories import UserFactory, environment, member, organisation
from tests.logging_in import give_app, logged_in_client
from tests.mailbox import sent_mails
from tests.queries import count_queries
from web.versions import ChangedMeanwhile

pytestmark = pytest.mark.django_db
PEOPLE = re.compile(r'<a class="table__link" href="/[\w-]+/users/\d+/">([^<]*)</a>')


@pytest.fixture
def agency() -> Organisation:
    """Aurora with two customers: Bakker (shop, depot) and Cohen (desk), and another agency's elsewhere."""
    aurora = organisation(Kind.AGENCY, name="Aurora", slug="aurora")
    bakker = organisation(Kind.CUSTOMER, parent=aurora, name="Bakker", slug="bakker")
    cohen = organisation(Kind.CUSTOMER, parent=aurora, name="Cohen", slug="cohen")
    environment(parent=bakker, name="Shop", slug="shop")
    environment(parent=bakker, name="Depot", slug="depot")
    environment(parent=cohen, name="Desk", slug="desk")
    environment(name="Elsewhere", slug="elsewhere")
    return aurora


def get(slug: str) -> Organisation:
    return Organisation.objects.get(slug=slug)


def add(user: User, slug: str, *roles: str, **fields: object) -> Membership:
    fields = {"accepted_at": timezone.now(), **fields}
    return Membership.objects.create(user=user, organisation=get(slug), roles=list(roles or [Role.MEMBER]), **fields)


@pytest.fixture
def boss(agency) -> User:
    boss = member(agency, name="Boss", email="a@aurora.test")
    give_app(boss)
    return boss


@pytest.fixture
def ada(boss):
    return logged_in_client(boss)


@pytest.fixture
def people(boss) -> dict[str, User]:
    """Bea of Shop and Desk without a factor, Cor of Bakker with an app, Dan of Depot by SSO, Eva of Desk, invited."""
    bea = UserFactory(name="Bea", email="bea@x.test", last_active_at=timezone.now() - timedelta(days=2))
    add(bea, "desk", Role.DEVELOPER)
    add(bea, "shop")
    cor = member(get("bakker"), name="Cor", email="cor@x.test", last_active_at=timezone.now() - timedelta(days=9))
    give_app(cor)
    dan = member(get("depot"), Role.MEMBER, name="Dan", email="dan@x.test", password=None)
    dan.social_auth.create(provider="oidc-acme", uid="dan", id_key="sub")
    eva = member(get("desk"), Role.MEMBER, name="Eva", email="eva@x.test", password=None)
    return {person.name: person for person in (bea, cor, dan, eva)}


def shown(client, query: str = "", at: str = "aurora") -> list[str]:
    return PEOPLE.findall(client.get(f"/{at}/users/{query}").text)


def filed(client, query: str = "") -> list[dict[str, str]]:
    answer = client.get(f"/aurora/users.csv{query}")
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig"))))


def words(response) -> str:
    return " ".join(re.sub("<[^>]*>", " ", response.text).split())


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Boss", "Bea", "Cor", "Dan", "Eva"]),
        ("?q=BEA@", ["Bea"]),
        ("?q=co", ["Cor"]),
        ("?role=developer", ["Bea"]),
        ("?role=administrator", ["Boss", "Cor"]),
        ("?by=password", ["Boss", "Bea", "Cor"]),
        ("?by=sso", ["Dan"]),
        ("?by=passkey", ["Cor"]),
        ("?by=none", ["Eva"]),
        ("?mfa=without", ["Bea", "Eva"]),
        ("?mfa=with", ["Boss", "Cor"]),
        ("?mfa=by-sso", ["Dan"]),
        ("?mfa=without&by=password", ["Bea"]),
        ("?mfa=nonsense", ["Boss", "Bea", "Cor", "Dan", "Eva"]),
        ("?sort=name", ["Bea", "Boss", "Cor", "Dan", "Eva"]),
        ("?sort=place", ["Boss", "Cor", "Bea", "Dan", "Eva"]),
        ("?sort=most", ["Bea", "Boss", "Cor", "Dan", "Eva"]),
        ("?sort=latest&q=x.test", ["Bea", "Cor", "Dan", "Eva"]),
        ("?sort=longest-ago&q=x.test", ["Dan", "Eva", "Cor", "Bea"]),
    ],
)
def test_page_and_file_show_whom_a_filter_asks_for_in_its_order(ada, people, query, found):
    WebAuthnCredential.objects.create(
        user=people["Cor"], credential_id=b"1", public_key=b"1", aaguid=b"1" * 16, name="Key", confirmed=True
    )
    assert shown(ada, query) == found
    assert [row["name"] for row in filed(ada, query)] == found


def test_a_row_has_the_first_memberships_with_the_organisation_above_and_how_many_more(ada, people):
    bea = people["Bea"]
    page = words(ada.get("/aurora/users/?q=bea"))
    assert "Bakker › Shop Member Cohen › Desk Developer" in page
    add(bea, "depot")
    add(bea, "bakker")
    add(bea, "elsewhere")

    page = words(ada.get("/aurora/users/?q=bea"))
    assert "Bakker Member Bakker › Shop Member Bakker › Depot Member and 1 more" in page
    (row,) = filed(ada, "?q=bea")
    assert (
        row["memberships"] == "Bakker: Member; Bakker › Shop: Member; Bakker › Depot: Member; Cohen › Desk: Developer"
    )
    assert (row["membership_count"], row["logs_in_with"], row["second_factor"]) == ("4", "password", "")


def test_who_lacks_a_factor_is_two_clicks_away_in_the_order_of_the_customers(ada, people):
    home = ada.get("/aurora/environments/").text
    assert 'href="/aurora/users/"' in home
    page = ada.get("/aurora/users/")
    link = re.search(r'<a class="nowrap" href="(\?mfa=without[^"]*)">\s*2 without a factor', page.text)
    assert link
    assert shown(ada, link[1].replace("&amp;", "&")) == ["Bea", "Eva"]


def test_nothing_of_memberships_above_or_elsewhere_is_shown(agency, people):
    cor = logged_in_client(people["Cor"])
    add(people["Bea"], "elsewhere", Role.ADMINISTRATOR)
    add(people["Bea"], "aurora", Role.ADMINISTRATOR)

    assert shown(cor, at="bakker") == ["Bea", "Cor", "Dan"]
    for path in ("/bakker/users/", f"/bakker/users/{people['Bea'].pk}/", f"/bakker/users/{people['Bea'].pk}/remove/"):
        page = words(cor.get(path))
        assert "Shop" in page, path
        for hidden in ("Desk", "Cohen", "Elsewhere", "Aurora"):
            assert hidden not in page, path
    assert cor.get(f"/bakker/users/{people['Eva'].pk}/").status_code == 404
    assert cor.get(f"/bakker/users/{people['Eva'].pk}/remove/").status_code == 404


def test_closed_accounts_and_memberships_that_are_not_live_are_left_out(ada, people):
    now = timezone.now()
    member(get("shop"), is_active=False, name="Closed")
    add(UserFactory(name="Over"), "shop", expires_at=now - timedelta(seconds=1))
    over = add(people["Bea"], "depot", expires_at=now - timedelta(days=1))
    add(UserFactory(name="Not yet", password=make_password(None)), "shop", accepted_at=None)

    assert shown(ada) == ["Boss", "Bea", "Cor", "Dan", "Eva"]
    assert [row["membership_count"] for row in filed(ada, "?q=bea")] == ["2"]
    page = words(ada.get(f"/aurora/users/{people['Bea'].pk}/"))
    assert "Has access to 2 environments of Aurora." in page
    assert page.count("Expired") == 1
    assert f"/depot/members/{over.pk}/" in ada.get(f"/aurora/users/{people['Bea'].pk}/").text


@pytest.mark.parametrize(
    ("role", "status"), [(Role.ENVIRONMENT_MANAGER, 200), (Role.DEVELOPER, 403), (Role.MEMBER, 403)]
)
def test_it_takes_the_permission_to_manage_members_above_environments(agency, people, role, status):
    client = logged_in_client(member(agency, role))
    pk = people["Eva"].pk
    paths = ("/aurora/users/", "/aurora/users.csv", f"/aurora/users/{pk}/", f"/aurora/users/{pk}/remove/")
    assert {client.get(path).status_code for path in paths} == {status}
    assert {client.get(path.replace("aurora", "shop")).status_code for path in paths} == {404}
    assert {client.get(path.replace("aurora", "elsewhere")).status_code for path in paths} == {404}


def test_one_person_shows_what_they_reach_with_roles_and_dates(ada, people):
    until = timezone.now() + timedelta(days=30)
    add(people["Bea"], "bakker", Role.ENVIRONMENT_MANAGER, expires_at=until)
    page = words(ada.get(f"/aurora/users/{people['Bea'].pk}/"))

    assert reachable(Caller.of(people["Bea"])).below(get("aurora")).environments().count() == 3  # depot by Bakker
    assert "Has access to 3 environments of Aurora." in page
    assert "Bakker Aurora Environment manager 2" in page
    assert "Shop Bakker Member 1" in page
    assert "Desk Cohen Developer 1" in page


@pytest.fixture
def entangled(people) -> User:
    """Make Bea an Administrator of Bakker who is responsible for something of every kind."""
    bea, now = people["Bea"], timezone.now()
    add(bea, "bakker", Role.ADMINISTRATOR)
    by = Caller.of(bea)
    invite(get("shop"), email="new@x.test", roles=[Role.MEMBER], by=by, now=now)
    create_link(get("shop"), roles=[Role.MEMBER], by=by, now=now)
    keys.create_organisation_key(get("shop"), name="Import", roles=[Role.DEVELOPER], by=by, now=now)
    keys.create_personal_key(bea, name="Laptop", by=by, now=now)
    keys.create_personal_key(bea, name="Shop", organisation=get("shop"), by=by, now=now)
    domain = add_domain(get("shop"), domain="x.test", by=by, now=now)
    OrganisationDomain.objects.filter(pk=domain.pk).update(verified_at=now, confirmed_by=bea)
    Organisation.objects.filter(slug="shop").update(auto_invite_roles=[Role.DEVELOPER], auto_invite_by=bea)
    for session, (user, looks_as, where) in {
        "by": (bea, people["Dan"], "depot"),
        "of": (people["Cor"], bea, "bakker"),
        "of another": (people["Cor"], people["Dan"], "depot"),
    }.items():
        SessionRecord.objects.create(
            user=user,
            looks_as=looks_as,
            looks_in_id=get(where).pk,
            key_hash=session,
            looks_until=now + timedelta(hours=1),
        )
    return bea


def what_has_ended(bea: User) -> dict[str, list[int]]:
    now = timezone.now()
    own = ApiKey.objects.filter(owner=bea)
    return {
        "memberships": [],
        "revoked_keys": list(own.exclude(revoked_at=None).values_list("pk", flat=True)),
        "closed_keys": list(own.filter(revoked_at=None).exclude(ended_in=[]).values_list("pk", flat=True)),
        "suspended_keys": list(ApiKey.objects.exclude(rests_since=None).values_list("pk", flat=True)),
        "invitations": [],
        "domains": list(OrganisationDomain.objects.exclude(unconfirmed_since=None).values_list("pk", flat=True)),
        "impersonations": list(
            SessionRecord.objects.filter(looks_until__lt=now).order_by("pk").values_list("pk", flat=True)
        ),
    }


@pytest.mark.parametrize("other", [None, "elsewhere", "aurora"])
def test_the_preview_names_exactly_what_ends(boss, entangled, other):
    if other:
        add(entangled, other, Role.ADMINISTRATOR)
    now = timezone.now()
    ending = what_ends(entangled, get("bakker"), now=now)
    said = {name: [each.pk for each in getattr(ending, name)] for name in what_has_ended(entangled)}
    gone = {"memberships": said["memberships"], "invitations": said["invitations"]}
    links = len(ending.links)

    remove_user(entangled, get("bakker"), by=Caller.of(boss), now=now)

    assert said | {"memberships": [], "invitations": []} == what_has_ended(entangled)
    assert not Membership.objects.filter(pk__in=gone["memberships"]).exists()
    assert not Invitation.objects.filter(pk__in=gone["invitations"]).exists()
    assert InvitationLink.objects.count() == 1 - links == Invitation.objects.count()
    assert Invitation.objects.count() == (1 if other == "aurora" else 0)
    left = {"desk"} | ({other} if other else set())
    assert set(entangled.memberships.values_list("organisation__slug", flat=True)) == left
    assert ending.has_role_above == (other == "aurora")
    assert len(said["revoked_keys"]) == (0 if other == "aurora" else 1)
    assert len(said["impersonations"]) == (1 if other == "aurora" else 2)


def test_a_removal_has_an_event_for_each_membership_and_one_mail(boss, ada, entangled):
    begun = Event.objects.count()
    question = ada.get(f"/aurora/users/{entangled.pk}/remove/")
    said = words(question)
    for part in (
        "3 memberships end",
        "Bakker: Administrator",
        "Desk: Developer",
        "revoked: they have access",
        "1 domain",
    ):
        assert part.removeprefix("1 ").lower() in said.lower()
    seen = re.search(r'name="seen" value="(\w+)"', question.text)

    answer = ada.post(f"/aurora/users/{entangled.pk}/remove/", {"seen": seen[1]})

    assert answer.headers["Location"] == "/aurora/users/"
    events = Event.objects.order_by("pk")[begun:]
    removed = [event for event in events if event.action == "membership.removed"]
    assert len(removed) == 3
    assert {event.subject_id for event in removed} == {entangled.pk}
    to_bea = [mail for mail in sent_mails() if mail.to == ["bea@x.test"] and "ended" in mail.subject]
    assert [mail.subject for mail in to_bea] == ["Your access to Aurora has ended"]
    assert "- Desk" in to_bea[0].body
    assert not [mail for mail in sent_mails() if mail.to == ["bea@x.test"] and "revoked" in mail.subject]
    assert ada.post(f"/aurora/users/{entangled.pk}/remove/").status_code == 404


def test_all_or_nothing_is_removed(agency, people):
    eve = member(agency, Role.ENVIRONMENT_MANAGER)
    add(people["Bea"], "bakker", Role.ADMINISTRATOR)
    with pytest.raises(PermissionDenied, match="more permissions than your own"):
        remove_user(people["Bea"], agency, by=Caller.of(eve), now=timezone.now())
    assert people["Bea"].memberships.count() == 3

    answer = logged_in_client(eve).get(f"/aurora/users/{people['Bea'].pk}/remove/", follow=True)
    assert "more permissions than your own" in answer.text


def test_the_last_administrator_of_a_root_stays_with_all_memberships(agency, boss, ada):
    add(boss, "shop")
    with pytest.raises(ValidationError, match="last Administrator of Aurora"):
        remove_user(boss, agency, by=SYSTEM, now=timezone.now())
    assert "last Administrator of Aurora" in ada.get(f"/aurora/users/{boss.pk}/remove/", follow=True).text
    assert boss.memberships.count() == 2


def test_what_was_added_since_the_question_is_not_removed_unseen(agency, boss, ada, people):
    bea = people["Bea"]
    question = ada.get(f"/aurora/users/{bea.pk}/remove/")
    seen = re.search(r'name="seen" value="(\w+)"', question.text)
    add(bea, "depot")

    answer = ada.post(f"/aurora/users/{bea.pk}/remove/", {"seen": seen[1]}, follow=True)

    assert "was changed while you had the page open" in answer.text
    assert bea.memberships.count() == 3
    with pytest.raises(ChangedMeanwhile):
        remove_user(bea, agency, by=Caller.of(boss), now=timezone.now(), seen=seen[1])


def test_people_can_remove_themselves_and_get_no_mail(boss, ada, agency):
    member(agency)
    answer = ada.post(f"/aurora/users/{boss.pk}/remove/")
    assert (answer.headers["Location"], boss.memberships.count()) == ("/", 0)
    assert "ended" not in " ".join(mail.subject for mail in sent_mails())


@pytest.mark.parametrize("count", [1, 50])
def test_it_costs_the_same_for_one_person_and_for_fifty(agency, ada, count):
    bea = UserFactory(name="Bea")
    for number in range(count):
        place = environment(parent=get("bakker"), slug=f"extra-{number}")
        member(place, Role.MEMBER)
        add(bea, place.slug)
    assert count_queries(lambda: ada.get("/aurora/users/")) <= 10
    assert count_queries(lambda: ada.get("/aurora/users/?sort=most&mfa=without&role=member")) <= 10
    assert count_queries(lambda: ada.get(f"/aurora/users/{bea.pk}/")) <= 10
    assert count_queries(lambda: ada.get(f"/aurora/users/{bea.pk}/remove/")) <= 16


def test_the_file_has_every_page_of_the_list(agency, ada):
    for number in range(60):
        member(get("shop"), name=f"Person {number}")
    everything = shown(ada) + shown(ada, "?page=2")
    assert len(everything) == 61
    assert [row["name"] for row in filed(ada)] == everything
