"""What is no code, how many guesses there are, and what of a factor is ever shown again."""

import ast
import base64
import json
import math
from pathlib import Path

import pytest
import time_machine
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts.choices import MailPurpose
from accounts.factors import services as factors
from accounts.models import FailureBudget, RecoveryCode, SessionRecord, TotpDevice, User
from accounts.throttle import budgets as throttle
from accounts.throttle.budgets import TooManyTries
from tests.factories import NOW, PASSWORD, member
from tests.logging_in import code, give_app, give_password, is_let_in, log_in

ROOT = Path(__file__).resolve().parent.parent.parent
NO_CODES = {
    "seven digits": "0{}",
    "a digit too few": "{:.5}",
    "a blank inside": "{:.3} {}",
    "a sign": "+{:.5}",
    "a decimal point": "{}.0",
    "an exponent": "{:.3}e0",
    "an underscore": "{:.3}_{}",
    "hexadecimal": "0x{:.4}",
    "nothing": "",
    "null, as text": "null",
    "a list, as text": '["{}"]',
    "NUL behind it": "{}\x00",
    "a line behind it": "{}\n0",
}
OTHER_DIGITS = {"Arabic": "٠١٢٣٤٥٦٧٨٩", "full width": "０１２３４５６７８９", "Bengali": "০১২৩৪৫৬৭৮৯"}


def forgive() -> None:
    """Delete all budgets, so that a test can try more often than they allow."""
    FailureBudget.objects.all().delete()


def at_the_log_in(client: Client, ada: User) -> tuple[str, str]:
    if not is_let_in(client):
        give_password(client, ada)  # anew, because ten wrong codes end a pending log-in
    return "/verify/", "code"


def at_step_up(client: Client, ada: User) -> tuple[str, str]:
    if not is_let_in(client):
        log_in(client, ada)
        SessionRecord.objects.update(stepped_up_at=None)
    return "/profile/security/confirm/", "code"


def at_a_second_app(client: Client, ada: User) -> tuple[str, str]:
    if not is_let_in(client):
        log_in(client, ada)
    client.get("/enrol/")
    return "/enrol/", "appcode"


DOORS = {
    at_the_log_in: is_let_in,
    at_step_up: lambda client: SessionRecord.objects.latest("pk").stepped_up_at is not None,
    at_a_second_app: lambda client: TotpDevice.objects.count() > 1,
}


@pytest.mark.way("Codes: seven digits", "Codes: Arabic digits", "Codes: blanks", "Codes: null, and a list")
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
@time_machine.travel(NOW, tick=False)  # the right code stays right, however slow the machine
def test_every_log_in_page_refuses_what_only_looks_like_the_code(client, ada, door):
    def was_taken(data: object, **more: str) -> bool:
        forgive()
        client.post(door(client, ada)[0], data, **more)
        return DOORS[door](client)

    give_app(ada)
    field = door(client, ada)[1]
    right = right_code(client, door)
    looks = [pattern.format(right, right) for pattern in NO_CODES.values()]
    looks += [right.translate(str.maketrans("0123456789", digits)) for digits in OTHER_DIGITS.values()]
    bodies = (json.dumps({field: right}), json.dumps({field: None}), json.dumps([right]), "null")
    assert [typed for typed in looks if was_taken({field: typed, "name": "Phone"})] == []
    assert [body for body in bodies if was_taken(body, content_type="application/json")] == []
    assert not was_taken({f"{field}[]": right, "name": "Phone"})
    assert not was_taken({field: [right, "000000"], "name": "Phone"})
    assert was_taken({field: f" {right} ", "name": "Phone"})  # what a paste leaves around it is forgiven


def right_code(client: Client, door: object) -> str:
    if door is at_a_second_app:
        return code(key=base64.b32decode(client.get("/enrol/").context["secret"].replace(" ", "")))
    return code()


@pytest.mark.way("Codes: leading zeros left out")
def test_a_code_that_begins_with_zeros_is_typed_with_them(client, ada):
    key = next(key for key in (n.to_bytes(20, "big") for n in range(2000)) if code(key=key).startswith("0"))
    give_app(ada, key=key)
    give_password(client, ada)
    client.post("/verify/", {"code": code(key=key).lstrip("0")})
    client.post("/verify/", {"code": code(key=key).lstrip("0").rjust(6)})
    assert not is_let_in(client)
    client.post("/verify/", {"code": code(key=key)})
    assert is_let_in(client)


