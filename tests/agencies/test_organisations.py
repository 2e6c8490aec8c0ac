"""Move, suspend and resume: who can, what the preview says, and what happens."""

import re
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone

from agencies.organisations import services
from agencies.organisations.queries import what_closes, what_moves
from archival.models import PolicyChange
from archival.policy.services import apply_change_now, apply_due_changes
from archival.requests.deletion import begin_deletion
from audit.models import Event
from environments.caller import SYSTEM, Caller
from environments.choices import Kind, Role
from environments.keys import services as keys
from environments.models import Organisation
from environments.roster import people_of, without_factor
from tests.accounts.conftest import require_mfa
from tests.archival.limits import archive_after
from tests.factories import UserFactory, conversation, environment, member, organisation
from tests.logging_in import give_app, logged_in_client
from tests.mailbox import sent_mails
from tests.queries import count_queries
from web.versions import ChangedMeanwhile, version_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def agency() -> Organisation:
    """Aurora with two customers: Bakker (shop, depot) and Cohen (desk), and another agency, Boreal."""
    aurora = organisation(Kind.AGENCY, name="Aurora", slug="aurora")
    bakker = organisation(Kind.CUSTOMER, parent=aurora, name="Bakker", slug="bakker")
    cohen = organisation(Kind.CUSTOMER, parent=aurora, name="Cohen", slug="cohen")
    for parent, name in ((bakker, "Shop"), (bakker, "Depot"), (cohen, "Desk")):
        environment(parent=parent, name=name, slug=name.lower())
    organisation(Kind.AGENCY, name="Boreal", slug="boreal")
    return aurora


def get(slug: str) -> Organisation:
    return Organisation.objects.get(slug=slug)


@pytest.fixture
def boss(agency):
    boss = member(agency, name="Boss")
    give_app(boss)
    return boss


@pytest.fixture
def ada(boss):
    return logged_in_client(boss)


def words(response) -> str:
    return " ".join(re.sub("<[^>]*>", " ", response.text).split())


