"""What ends somebody's access, against what a thief does with a stolen session in the same instant.

Each pair is forced: all of them stop where they would write what happened, the second comes while the first one holds
its locks, and then both go on. Every user is somebody else, so that one hold serves all pairs of an ending.
"""

import base64
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from social_django.models import UserSocialAuth

from accounts.factors import services as factors
from accounts.models import SessionRecord, User
from accounts.passwords import services as passwords
from accounts.profile import email_change
from accounts.requirement import devices_of
from audit.models import Event
from environments.choices import Role
from environments.models import ApiKey, Organisation
from tests.accounts.conftest import require_mfa
from tests.accounts.soft_passkey import SoftPasskey
from tests.factories import PASSWORD, environment, member
from tests.logging_in import code, give_app, is_let_in, log_in
from tests.mailbox import sent_mails

pytestmark = pytest.mark.django_db(transaction=True)
THIEFS, OWNERS = "Thiefs-Horse-9", "Owners-Horse-9"
OTHER_KEY = b"another key, 20 byte"
PATIENCE_SECONDS = 60


@dataclass
class Person:
    """Somebody whose session was stolen: what they have, their own browser, and the thief's."""

    user: User
    thief: Client
    owner: Client
    session_id: int  # of the thief
    does: Callable[[], object] = field(default=lambda: None)

    def now(self) -> User:
        return User.objects.get(pk=self.user.pk)


def person_in(acme: Organisation) -> Person:
    user = member(acme, Role.ADMINISTRATOR)
    first = give_app(user)
    give_app(user, name="Tablet", key=OTHER_KEY)
    factors.make_recovery_codes(user, now=timezone.now())
    UserSocialAuth.objects.create(user=user, provider="oidc-acme", uid=user.email, id_key="sub")
    thief, owner = Client(raise_request_exception=False), Client(raise_request_exception=False)
    for browser in (thief, owner):
        assert log_in(browser, user) == first
    return Person(user, thief, owner, SessionRecord.objects.order_by("pk").filter(user=user)[0].pk)


# -- What the thief does. Each prepares all that it can, and returns the one request that counts. -----------------


def adds_an_app(one: Person) -> Callable[[], object]:
    secret = one.thief.get("/enrol/").context["secret"].replace(" ", "")
    shown = code(key=base64.b32decode(secret))
    return lambda: one.thief.post("/enrol/", {"name": "Thief", "appcode": shown})


def adds_a_passkey(one: Person) -> Callable[[], object]:
    key = SoftPasskey()
    body = key.begin(one.thief, "registration")
    return lambda: key.complete(one.thief, "registration", body)


def removes_a_factor(one: Person) -> Callable[[], object]:
    tablet = next(device for device in devices_of(one.user) if device.name == "Tablet").persistent_id
    return lambda: one.thief.post("/profile/security/factors/remove/", {"device": tablet})


def makes_recovery_codes(one: Person) -> Callable[[], object]:
    return lambda: one.thief.post("/profile/security/recovery-codes/")


def changes_the_password(one: Person) -> Callable[[], object]:
    return lambda: one.thief.post("/profile/security/password/", {"password": THIEFS, "again": THIEFS})


def changes_the_address(one: Person) -> Callable[[], object]:
    path = link_to_another_address(one.user, f"thief-{one.user.pk}@evil.test")
    return lambda: one.thief.post(path)


def unlinks_the_identity(one: Person) -> Callable[[], object]:
    number = one.user.social_auth.get().pk
    return lambda: one.thief.post("/profile/security/identities/unlink/", {"identity": number})


def creates_a_key(one: Person) -> Callable[[], object]:
    return lambda: one.thief.post("/profile/api-keys/", {"name": "Thief", "lasts": "30"})


def creates_an_organisations_key(one: Person) -> Callable[[], object]:
    typed = {"name": f"Thief of {one.user.pk}", "roles": [Role.ADMINISTRATOR], "lasts": "30"}
    return lambda: one.thief.post(reverse("environments:organisation-keys", args=["acme"]), typed)


