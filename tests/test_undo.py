"""Undo, in the message of one click: it restores every row, as an act of its own, and gives nobody a new power."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.messages import constants as message_levels
from django.contrib.messages.storage.base import Message
from django.contrib.messages.storage.cookie import CookieStorage
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import TotpDevice, User
from agencies.models import OrganisationTemplate
from agencies.organisation_templates.services import create_template
from agencies.organisation_templates.values import TemplateValues
from archival.models import PolicyChange
from archival.policy.services import change_retention
from audit.models import Event
from environments.caller import SYSTEM, Caller
from environments.choices import DomainProof, Role
from environments.domains import services as domains
from environments.invitations.services import invite
from environments.keys.services import create_organisation_key
from environments.members.services import change_end
from environments.models import ApiKey, Invitation, Membership, MfaChange, Organisation, OrganisationDomain
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import schedule_mfa
from environments.policies.retention import Retention
from environments.policies.scheduled import pending_changes
from tests import factories
from tests.browser import faults_in_every_width_and_theme, log_in_page
from tests.logging_in import expire_step_up, log_in
from tests.studio.test_interrupted import go_on, pass_step_up, submit
from tests.test_ladder import UNDO

pytestmark = pytest.mark.django_db
ADVANCED, SETTINGS = "/acme/settings/advanced/", "/acme/settings/"
HISTORY = ["archival_since", "archival_tightened_at", "archival_days_before"]  # since when the limit is what it is
ROWS = [Organisation, Membership, ApiKey, Invitation, OrganisationDomain, OrganisationTemplate]
IN_A_MONTH = (timezone.now() + timedelta(days=30)).replace(hour=12, minute=30, second=0, microsecond=0)
LATER = {"require_mfa_date": f"{IN_A_MONTH:%Y-%m-%d}", "require_mfa_time": "09:15"}
FORM = re.compile(r'<form class="notice__actions" method="post" action="([^"]+)">(.*?)</form>', re.DOTALL)
FIELD = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


@pytest.fixture
def ada(acme):
    return factories.member(acme, Role.ADMINISTRATOR, email="ada@acme.test", name="Ada")


@pytest.fixture
def vic(acme):
    return factories.member(acme, Role.DEVELOPER, email="vic@acme.test", name="Vic").memberships.get()


def columns(model: type[Model]) -> list[str]:
    return [one.attname for one in model._meta.concrete_fields if one.attname not in HISTORY]


@dataclass
class World:
    acme: Organisation
    ada: User
    vic: Membership
    client: Client

    @property
    def by(self) -> Caller:
        return Caller.of(self.ada)

    @property
    def phone(self) -> TotpDevice:
        return TotpDevice.objects.get(user=self.ada)

    def rows(self) -> dict[str, Any]:
        """Return everything that an act on these pages can change, without what says when and under which number."""
        plain = {model.__name__: list(model.objects.order_by("pk").values(*columns(model))) for model in ROWS}
        people = list(User.objects.order_by("pk").values("pk", "name", "language", "time_zone"))
        mfa = list(pending_changes(MfaChange).values("organisation", "locked", "acts_at"))
        waiting = list(pending_changes(PolicyChange).values("organisation", "archival", "days", "locked"))
        return {**plain, "people": people, "factor": self.phone.name, "mfa": mfa, "waiting": waiting}


@pytest.fixture
def world(acme, ada, vic, client):
    log_in(client, ada)
    return World(acme, ada, vic, client)


@dataclass
class Act:
    """What one form sends, after ``before`` was done."""

    name: str
    path: str
    fields: dict[str, Any] | Callable[[World], dict[str, Any]]
    before: Callable[[World], object] = lambda world: None

    def path_in(self, world: World) -> str:
        template = OrganisationTemplate.objects.order_by("pk").first()
        return self.path.format(pk=world.vic.pk, template=template and template.pk)

    def send(self, world: World) -> HttpResponse:
        fields = self.fields(world) if callable(self.fields) else self.fields
        return world.client.post(self.path_in(world), fields)


def schedule(world: World) -> None:
    schedule_mfa(world.acme, to=MfaRule.on(), acts_at=IN_A_MONTH, by=world.by, now=timezone.now())


def let_people_join(world: World) -> None:
    domains.set_auto_invite_roles(world.acme, roles=[Role.DEVELOPER], by=world.by)


def limit(world: World, days: int = 200) -> None:
    change_retention(world.acme, to=Retention.limit(days), by=SYSTEM, now=timezone.now())


def talk(world: World) -> None:
    limit(world)
    factories.conversation(of=world.acme, days_ago=100, now=timezone.now())


def confirmed_limit(world: World) -> dict[str, str]:
    """Return the form with a limit that deletes something, after its numbers were shown."""
    fields = {"do": "archival", "archival": "limit", "archive_after_days": "30"}
    shown = world.client.post(ADVANCED, fields).text
    return fields | dict(re.findall(r'name="(shown)" value="([^"]+)"', shown))


def until_a_day(world: World) -> None:
    change_end(world.vic, until=datetime(2040, 3, 5, 23, tzinfo=UTC), by=world.by, now=timezone.now())


def have_template(world: World) -> None:
    agency = world.acme.get_parent()
    agency.memberships.create(user=world.ada, roles=[Role.ADMINISTRATOR], accepted_at=timezone.now())
    values = TemplateValues("Standard", Retention.limit(90, locked=True), auto_invite_roles=[Role.MEMBER])
    create_template(agency, values, by=world.by, now=timezone.now())


TEMPLATE = {"name": "Other", "archival": "keep", "require_mfa": "on", "members": "vic@acme.test,developer"}
PROFILE = {"name": "Ada L.", "language": "nl", "time_zone": "Europe/Amsterdam"}
ACTS = {
    "accounts:profile": [Act("profile", "/profile/", PROFILE)],
    "accounts:rename-factor": [
        Act(
            "factor",
            "/profile/security/factors/rename/",
            lambda world: {"device": world.phone.persistent_id, "name": "Work phone"},
        )
    ],
    "agencies:template": [Act("template", "/noorderlicht/templates/{template}/", TEMPLATE, have_template)],
    "environments:member": [
        Act("other role", "/acme/members/{pk}/", {"roles": ["member"]}),
        Act("end", "/acme/members/{pk}/", {"do": "end", "until": "2040-03-05"}),
        Act("no end", "/acme/members/{pk}/", {"do": "end", "until": ""}, until_a_day),
        Act("more roles", "/acme/members/{pk}/", {"roles": ["developer", "administrator"]}),
    ],
    "environments:organisation": [Act("rename", "/acme/organisation/", {"do": "rename", "name": "Acme Two"})],
    "environments:settings": [
        Act("name", SETTINGS, {"do": "name", "name": "Acme <Two> & Co"}),
        Act("auto-invite", SETTINGS, {"do": "auto-invite", "roles": ["member"]}, let_people_join),
        Act("no auto-invite", SETTINGS, {"do": "auto-invite"}, let_people_join),
    ],
    "studio:advanced-settings": [
        Act("mfa on", ADVANCED, {"do": "mfa", "require_mfa": "on"}),
        Act("mfa off", ADVANCED, {"do": "mfa", "require_mfa": "off"}),
        Act("mfa on later", ADVANCED, {"do": "mfa", "require_mfa": "on"} | LATER),
        Act("mfa on at another time", ADVANCED, {"do": "mfa", "require_mfa": "on"} | LATER, schedule),
        Act("mfa not later", ADVANCED, {"do": "cancel-mfa"}, schedule),
        Act("mfa inherit, not later", ADVANCED, {"do": "mfa", "require_mfa": "inherit"}, schedule),
        Act("limit", ADVANCED, {"do": "archival", "archival": "limit", "archive_after_days": "300"}),
        Act("keep", ADVANCED, {"do": "archival", "archival": "keep"}, limit),
        Act("limit that waits", ADVANCED, confirmed_limit, talk),
    ],
}
EVERY = [pytest.param(act, id=f"{view} {act.name}") for view, acts in ACTS.items() for act in acts]


def undo_on(page: str) -> tuple[str, dict[str, list[str]]] | None:
    """Return the address and fields of the one Undo on a page, or None."""
    found = FORM.findall(page)
    if not found:
        return None
    ((address, inside),) = found
    fields: dict[str, list[str]] = {}
    for name, value in FIELD.findall(inside):
        fields.setdefault(name, []).append(html.unescape(value))
    return html.unescape(address), fields


def undo_after(world: World, response: HttpResponse) -> tuple[str, dict[str, list[str]]] | None:
    assert response.status_code == 302
    return undo_on(world.client.get(response.url).text)


def act_and_undo(world: World, act: Act) -> tuple[str, dict[str, list[str]]]:
    act.before(world)
    undo = undo_after(world, act.send(world))
    assert undo is not None
    return undo


def test_every_view_with_undo_is_tried():
    assert ACTS.keys() == UNDO


@pytest.mark.parametrize("act", EVERY)
def test_undo_restores_every_row_as_an_act_of_its_own(world, act):
    act.before(world)
    before, events = world.rows(), Event.objects.count()

    undo = undo_after(world, act.send(world))
    assert undo is not None
    assert world.rows() != before
    acted = Event.objects.count() - events
    again = undo_after(world, world.client.post(*undo))

    assert world.rows() == before
    assert bool(acted) == (Event.objects.count() > events + acted), "an act that the audit log has is undone in it too"
    if again is not None:  # Undo is undone like any act
        world.client.post(*again)
        assert world.rows() != before


RENAME = Act("name", SETTINGS, {"do": "name", "name": "Acme Two"})
DEMOTE = Act("roles", "/acme/members/{pk}/", {"roles": ["member"]})


def test_undo_asks_first_before_it_deletes_what_has_been_kept_since(world):
    limit(world, days=30)
    factories.conversation(of=world.acme, days_ago=40, now=timezone.now())
    address, fields = act_and_undo(world, Act("", ADVANCED, {"do": "archival", "archival": "keep"}))
    kept = world.rows()

    asked = world.client.post(address, fields)

    assert asked.status_code == 200
    assert 'name="shown"' in asked.text
    assert world.rows() == kept


def test_undo_needs_the_permission_of_the_act(world):
    address, fields = act_and_undo(world, RENAME)
    Membership.objects.filter(user=world.ada).update(roles=[Role.MEMBER])

    assert world.client.post(address, fields).status_code == 403
    assert Organisation.objects.get(slug="acme").name == "Acme Two"


def test_undo_goes_on_after_the_step_up_that_the_act_needs(world):
    limit(world)
    before = world.rows()
    address, fields = act_and_undo(world, Act("", ADVANCED, {"do": "archival", "archival": "keep"}))
    expire_step_up()
    asked = submit(world.client, address, fields)
    assert asked.url.startswith("/profile/security/confirm/")
    assert world.rows() != before

    go_on(world.client, pass_step_up(world.client, world.ada, asked))

    assert world.rows() == before


def test_undo_is_for_the_person_who_acted_alone(world):
    answer = RENAME.send(world)
    log_in(world.client, factories.member(world.acme, Role.ADMINISTRATOR, email="bo@acme.test"))

    page = world.client.get(answer.url).text

    assert "The display name was changed." in page
    assert undo_on(page) is None


@pytest.mark.parametrize(("key", "is_taken"), [(settings.SECRET_KEY, True), ("a guess", False)])
def test_a_browser_cannot_make_a_message_with_undo(world, key, is_taken):
    made = Message(message_levels.SUCCESS, "Done", extra_tags=json.dumps([world.ada.pk, "/profile/", []]))
    with override_settings(SECRET_KEY=key):
        world.client.cookies["messages"] = CookieStorage(HttpRequest())._encode([made])

    assert (undo_on(world.client.get(SETTINGS).text) is not None) == is_taken


def give_key(world: World) -> None:
    create_organisation_key(
        world.acme, name="Import", roles=[Role.DEVELOPER], by=Caller.of(world.vic.user), now=timezone.now()
    )


def send_invitation(world: World) -> None:
    invite(world.acme, email="new@acme.test", roles=[Role.MEMBER], by=Caller.of(world.vic.user), now=timezone.now())


def confirm_domain(world: World) -> None:
    domain = domains.add_domain(world.acme, domain="acme.test", by=Caller.of(world.vic.user), now=timezone.now())
    domains.verify_domain(domain, how=DomainProof.DNS, by=SYSTEM, now=timezone.now())
    Membership.objects.filter(pk=world.vic.pk).update(roles=[Role.DEVELOPER])  # enough for the roles until now


def save_limit_that_waits(world: World) -> None:
    talk(world)
    world.client.post(ADVANCED, confirmed_limit(world))


def act_on_oneself(world: World) -> None:
    world.vic = world.ada.memberships.get()
    factories.member(world.acme, Role.ADMINISTRATOR, email="bo@acme.test")


SETS_ROLES = Act("", SETTINGS, {"do": "auto-invite", "roles": ["administrator"]})
REQUIRE = Act("", ADVANCED, {"do": "mfa", "require_mfa": "on"})


@pytest.mark.parametrize(
    ("before", "act", "ended"),
    [
        pytest.param(give_key, DEMOTE, "api_key.rested", id="key"),
        pytest.param(send_invitation, DEMOTE, "invitation.withdrawn", id="invitation"),
        pytest.param(confirm_domain, SETS_ROLES, "domain.unconfirmed", id="domain"),
        pytest.param(give_key, REQUIRE, "api_key.rested", id="key of a person without a factor"),
        pytest.param(act_on_oneself, DEMOTE, "membership.changed", id="own roles"),
        pytest.param(schedule, Act("", ADVANCED, {"do": "mfa", "require_mfa": "off"}),
                     "mfa_requirement.change_replaced", id="value and schedule"),
        pytest.param(save_limit_that_waits, Act("", ADVANCED, {"do": "archival", "archival": "keep"}),
                     "retention.change_replaced", id="change that waits"),
    ],
)  # fmt: skip
def test_there_is_no_undo_where_it_would_not_restore_everything(world, before, act, ended):
    world.vic.roles = ["administrator", "developer"]
    world.vic.save()
    before(world)
    world.client.get("/profile/")  # shows the messages until here
    assert not Event.objects.filter(action=ended).exists()

    answer = act.send(world)

    assert answer.status_code == 302
    page = world.client.get("/profile/").text
    assert Event.objects.filter(action=ended).exists()
    assert 'class="notice" data-state="ok"' in page
    assert undo_on(page) is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.browser
def test_undo_is_pressed_by_keyboard_without_script_and_is_said_to_screen_readers(open_page, ada):
    page = open_page(java_script_enabled=False)
    log_in_page(page, ada)
    page.goto(SETTINGS)
    page.get_by_label("Display name").fill("Acme Two")
    page.get_by_label("Display name").press("Enter")

    said = page.get_by_role("status")
    undo = said.get_by_role("button", name="Undo")
    expect(said).to_contain_text("The display name was changed.")
    undo.focus()
    undo.press("Enter")

    expect(page.get_by_label("Display name")).to_have_value("Acme")


@pytest.mark.django_db(transaction=True)
@pytest.mark.browser
def test_a_message_with_undo_is_accessible(page, ada):
    log_in_page(page, ada)
    page.goto(SETTINGS)
    page.get_by_label("Display name").fill("Acme Two")
    page.get_by_label("Display name").press("Enter")
    expect(page.get_by_role("button", name="Undo")).to_be_visible()

    assert faults_in_every_width_and_theme(page, "undo") == {}