def hidden(response) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(to|shown|seen)" value="([^"]*)">', response.text))


# -- Move -------------------------------------------------------------------------------------------


def test_a_move_shows_what_changes_below_and_then_moves(ada, boss):
    archive_after(get("cohen"), 90)
    require_mfa(get("cohen"))
    member(get("shop"), Role.MEMBER)  # without a factor
    member(get("bakker"), Role.MEMBER, name="Loses access")
    member(get("cohen"), Role.MEMBER, password=None)

    page = ada.get("/shop/move/?to=cohen")

    assert get("shop").parent_path == get("bakker").path
    said = words(page)
    assert "Limits that change 1" in said
    assert "Shop Kept forever 90 days" in said.replace("No limit", "Kept forever")
    assert "Environments that begin to require MFA 1 2 people must set up a second factor" in said
    assert "People who get access from above 1 People who lose access from above 1" in said

    answer = ada.post("/shop/move/", hidden(page), follow=True)

    assert "Shop is below Cohen now." in answer.text
    assert get("shop").parent_path == get("cohen").path
    assert Event.objects.filter(action="organisation.moved", actor_id=boss.pk).count() == 1


def test_the_people_who_must_set_up_a_factor_are_counted_as_they_are_afterwards(ada, boss):
    require_mfa(get("cohen"))
    require_mfa(get("depot"), "off")
    for slug, role in (("shop", Role.MEMBER), ("depot", Role.MEMBER), ("bakker", Role.MEMBER), ("cohen", Role.MEMBER)):
        member(get(slug), role)
    both = member(get("shop"), Role.MEMBER)
    both.memberships.create(organisation=get("cohen"), roles=[Role.MEMBER], accepted_at=timezone.now())
    effects = what_moves(get("shop"), get("cohen"), now=timezone.now())

    services.move(get("shop"), to=get("cohen"), by=SYSTEM, now=timezone.now())

    assert effects.lacking == without_factor(people_of(get("shop"))).count() == 3
    assert (effects.requiring, effects.released) == (1, 0)
    assert get("shop").effective_require_mfa


def test_a_move_that_deletes_waits_and_can_be_cancelled(ada):
    archive_after(get("cohen"), 30)
    now = timezone.now()
    conversation(of=get("shop"), days_ago=[40, 41], now=now)
    page = ada.get("/shop/move/?to=cohen")
    assert "permanently deletes then" in words(page)
    assert "Conversations 1 Messages 2" in words(page)

    answer = ada.post("/shop/move/", hidden(page), follow=True)

    change = PolicyChange.objects.get()
    assert "Until then it stays, and the move can be cancelled." in answer.text
    assert (change.is_pending, change.new_parent) == (True, get("cohen"))
    assert get("shop").parent_path == get("bakker").path
    ada.post(f"/shop/retention/changes/{change.uuid}/cancel/")
    apply_due_changes(now=now + timedelta(days=3))
    assert get("shop").parent_path == get("bakker").path


def lose_the_place_before(boss) -> None:
    boss.memberships.filter(organisation=get("aurora")).update(roles=[Role.MEMBER])


def lose_the_new_place(boss) -> None:
    boss.memberships.filter(organisation=get("boreal")).update(roles=[Role.ORGANISATION_MANAGER])


def close_the_account(boss) -> None:
    type(boss).objects.filter(pk=boss.pk).update(is_active=False)


@pytest.mark.parametrize("lose", [lose_the_place_before, lose_the_new_place, close_the_account])
def test_a_move_that_waited_needs_the_permission_of_who_asked_for_it_again(boss, lose):
    boreal, now = get("boreal"), timezone.now()
    boreal.memberships.create(user=boss, roles=[Role.ADMINISTRATOR], accepted_at=now)
    archive_after(boreal, 30)
    conversation(of=get("shop"), days_ago=[40, 41], now=now)
    change = services.move(get("bakker"), to=boreal, by=Caller.of(boss), now=now)
    sent_mails()  # the change waits for its announcement
    lose(boss)
    with pytest.raises(ValidationError, match="cannot make it any more"):
        apply_change_now(change, typed_name="Bakker", by=SYSTEM, now=now)
    apply_due_changes(now=now + timedelta(days=3))
    change.refresh_from_db()
    assert (change.state, change.reason) == ("refused", "Whoever asked for this move cannot make it any more.")
    assert get("bakker").parent_path == get("aurora").path


def test_where_nothing_waits_a_move_that_deletes_asks_for_the_name(ada, settings):
    settings.COOLING_OFF_HOURS = 0
    archive_after(get("cohen"), 30)
    conversation(of=get("shop"), days_ago=[40, 41], now=timezone.now())
    page = ada.get("/shop/move/?to=cohen")
    assert "Type Shop to confirm" in page.text
    for typed, said in (({}, "Give the display name"), ({"typed_name": "Shp"}, "Type the name exactly")):
        assert said in ada.post("/shop/move/", hidden(page) | typed).text
        assert get("shop").parent_path == get("bakker").path
    ada.post("/shop/move/", hidden(page) | {"typed_name": "Shop"})
    assert get("shop").parent_path == get("cohen").path


def test_numbers_of_another_move_or_of_fewer_rows_are_shown_again(ada):
    archive_after(get("cohen"), 30)
    now = timezone.now()
    page = ada.get("/shop/move/?to=cohen")
    for _number in range(3):
        conversation(of=get("shop"), days_ago=[40 + number / 100 for number in range(50)], now=now)
    answer = ada.post("/shop/move/", hidden(page))
    assert "more rows would be deleted than were shown" in answer.text
    assert hidden(answer)["shown"] != hidden(page)["shown"]
    assert not PolicyChange.objects.exists()


def test_the_second_of_two_who_move_sees_what_the_first_one_did(ada, boss):
    page = ada.get("/shop/move/?to=aurora")
    services.move(get("shop"), to=get("cohen"), by=Caller.of(boss), now=timezone.now())
    answer = ada.post("/shop/move/", hidden(page))
    assert "was changed while you had the page open" in answer.text
    assert get("shop").parent_path == get("cohen").path
    with pytest.raises(ChangedMeanwhile):
        services.move(get("shop"), to=get("aurora"), by=Caller.of(boss), now=timezone.now(), seen="x")


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("bakker", "Shop is there already."),
        ("depot", "cannot stand below one of the kind"),
        ("shop", "cannot be moved below itself"),
        ("boreal", "There is no organisation with this short name"),
        ("nothing", "There is no organisation with this short name"),
        ("", "This field is required."),
    ],
)
def test_what_is_no_place_for_it_is_refused_and_nothing_else_is_named(ada, to, said):
    for answer in (ada.get(f"/shop/move/?to={to}"), ada.post("/shop/move/", {"to": to})):
        assert said in answer.text
        assert "Boreal" not in answer.text
    assert get("shop").parent_path == get("bakker").path