NOT_ASCII = {"clientDataJSON": "e30", "authenticatorData": "AA", "signature": "AA", "userHandle": "é"}


@pytest.mark.way("Codes: null, and a list")
@pytest.mark.parametrize(
    "body",
    [
        *("null", "[]", '"x"', "{}", '{"id": null}', '{"id": ["a"], "response": 1}', "{", ""),
        '{"id": %s}' % ("9" * 5000),
        json.dumps({"id": "AA", "rawId": "AA", "type": "public-key", "response": NOT_ASCII}),
    ],
    ids=str,
)
def test_a_malformed_answer_of_a_passkey_is_refused(client, ada, strict, body):
    give_app(ada)
    give_password(client, ada)
    client.post("/passkeys/authentication/begin/")
    answer = client.post("/passkeys/authentication/complete/", body, content_type="application/json")
    assert 400 <= answer.status_code < 500
    assert not is_let_in(client)


def test_a_refused_code_leaves_its_box_empty_for_the_next(client, ada, strict):
    """The box takes six digits: a full one would swallow whatever is typed after a wrong code."""
    give_password(client, ada)
    assert 'value="000000"' not in client.post("/enrol/", {"mailcode": "000000"}).content.decode()
    give_app(ada)
    give_password(client, ada)
    assert 'value="000000"' not in client.post("/verify/", {"code": "000000"}).content.decode()
    log_in(client, ada)
    assert 'value="000000"' not in client.post("/profile/security/confirm/", {"code": "000000"}).content.decode()


@pytest.mark.way("Codes: guessing within one session")
def test_a_pending_login_ends_after_ten_wrong_codes(client, ada):
    give_app(ada)
    give_password(client, ada)
    for _try in range(10):
        forgive()
        assert client.post("/verify/", {"code": "000000"}).status_code == 200
    forgive()
    assert client.post("/verify/", {"code": code()}).url == "/login/"
    assert not is_let_in(client)


@pytest.mark.way("Codes: guessing over many factors")
def test_every_kind_of_code_is_counted_in_one_budget(ada):
    give_app(ada)
    RecoveryCode.objects.create(user=ada, hash=RecoveryCode.hash_of("0123456789abcdef"))
    now = timezone.now()
    tries = [
        lambda: factors.verify_app(ada, "000000", now=now),
        lambda: factors.use_recovery_code(ada, "0123-4567-89ab-cdee", now=now),
        lambda: factors.use_mailbox_code(ada, "000000", purpose=MailPurpose.STEP_UP, now=now),
        lambda: factors.use_mailbox_code(ada, "000000", purpose=MailPurpose.ENROL, now=now),
        lambda: factors.add_app(ada, b"k" * 20, "000000", name="x", now=now),
    ]
    for attempt in tries:
        with pytest.raises(factors.WrongCode):
            attempt()
    assert FailureBudget.objects.get(key=throttle.codes_of(ada).key).failures == 5
    for attempt in [*tries, lambda: factors.verify_app(ada, code(), now=now)]:
        with pytest.raises(TooManyTries):
            attempt()


@pytest.mark.way("Traps of the libraries: recovery codes of 40 bits, in plain text")
def test_a_recovery_code_has_eighty_bits_and_is_kept_as_a_hash(ada):
    codes = factors.make_recovery_codes(ada, now=timezone.now())
    bits = math.log2(len(factors.ALPHABET)) * factors.RECOVERY_CODE_LENGTH
    assert (len(set(codes)), bits) == (10, 80)
    kept = str(list(RecoveryCode.objects.values()))
    assert not [one for one in codes if one in kept or one.replace("-", "") in kept]
    assert "django_otp.plugins.otp_static" not in settings.INSTALLED_APPS