def steps_up(one: Person) -> Callable[[], object]:
    SessionRecord.objects.filter(pk=one.session_id).update(stepped_up_at=None)
    shown = code()
    return lambda: one.thief.post("/profile/security/confirm/", {"code": shown})


def link_to_another_address(user: User, email: str) -> str:

    email_change.send_link(user, email, auth_hash=user.get_session_auth_hash(), now=timezone.now())
    return next(re.findall(r"/profile/email/confirm/\S+/", m.body)[0] for m in sent_mails()[::-1] if m.to == [email])


def has_thiefs_factor(user: User) -> bool:
    return sorted(device.name for device in devices_of(user)) not in (["Phone", "Tablet"], ["Tablet"], [])


ACTS: dict[Callable[[Person], Callable[[], object]], Callable[[Person], bool]] = {  # with what an act leaves behind
    adds_an_app: lambda one: has_thiefs_factor(one.user),
    adds_a_passkey: lambda one: has_thiefs_factor(one.user),
    removes_a_factor: lambda one: "Phone" in {d.name for d in devices_of(one.user)} and len(devices_of(one.user)) == 1,
    makes_recovery_codes: lambda one: one.user.recovery_codes.count() != 0 and one.user.pk in made_codes_again(),
    changes_the_password: lambda one: one.now().check_password(THIEFS),
    changes_the_address: lambda one: "evil" in one.now().email,
    unlinks_the_identity: lambda one: not one.user.social_auth.exists(),
    creates_a_key: lambda one: ApiKey.objects.filter(owner=one.user, revoked_at=None).exists(),
    creates_an_organisations_key: lambda one: ApiKey.objects.filter(created_by=one.user, owner=None).exists(),
    steps_up: lambda one: SessionRecord.objects.open().filter(pk=one.session_id).exclude(stepped_up_at=None).exists(),
}


def made_codes_again() -> set[int]:

    made = Event.objects.filter(action="recovery_codes.made").values_list("subject_id", flat=True)
    return {pk for pk in made if list(made).count(pk) > 1}


# -- What ends the thief's access --------------------------------------------------------------------------------


def the_command(one: Person) -> Callable[[], object]:
    return lambda: call_command("reset_mfa", one.user.email)


def an_administrator(one: Person) -> Callable[[], object]:
    membership = one.user.memberships.get()
    path, ada = reverse("environments:reset-factors", args=["acme", membership.pk]), Client()
    log_in(ada, member(membership.organisation, Role.ADMINISTRATOR))
    return lambda: ada.post(path, {"email": one.user.email})


def the_owners_link(one: Person) -> Callable[[], object]:
    path = mailed_link(one.user)
    return lambda: Client().post(path, {"password": OWNERS, "again": OWNERS})


def the_owners_password(one: Person) -> Callable[[], object]:
    return lambda: one.owner.post("/profile/security/password/", {"password": OWNERS, "again": OWNERS})


def the_owners_address(one: Person) -> Callable[[], object]:
    path = link_to_another_address(one.user, f"owner-{one.user.pk}@acme.test")
    return lambda: one.owner.post(path)


def the_owner_ends_all_others(one: Person) -> Callable[[], object]:
    return lambda: one.owner.post("/profile/security/sessions/end-others/")


def the_owner_ends_this_one(one: Person) -> Callable[[], object]:
    return lambda: one.owner.post("/profile/security/sessions/end/", {"session": one.session_id})


def a_deactivation(one: Person) -> Callable[[], object]:
    return lambda: User.objects.filter(pk=one.user.pk).update(is_active=False)


def mailed_link(user: User) -> str:

    passwords.send_reset(user.email, language="en")
    key = urlsafe_base64_encode(force_bytes(user.pk))
    return re.findall(rf"(/password/set/{key}/\S+)", sent_mails()[-1].body)[0]


RESETS = (the_command, an_administrator)
BY_OWNER = (the_owners_password, the_owners_address, the_owner_ends_all_others, the_owner_ends_this_one)
ENDINGS = (*RESETS, the_owners_link, *BY_OWNER)


# -- Forcing a pair ----------------------------------------------------------------------------------------------


