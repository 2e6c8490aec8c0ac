"""Codes as people type and paste them: with spaces and dashes, at every door, and without a failure for it."""

import base64
import re

import pytest
from django.test import Client
from django.utils import timezone

from accounts.factors import services as factors
from accounts.models import FailureBudget, SessionRecord, TotpDevice, User
from tests.factories import PASSWORD
from tests.logging_in import code, give_app, give_password, is_let_in, log_in
from tests.mailbox import sent_mails

SPELLINGS = {
    "a space": "{a} {b}",
    "a dash": "{a}-{b}",
    "both": " {a} - {b} ",
    "a space that does not break": "{a}\u00a0{b}",
    "a thin space": "{a}\u2009{b}",
    "an en dash": "{a}\u2013{b}",
    "a dash that does not break": "{a}\u2011{b}",
    "a minus sign": "{a}\u2212{b}",
    "a mark of no width": "\u200e{a}\u200b{b}",
    "a tab": "{a}\t{b}",
}


def spelled(right: str, spelling: str = " {a}\u00a0\u2013 {b}-") -> str:
    middle = len(right) // 2
    return spelling.format(a=right[:middle], b=right[middle:])


def failures() -> int:
    return sum(FailureBudget.objects.exclude(key__startswith="mails:").values_list("failures", flat=True))


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_the_code_of_an_app_is_taken_at_the_log_in_however_it_is_spaced(client, ada, spelling):
    give_app(ada)
    give_password(client, ada)
    client.post("/verify/", {"code": spelled(code(), spelling)})
    assert is_let_in(client)
    assert failures() == 0


def test_a_recovery_code_is_taken_however_it_is_spaced(client, ada):
    give_app(ada)
    recovery = factors.make_recovery_codes(ada, now=timezone.now())[0]
    give_password(client, ada)
    client.post("/verify/", {"with": "recovery", "code": spelled(recovery.upper())})
    assert is_let_in(client)
    assert failures() == 0


def test_the_code_of_an_app_steps_up_however_it_is_spaced(client, ada):
    log_in(client, ada)
    SessionRecord.objects.update(stepped_up_at=None)
    client.post("/profile/security/confirm/", {"code": spelled(code())})
    assert SessionRecord.objects.get().stepped_up_at is not None
    assert failures() == 0


def test_a_mailed_code_steps_up_however_it_is_spaced(client, ada, mailed):
    client.force_login(ada)
    sent = mailed(lambda: client.post("/profile/security/confirm/", {"do": "send"}))
    client.post("/profile/security/confirm/", {"password": PASSWORD, "mailcode": spelled(sent)})
    assert SessionRecord.objects.get().stepped_up_at is not None
    assert failures() == 0


def test_a_first_app_is_set_up_however_both_codes_are_spaced(client, ada, strict, mailed):
    sent = mailed(lambda: give_password(client, ada))
    client.post("/enrol/", {"mailcode": spelled(sent)})
    key = base64.b32decode(client.get("/enrol/").context["secret"].replace(" ", ""))
    client.post("/enrol/", {"name": "Phone", "appcode": spelled(code(key=key))})
    assert TotpDevice.objects.get().confirmed
    assert failures() == 0
    assert sent_mails()


@pytest.mark.parametrize("typed", ["   ", "- -", "\u2013"])
def test_separators_alone_do_not_count_as_a_try(client, ada, typed):
    give_app(ada)
    give_password(client, ada)
    client.post("/verify/", {"code": typed})
    client.post("/verify/", {"with": "recovery", "code": typed})
    assert failures() == 0


def room_in(page: str, name: str) -> int:
    box = re.search(rf'<input[^>]*name="{name}"[^>]*>', page)
    return int(re.search(r'maxlength="(\d+)"', box[0])[1])


def pages_that_ask(client: Client, ada: User) -> dict[str, str]:
    """Return each page that asks for a code, under the name of its box."""
    half_way = Client()
    client.force_login(ada)
    pages = {"mailcode": client.post("/profile/security/confirm/", {"do": "send"}).content.decode()}
    log_in(client, ada)
    pages["appcode"] = client.get("/enrol/").content.decode()
    give_password(half_way, ada)
    pages["code"] = half_way.get("/verify/").content.decode()
    return pages


def test_every_box_has_room_for_a_code_with_its_separators(client, ada):
    for name, page in pages_that_ask(client, ada).items():
        assert room_in(page, name) >= len(" 1-2-3-4-5-6 "), name