@pytest.mark.way("Enrolment: the QR code shown again after confirmation")
def test_the_secret_is_shown_until_it_is_confirmed_and_never_again(client, ada):
    log_in(client, ada)
    secret = client.get("/enrol/").context["secret"]
    assert client.get("/enrol/").context["secret"] == secret
    key = base64.b32decode(secret.replace(" ", ""))
    client.post("/enrol/", {"name": "Pixel", "appcode": code(key=key)})
    device = TotpDevice.objects.get(name="Pixel")
    shown = [client.get(path).content.decode() for path in ("/enrol/", "/profile/security/", "/verify/")]
    shown += [
        client.get(f"/profile/security/factors/{act}/", {"device": device.persistent_id}).content.decode()
        for act in ("rename", "remove")
    ]
    text = secret.replace(" ", "")
    assert not [page for page in shown if secret in page or text in page]
    assert client.get("/enrol/").context["secret"] != secret  # of a further app


@pytest.mark.way("Enrolment: another user's device")
def test_another_users_device_in_the_session_proves_nothing(client, ada, strict):
    theirs = give_app(member(strict, email="vic@acme.test"), key=b"another twenty bytes")
    client.force_login(ada)
    SessionRecord.objects.update(factor=theirs.persistent_id, factor_at=timezone.now(), stepped_up_at=timezone.now())
    assert not is_let_in(client)


@pytest.mark.way(
    "Half a log-in: a session key fixed before the password", "Half a log-in: a session key fixed before the factor"
)
def test_the_keys_of_earlier_steps_are_worth_nothing_afterwards(client, ada):
    give_app(ada)
    client.get("/invitation/none/")
    client.post("/passkeys/authentication/begin/")
    keys = [client.session.session_key]
    give_password(client, ada)
    keys.append(client.session.session_key)
    client.post("/verify/", {"code": code()})
    assert is_let_in(client)
    for key in keys:
        thief = Client()
        thief.cookies[settings.SESSION_COOKIE_NAME] = key
        assert not is_let_in(thief)
        assert thief.post("/verify/", {"code": code(1)}).url == "/login/"


@pytest.mark.way("Half a log-in: tampered form fields")
def test_no_form_field_decides_who_somebody_is_or_what_they_proved(client, ada, strict):
    give_app(ada)
    mallory = member(strict, email="mallory@acme.test")
    give_app(mallory, key=b"another twenty bytes")
    give_password(client, mallory)
    lies = {
        "user": ada.pk,
        "user_id": ada.pk,
        "email": ada.email,
        "device": "accounts.totpdevice/1",
        "decision": "let in",
    }
    lies |= {"factor": "recovery", "verified": "on", "opened_by": "sso", "backend": "accounts.oidc.Oidc_acme"}
    lies |= {"studio_pending_login": ada.pk, "otp_device_id": "accounts.totpdevice/1", "password": PASSWORD}
    for path, more in (
        ("/verify/", {"code": code()}),
        ("/verify/", {"code": "", "with": "sso"}),
        ("/verify/", {"with": "mailbox", "code": code()}),
        ("/profile/security/recovery-codes/new/", {}),
        ("/enrol/", {"do": "send"}),
        ("/enrol/", {"appcode": code(), "name": "x"}),
        ("/sso/login/oidc-acme/", {"purpose": "step up"}),
    ):
        forgive()
        client.post(path, lies | more)
        assert not is_let_in(client), (path, more)
    assert TotpDevice.objects.count() == 2


def calls_in(room: str) -> list[tuple[str, str]]:
    """Return every call of a function by name in the room's sources, as (file, what is called)."""
    return [
        (str(path.relative_to(ROOT)), ast.unparse(node.func))
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]


@pytest.mark.way(
    "Traps of the libraries: a device verified without the lock of its row",
    "Traps of the libraries: devices not confirmed, all devices at once, and recovery codes taken for a device",
    "Traps of the libraries: a session key that stays, and marks that survive a later log-in",
)
def test_no_unsafe_function_of_the_libraries_is_called():
    called = [
        call for room in ("accounts", "environments", "studio", "conversations", "archival") for call in calls_in(room)
    ]
    verifying = {(file, name) for file, name in called if name.rpartition(".")[2] == "verify_token"}
    assert verifying == {("accounts/factors/services.py", "django_otp.verify_token")}  # it locks the row of the device
    traps = {"match_token", "user_has_device", "devices_for_user", "user_has_any_otp_device", "otp_login"}
    assert {name for _file, name in called if name.rpartition(".")[2] in traps and "objects" not in name} == set()
    assert {file for file, name in called if name == "login"} == {"accounts/sessions/services.py"}