@contextmanager
def everybody_stops_at_the_record() -> Iterator[None]:
    """Whoever writes an event or a session waits, with all that they have locked, until the block ends."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE audit_event, accounts_sessionrecord IN SHARE MODE")
        yield


def begin(calls: list[Callable[[], object]]) -> list[Thread]:
    def run(call: Callable[[], object]) -> None:
        try:
            call()
        finally:
            connection.close()

    threads = [Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    return threads


def until_all_wait(threads: list[Thread]) -> None:
    """Return when each of these threads waits for a lock, or is done."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            waiting = cursor.fetchone()[0]
        if waiting >= sum(thread.is_alive() for thread in threads):
            return
        time.sleep(0.02)
    raise AssertionError("somebody neither waits nor ends")


@pytest.fixture
def acme() -> Organisation:
    acme = environment(name="Acme", slug="acme")
    require_mfa(acme)
    return acme


@pytest.mark.faults
@pytest.mark.parametrize("ending", [*ENDINGS, a_deactivation], ids=lambda one: one.__name__)
@pytest.mark.parametrize("is_thief_first", [False, True], ids=["the end comes first", "the thief comes first"])
def test_no_act_of_a_thief_survives_what_ends_their_access(acme, ending, is_thief_first):
    people = {act: person_in(acme) for act in ACTS}
    acts = [act(one) for act, one in people.items()]
    ends = [ending(one) for one in people.values()]

    with everybody_stops_at_the_record():
        threads = begin(acts if is_thief_first else ends)
        until_all_wait(threads)
        threads += begin(ends if is_thief_first else acts)
        until_all_wait(threads)
    for thread in threads:
        thread.join(PATIENCE_SECONDS)

    assert [act.__name__ for act, one in people.items() if survived(act, one, ending, is_thief_first)] == []


def survived(act, one: Person, ending, is_thief_first: bool) -> bool:
    """Return whether the thief has something that they would not have if both had come one after the other."""
    is_left, is_in = ACTS[act](one), is_let_in(one.thief)
    if not is_thief_first:
        return is_left or is_in
    if ending in RESETS:
        has_more = bool(devices_of(one.user)) or (act is creates_a_key and is_left)
        return has_more or is_in
    if ending is the_owners_link:
        return is_in or not one.now().check_password(OWNERS)
    if ending in BY_OWNER and act in (changes_the_password, changes_the_address):
        return is_in and is_let_in(one.owner)  # either act ends the other's session: one of them stays, never both
    return is_in


def test_the_owners_new_password_works_whoever_comes_first(acme):
    """The pair that hurts most, in every run of the tests: the whole matrix is above."""
    late, early = person_in(acme), person_in(acme)
    for one, is_thief_first in ((late, True), (early, False)):
        pair = [changes_the_password(one), the_owners_link(one)]
        with everybody_stops_at_the_record():
            threads = begin([pair[not is_thief_first]])
            until_all_wait(threads)
            threads += begin([pair[is_thief_first]])
            until_all_wait(threads)
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert one.now().check_password(OWNERS)
        assert not is_let_in(one.thief)


def test_of_two_uses_of_one_link_at_once_one_counts(acme):
    one = person_in(acme)
    path, answers = mailed_link(one.user), []
    with everybody_stops_at_the_record():
        threads = begin(
            [
                lambda new=new: answers.append((Client().post(path, {"password": new, "again": new}).status_code, new))
                for new in (OWNERS, THIEFS)
            ]
        )
        until_all_wait(threads)
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert sorted(status for status, _new in answers) == [302, 410]
    assert one.now().check_password(dict(answers)[302])


def test_an_app_added_while_the_factors_are_reset_does_not_open_the_account(acme):
    one = person_in(acme)
    act, end = adds_an_app(one), the_command(one)
    with everybody_stops_at_the_record():
        threads = begin([end])
        until_all_wait(threads)
        threads += begin([act])
        until_all_wait(threads)
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert devices_of(one.user) == []
    assert Client().post("/login/", {"email": one.user.email, "password": PASSWORD}).url == "/enrol/"