def test_a_super_user_moves_an_agency_to_the_top_after_a_preview(agency):
    market = organisation(Kind.MARKET, name="North", slug="north")
    archive_after(market, 30)
    require_mfa(market)
    now = timezone.now()
    services.move(get("aurora"), to=market, by=SYSTEM, now=now)
    member(market, Role.MEMBER)
    root = logged_in_client(UserFactory(is_superuser=True))

    said = words(root.get("/aurora/move/?to=&to_root=on"))

    assert "What changes at the top of the tree" in said
    assert "Limits that change 3" in said
    assert "Environments that no longer require MFA 3" in said
    assert "People who lose access from above 1" in said
    assert get("aurora").parent_path == get("north").path

    answer = root.post("/aurora/move/", {"to_root": "on", "seen": version_of(get("north").path)}, follow=True)

    assert "Aurora is at the top of the tree now." in answer.text
    assert (get("aurora").depth, get("shop").effective_archive_after_days) == (1, None)
    assert Organisation.find_problems() == ([], [], [], [], [])
    again = root.get("/aurora/move/?to_root=on")
    assert "Aurora is there already." in again.text


def test_nobody_else_moves_to_the_top_and_no_kind_that_needs_a_parent(ada, boss, agency):
    root = logged_in_client(UserFactory(is_superuser=True))
    for client, slug in ((ada, "bakker"), (root, "bakker")):
        assert "top of the tree" not in words(client.get(f"/{slug}/move/"))
        assert client.post(f"/{slug}/move/", {"to_root": "on"}).status_code == 200
    with pytest.raises(ValidationError, match="needs a parent"):
        services.move(get("bakker"), to=None, by=SYSTEM, now=timezone.now())
    with pytest.raises(PermissionDenied):
        services.move(get("bakker"), to=None, by=Caller.of(boss), now=timezone.now())
    market = organisation(Kind.MARKET, slug="north")
    services.move(get("aurora"), to=market, by=SYSTEM, now=timezone.now())
    of_market = logged_in_client(member(market))
    of_market.post("/aurora/move/", {"to_root": "on"})
    assert (get("bakker").depth, get("aurora").depth) == (3, 2)


def test_the_top_and_a_short_name_are_not_chosen_together(agency):
    root = logged_in_client(UserFactory(is_superuser=True))
    market = organisation(Kind.MARKET, slug="north")
    services.move(get("aurora"), to=market, by=SYSTEM, now=timezone.now())
    for query in ("to=north&to_root=on", "to="):
        assert "Give a short name, or choose the top of the tree." in root.get(f"/aurora/move/?{query}").text


@pytest.mark.parametrize(
    ("where", "role", "status"),
    [
        ("aurora", Role.ADMINISTRATOR, 200),
        ("bakker", Role.ADMINISTRATOR, 403),  # cannot take itself away from the agency
        ("aurora", Role.ORGANISATION_MANAGER, 403),
        ("boreal", Role.ADMINISTRATOR, 404),
    ],
)
def test_it_takes_the_permission_in_the_organisation_above(agency, where, role, status):
    somebody = member(get(where), role)
    give_app(somebody)
    client = logged_in_client(somebody)
    assert {client.get(f"/bakker/{page}/").status_code for page in ("move", "suspend")} == {status}
    panel = client.get("/bakker/organisation/").text
    assert ("/bakker/move/" in panel, "/bakker/suspend/" in panel) == (status == 200, status == 200)
    if status != 200:
        for act in (
            lambda: services.move(get("bakker"), to=agency, by=Caller.of(somebody), now=timezone.now()),
            lambda: services.suspend(get("bakker"), by=Caller.of(somebody), now=timezone.now()),
        ):
            with pytest.raises(PermissionDenied):
                act()


def test_an_agency_cannot_be_moved_or_suspended_by_its_own_administrators(ada):
    assert [ada.get(f"/aurora/{page}/").status_code for page in ("move", "suspend")] == [403, 403]


