"""Many people invited by a list: each line is previewed, and sent by itself within the budgets of one invitation."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from accounts.models import FailureBudget, User
from accounts.throttle.budgets import FREE
from environments.caller import Caller
from environments.choices import Role
from environments.invitation_lists.lines import MOST_LINES, read_lines
from environments.invitation_lists.services import check_lines, invite_lines
from environments.invitations.services import invite
from environments.members.services import remove_member
from environments.models import Invitation
from tests import factories
from tests.logging_in import expire_step_up, log_in
from web.models import Delivery
from web.versions import version_of

pytestmark = pytest.mark.django_db
PAGE = "/acme/members/invite/"


@pytest.fixture
def ada(acme) -> User:
    return factories.member(acme, email="ada@acme.test", name="Ada", time_zone="Europe/Amsterdam")


def send(client, text: str):
    return client.post(PAGE, {"do": "send", "lines": text, "seen": version_of(text.splitlines())})


def states(answer) -> list[tuple[str, str]]:
    return [(line.typed, line.state) for line in answer.context["lines"]]


# -- Reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "nina@acme.test,member+developer,2040-03-05\notto@acme.test,member",
        "nina@acme.test;developer,member;05-03-2040\r\n\r\notto@acme.test;Member;\r\n",
        "nina@acme.test\tMember | Developer\t2040-03-05\notto@acme.test\tmember",
        '\ufeffemail,roles,until\n"nina@acme.test","member,developer","2040-03-05"\notto@acme.test,MEMBER',
        "E-mail;Rollen;Tot\n nina@acme.test ; member & developer ; 2040-03-05 \notto@acme.test;member",
    ],
)
def test_a_list_is_read_with_or_without_a_head_and_with_every_usual_separator(text):
    nina, otto = read_lines(text)
    assert (nina.typed, nina.roles, nina.until) == (
        "nina@acme.test",
        ["developer", "member"],
        datetime(2040, 3, 6, tzinfo=UTC),
    )
    assert (otto.typed, otto.roles, otto.until) == ("otto@acme.test", ["member"], None)
    assert [nina.state, otto.state] == ["invite", "invite"]


def test_roles_are_also_named_in_the_language_of_the_page():
    with translation.override("nl"):
        [line] = read_lines("nina@acme.test,Beheerder")
    assert line.roles == ["administrator"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nobody,member", "address"),
        ("=cmd()@acme.test,member", ""),
        ("nina@acme.test", "Choose at least one role."),
        ("nina@acme.test,emperor+member", "Unknown role: emperor"),
        ("nina@acme.test,member,tomorrow", "valid date"),
        ("nina@acme.test,member,9999-12-31", "earlier day"),
        ("nina@acme.test,member,2040-01-01,more", "this one has more"),
        ("otto@acme.test,member\nOTTO@acme.test,developer", "The same address is in line 1."),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_with_the_reason(line, why):
    *_others, last = read_lines(line)
    if why:
        assert (last.state, why in last.why_not) == ("refused", True)


@pytest.mark.parametrize(
    "text", ["", " \n\n", "email,roles", '"nina@acme.test,member', "x@acme.test,member\n" * (MOST_LINES + 1)]
)
def test_an_empty_list_one_that_is_too_long_and_what_is_no_csv_are_refused(text):
    with pytest.raises(ValidationError):
        read_lines(text)


# -- The preview --------------------------------------------------------------------------------------


def test_the_preview_says_what_each_line_leads_to_and_sends_nothing(client, acme, ada):
    by, now = Caller.of(ada), timezone.now()
    factories.member(acme, Role.MEMBER, email="vic@acme.test")
    for name, role in (("open", "member"), ("other", "developer")):
        invite(acme, email=f"{name}@acme.test", roles=[role], by=by, now=now)
    before = list(Invitation.objects.values())
    names = ("new", "vic", "open", "other")
    text = "\n".join(f"{name}@acme.test,member" for name in names) + "\nold@acme.test,member,2020-01-01"
    log_in(client, ada)

    answer = client.post(PAGE, {"lines": text})

    assert states(answer) == [
        ("new@acme.test", "invite"),
        ("vic@acme.test", "member"),
        ("open@acme.test", "open"),
        ("other@acme.test", "invite"),
        ("old@acme.test", "refused"),
    ]
    for words in (
        "Will be invited",
        "Is a member already",
        "Is invited already",
        "Replaces the invitation for: Developer",
    ):
        assert words in answer.text
    assert "Send 2 invitations" in " ".join(answer.text.split())
    assert list(Invitation.objects.values()) == before


def test_a_role_above_ones_own_is_refused_also_in_the_invitation_that_a_line_replaces(client, acme, ada):
    invite(acme, email="boss@acme.test", roles=["administrator"], by=Caller.of(ada), now=timezone.now())
    log_in(client, factories.member(acme, Role.ENVIRONMENT_MANAGER))
    text = "new@acme.test,administrator\nboss@acme.test,member\nnina@acme.test,member"
    for answer in (client.post(PAGE, {"lines": text}), send(client, text)):
        assert [state for _typed, state in states(answer)][:2] == ["refused", "refused"]
    assert sorted(Invitation.objects.values_list("email", "roles")) == [
        ("boss@acme.test", ["administrator"]),
        ("nina@acme.test", ["member"]),
    ]


def test_a_preview_costs_as_few_queries_for_one_line_as_for_five_hundred(acme, ada):
    costs = set()
    for count in (1, MOST_LINES):
        lines = read_lines("\n".join(f"person-{n}@acme.test,member" for n in range(count)))
        with CaptureQueriesContext(connection) as queries:
            check_lines(lines, acme, by=Caller.of(ada), now=timezone.now())
        costs.add(len(queries))
    assert len(costs) == 1
    assert costs.pop() <= 4


def test_what_a_line_has_is_shown_as_text(client, acme, ada):
    log_in(client, ada)
    answer = client.post(PAGE, {"lines": "<script>alert(1)</script>,member"})
    assert "<script>alert" not in answer.text


# -- Sending ------------------------------------------------------------------------------------------


def test_one_confirmation_mails_them_all_and_says_the_result_of_each_line(client, acme, ada):
    factories.member(acme, Role.MEMBER, email="vic@acme.test")
    log_in(client, ada)

    answer = send(
        client, "nina@acme.test,member,2040-03-05\nvic@acme.test,member\nnobody,member\notto@acme.test,member"
    )

    assert states(answer) == [
        ("nina@acme.test", "invited"),
        ("vic@acme.test", "member"),
        ("nobody", "refused"),
        ("otto@acme.test", "invited"),
    ]
    assert answer.context["form"].initial == {"lines": "nobody,member"}
    assert "2 invitations were mailed" in " ".join(answer.text.split())
    assert Delivery.objects.filter(name="invitation").count() == 2
    nina = Invitation.objects.get(email="nina@acme.test")
    assert nina.membership_expires_at == datetime(2040, 3, 5, 23, 0, tzinfo=UTC)


def test_a_list_that_is_sent_twice_invites_nobody_twice(client, acme, ada):
    log_in(client, ada)
    send(client, "nina@acme.test,member")
    before = Invitation.objects.values().get()
    assert states(send(client, "nina@acme.test,member")) == [("nina@acme.test", "open")]
    assert Invitation.objects.values().get() == before
    assert Delivery.objects.filter(name="invitation").count() == 1


@pytest.mark.parametrize("seen", ["", "x", None])
def test_a_list_that_was_not_previewed_is_previewed_first(client, acme, ada, seen):
    log_in(client, ada)
    typed = {"do": "send", "lines": "nina@acme.test,member"} | ({} if seen is None else {"seen": seen})
    assert states(client.post(PAGE, typed)) == [("nina@acme.test", "invite")]
    assert not Invitation.objects.exists()


def test_a_sensitive_role_in_one_line_requires_step_up_for_the_list(client, acme, ada):
    log_in(client, ada)
    expire_step_up()
    assert send(client, "nina@acme.test,member\nboss@acme.test,administrator").url.startswith(
        "/profile/security/confirm/"
    )
    assert not Invitation.objects.exists()
    assert states(send(client, "nina@acme.test,member")) == [("nina@acme.test", "invited")]


@pytest.mark.parametrize("door", ["inviter", "inviting"])
def test_the_budgets_of_invitations_hold_and_the_lines_that_are_left_can_be_sent_later(client, acme, ada, door):
    log_in(client, ada)
    send(client, "first@acme.test,member")
    Invitation.objects.all().delete()
    FailureBudget.objects.filter(key__startswith=f"{door}:").update(failures=FREE[door] - 1, since=timezone.now())
    text = "first@acme.test,member\nsecond@acme.test,member"

    answer = send(client, text)

    assert Invitation.objects.filter(email="first@acme.test").exists()
    assert states(answer)[1] == ("second@acme.test", "refused")
    assert "Too many tries." in answer.context["lines"][1].why_not
    assert answer.context["form"].initial == {"lines": "second@acme.test,member"}


def test_whoever_loses_the_permission_meanwhile_invites_nobody(acme, ada):
    lines = read_lines("nina@acme.test,member")
    check_lines(lines, acme, by=Caller.of(ada), now=timezone.now())
    remove_member(ada.memberships.get(), by=Caller.of(ada), now=timezone.now())
    assert invite_lines(lines, acme, by=Caller.of(ada), now=timezone.now()) == 0
    assert lines[0].state == "refused"
    assert not Invitation.objects.exists()


def test_one_that_fails_stops_none_of_the_others(acme, ada):
    lines = read_lines("nina@acme.test,member\notto@acme.test,member,2040-01-01\numa@acme.test,member")
    check_lines(lines, acme, by=Caller.of(ada), now=timezone.now())
    lines[1].until = timezone.now() - timedelta(days=1)  # over by the time that its turn comes
    assert invite_lines(lines, acme, by=Caller.of(ada), now=timezone.now()) == 2
    assert [line.state for line in lines] == ["invited", "refused", "invited"]


def test_a_list_for_another_tenant_is_not_taken(client, acme, ada, elsewhere):
    log_in(client, factories.member(elsewhere))
    assert send(client, "nina@acme.test,member").status_code == 404
    assert not Invitation.objects.exists()
