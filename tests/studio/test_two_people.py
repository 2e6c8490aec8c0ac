"""Of two people who save the same, the second is told what the first one changed, and replaces it only knowingly."""

import re
from dataclasses import dataclass

import pytest

from archival.policy.services import change_retention
from environments.caller import SYSTEM
from environments.choices import Role
from environments.models import Membership, Organisation
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa
from tests.factories import NOW, member
from tests.logging_in import logged_in_client
from tests.test_undo import undo_on

ADVANCED = "/acme/settings/advanced/"


@dataclass
class Save:
    """A form: its page, what names it, what each of two people sends, and what the second is told of the first."""

    page: str
    form: dict
    first: dict
    second: dict
    said: tuple[str, ...]


ARCHIVAL = {"do": "archival", "archival": "limit"}
SAVES = [
    Save(ADVANCED, ARCHIVAL, {"archive_after_days": "300"}, {"archive_after_days": "200"}, ("retention", "300")),
    Save(ADVANCED, {"do": "mfa"}, {"require_mfa": "on"}, {"require_mfa": "off"}, ("→ On",)),
    Save("/acme/settings/", {"do": "name"}, {"name": "Acme One"}, {"name": "Acme Two"}, ("Acme → Acme One",)),
    Save("/acme/organisation/", {"do": "rename"}, {"name": "Acme One"}, {"name": "Acme Two"}, ("Acme → Acme One",)),
    Save("/acme/settings/", {"do": "auto-invite"}, {"roles": ["developer"]}, {"roles": ["member"]}, ("→ Developer",)),
    Save("/acme/members/{pk}/", {}, {"roles": ["developer"]}, {"roles": ["environment_manager"]}, ("→ Developer",)),
]  # fmt: skip


@pytest.fixture
def people(acme):
    bo, cy = (member(acme, Role.ADMINISTRATOR, email=f"{name}@acme.test", name=name.title()) for name in ("bo", "cy"))
    return logged_in_client(bo), logged_in_client(cy)


@pytest.fixture
def vic(acme):
    return Membership.objects.get(user=member(acme, Role.MEMBER, email="vic@acme.test"))


def seen_by(client, page, form):
    """Return the version that the form of the page shows this person."""
    forms = re.findall(r"<form class=\"stack\" method=\"post\".*?</form>", client.get(page).text, re.DOTALL)
    button = f'name="do" value="{form["do"]}"' if "do" in form else 'button--primary">'  # without a name
    (its_own,) = [each for each in forms if "seen" in each and button in each]
    return re.search(r'name="seen" value="(\w+)"', its_own)[1]


def state_of(acme, vic):
    acme, vic = Organisation.objects.get(pk=acme.pk), Membership.objects.get(pk=vic.pk)
    return (acme.name, acme.archive_after_days, acme.require_mfa, acme.auto_invite_roles, vic.roles)


@pytest.mark.parametrize("save", SAVES, ids=lambda save: save.page + save.form.get("do", ""))
def test_the_second_sees_what_the_first_changed_and_replaces_it_by_saving_again(save, people, acme, vic):
    bo, cy = people
    page = save.page.format(pk=vic.pk)
    seen = [seen_by(client, page, save.form) for client in people]

    assert bo.post(page, save.form | save.first | {"seen": seen[0]}).status_code == 302
    after_first = state_of(acme, vic)
    told = cy.post(page, save.form | save.second | {"seen": seen[1]})

    assert told.status_code == 200
    assert state_of(acme, vic) == after_first
    for words in ("bo@acme.test ", "while you had the page open", *save.said):
        assert words in told.text.replace("&gt;", ">")
    again = seen_by(cy, page, save.form)
    assert f'name="seen" value="{again}"' in told.text, "saving again is knowing"
    assert cy.post(page, save.form | save.second | {"seen": again}).status_code == 302
    assert state_of(acme, vic) != after_first


@pytest.mark.parametrize("save", SAVES, ids=lambda save: save.page + save.form.get("do", ""))
def test_saving_what_the_first_one_saved_is_no_conflict(save, people, acme, vic):
    page = save.page.format(pk=vic.pk)
    seen = [seen_by(client, page, save.form) for client in people]
    for client, version in zip(people, seen, strict=True):
        assert client.post(page, save.form | save.first | {"seen": version}).status_code == 302


@pytest.mark.parametrize("save", SAVES, ids=lambda save: save.page + save.form.get("do", ""))
def test_undo_of_what_somebody_else_has_changed_since_is_refused(save, people, acme, vic):
    bo, cy = people
    page = save.page.format(pk=vic.pk)
    saved = bo.post(page, save.form | save.first)
    undo = undo_on(bo.get(saved.url).text)
    assert undo is not None
    cy.post(page, save.form | save.second)
    by_cy = state_of(acme, vic)

    told = bo.post(*undo)

    assert told.status_code == 200
    assert "cy@acme.test " in told.text
    assert "while you had the page open" in told.text
    assert state_of(acme, vic) == by_cy


def test_another_error_between_does_not_hide_the_change(people, acme, vic):
    bo, cy = people
    seen = [seen_by(client, ADVANCED, ARCHIVAL) for client in people]
    bo.post(ADVANCED, ARCHIVAL | {"archive_after_days": "300", "seen": seen[0]})

    wrong = cy.post(ADVANCED, ARCHIVAL | {"archive_after_days": "many", "seen": seen[1]})
    shown = re.findall(r'name="seen" value="(\w+)"', wrong.text)

    assert shown[1] == seen[1]
    told = cy.post(ADVANCED, ARCHIVAL | {"archive_after_days": "200", "seen": shown[1]})
    assert "while you had the page open" in told.text


def test_a_preview_is_not_shown_of_what_somebody_else_changed_meanwhile(people, acme, vic):
    _, cy = people
    seen = seen_by(cy, ADVANCED, ARCHIVAL)
    change_retention(acme, to=Retention.keep(), by=SYSTEM, now=NOW)
    told = cy.post(ADVANCED, ARCHIVAL | {"archive_after_days": "200", "seen": seen})
    assert "while you had the page open" in told.text


def test_another_setting_changed_by_somebody_else_does_not_disturb(people, acme, vic):
    _, cy = people
    seen = seen_by(cy, ADVANCED, ARCHIVAL)
    set_require_mfa(acme, to=MfaRule.on(), by=SYSTEM, now=NOW)
    assert cy.post(ADVANCED, ARCHIVAL | {"archive_after_days": "200", "seen": seen}).status_code == 302