def test_the_new_place_needs_the_permission_too(ada, boss):
    boreal = get("boreal")
    boreal.memberships.create(user=boss, roles=[Role.ORGANISATION_MANAGER], accepted_at=timezone.now())
    assert "There is no organisation with this short name" in ada.get("/bakker/move/?to=boreal").text
    boreal.memberships.update(roles=[Role.ADMINISTRATOR])
    assert ">Boreal</option>" in ada.get("/bakker/move/").text
    ada.post("/bakker/move/", {"to": "boreal"})
    assert get("bakker").parent_path == get("boreal").path


# -- Suspend and resume -------------------------------------------------------------------------------


def test_what_is_suspended_is_closed_until_it_is_resumed_from_above(ada, boss, agency):
    vic = logged_in_client(member(get("shop"), Role.MEMBER))
    keys.create_organisation_key(
        get("shop"), name="Bot", roles=[Role.DEVELOPER], by=Caller.of(boss), now=timezone.now()
    )
    said = words(ada.get("/bakker/suspend/"))
    for part in ("Environments 2 are closed", "People 1 have no access", "API keys 1 are refused", "Data keeps ageing"):
        assert part in said

    answer = ada.post("/bakker/suspend/", follow=True)

    assert answer.redirect_chain[-1][0] == "/aurora/organisation/"
    assert vic.get("/shop/").status_code == 403
    assert ada.get("/bakker/").status_code == 403
    (address,) = re.findall(r'action="(/aurora/resume/\d+/)"', answer.text)

    answer = ada.post(address, follow=True)

    assert "Bakker is open again." in answer.text
    assert vic.get("/shop/").status_code == 200
    assert "/resume/" not in answer.text
    actions = Event.objects.filter(organisation_id=get("bakker").pk).order_by("pk").values_list("action", flat=True)
    assert list(actions)[-2:] == ["organisation.suspended", "organisation.resumed"]


def test_only_what_is_below_can_be_resumed_and_by_administrators_alone(ada, agency):
    services.suspend(get("boreal"), by=SYSTEM, now=timezone.now())
    services.suspend(get("shop"), by=SYSTEM, now=timezone.now())
    assert ada.post(f"/aurora/resume/{get('boreal').pk}/").status_code == 404
    mia = member(agency, Role.ORGANISATION_MANAGER)
    give_app(mia)
    client = logged_in_client(mia)
    assert client.post(f"/aurora/resume/{get('shop').pk}/").status_code == 403
    assert "/resume/" not in client.get("/aurora/organisation/").text
    with pytest.raises(PermissionDenied):
        services.resume(get("shop"), by=Caller.of(mia), now=timezone.now())


def test_what_is_being_deleted_is_not_resumed(ada, boss):
    begin_deletion(get("shop"), by=Caller.of(boss), now=timezone.now())
    answer = ada.post(f"/aurora/resume/{get('shop').pk}/", follow=True)
    assert "Shop is being deleted. Reopen it there." in answer.text
    assert get("shop").is_suspended
    with pytest.raises(ValidationError, match="being deleted"):
        services.resume(get("shop"), by=SYSTEM, now=timezone.now())


def test_to_suspend_what_is_suspended_changes_nothing(ada, boss):
    for _time in range(2):
        services.suspend(get("shop"), by=Caller.of(boss), now=timezone.now())
    assert Event.objects.filter(action="organisation.suspended").count() == 1


@pytest.mark.parametrize("count", [1, 50])
def test_the_previews_cost_the_same_for_any_number(ada, agency, count):
    archive_after(get("cohen"), 90)
    for number in range(count):
        place = environment(parent=get("bakker"), slug=f"extra-{number}")
        member(place)
    dora = organisation(Kind.AGENCY, slug="dora")
    dora.memberships.create(user=UserFactory(), roles=[Role.ADMINISTRATOR], accepted_at=timezone.now())
    costs = [
        count_queries(lambda: what_moves(get("bakker"), dora, now=timezone.now())),
        count_queries(lambda: what_closes(get("bakker"))),
        count_queries(lambda: ada.get("/aurora/organisation/")),
    ]
    assert costs[0] <= 16
    assert costs[1:] <= [4, 10]
