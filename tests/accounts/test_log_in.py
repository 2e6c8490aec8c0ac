"""The way in by password: a pending log-in, then the factor, then a session."""

import base64
import time

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts import totp
from accounts.models import FailureBudget, RecoveryCode, SessionRecord, TotpDevice
from accounts.sessions.pending import KEY as PENDING
from audit.models import Event
from tests.accounts.conftest import require_mfa
from tests.factories import PASSWORD, member
from tests.logging_in import code, give_app, give_password, is_let_in, log_in
from tests.mailbox import sent_mails


def test_a_password_alone_opens_a_session_where_nothing_requires_more(client, ada):
    answer = give_password(client, ada, next="/profile/security/")

    assert answer.url == "/profile/security/"
    assert is_let_in(client)
    assert Event.objects.get(action="session.opened").after == {"with": "password", "factor": ""}


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(client, ada):
    wrong = client.post("/login/", {"email": ada.email, "password": "Wrong-Horse-9"})
    unknown = client.post("/login/", {"email": "nobody@acme.test", "password": "Wrong-Horse-9"})

    text = "This e-mail address and this password do not belong together."
    assert (wrong.status_code, unknown.status_code) == (200, 200)
    assert wrong.context["form"].errors == unknown.context["form"].errors == {"__all__": [text]}


def test_the_address_is_read_without_regard_to_case(client, ada):
    client.post("/login/", {"email": "ADA@Acme.TEST", "password": PASSWORD})
    assert is_let_in(client)


def test_an_inactive_user_does_not_come_in(client, ada):
    ada.is_active = False
    ada.save()
    assert give_password(client, ada).status_code == 200
    assert not is_let_in(client)


@pytest.mark.parametrize("address", ["https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)"])
@pytest.mark.way("Single sign-on: next to another host: at the password")
def test_next_never_leaves_this_host(client, ada, address):
    assert give_password(client, ada, next=address).url == "/"


def test_forced_enrolment_goes_by_the_mailbox_and_ends_with_ten_codes(client, ada, strict, mailed):
    mailcode = mailed(lambda: give_password(client, ada, next="/profile/security/"))
    assert not is_let_in(client)
    page = client.get("/enrol/")
    assert "Acme" in page.content.decode()

    assert client.post("/enrol/", {"mailcode": mailcode}).url == "/enrol/"
    secret = client.get("/enrol/").context["secret"]
    key = base64.b32decode(secret.replace(" ", ""))
    done = client.post("/enrol/", {"name": "Pixel", "appcode": code(key=key)}, follow=True)

    assert len(set(done.context["codes"])) == 10
    assert "no-store" in done["Cache-Control"]
    assert is_let_in(client)
    assert client.post(done.redirect_chain[-1][0]).url == "/profile/security/"
    assert TotpDevice.objects.get().name == "Pixel"
    assert secret not in client.get("/enrol/").content.decode()


def test_a_user_with_an_app_is_asked_for_it_even_where_nothing_requires_it(client, ada):
    give_app(ada)
    assert give_password(client, ada).url == "/verify/"
    assert not is_let_in(client)
    assert client.post("/verify/", {"code": code()}).url == "/"
    assert is_let_in(client)


def test_a_recovery_code_opens_the_session_once_and_is_mailed(client, ada, strict, django_capture_on_commit_callbacks):
    give_app(ada)
    RecoveryCode.objects.create(user=ada, hash=RecoveryCode.hash_of("0123456789abcdef"))
    give_password(client, ada)
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/verify/", {"with": "recovery", "code": " 0I23-4567-89AB-CDEF "})

    assert is_let_in(client)
    assert sent_mails()[-1].subject == "A recovery code was used to log in"
    assert "0 of 10" in sent_mails()[-1].body
    other = Client()
    give_password(other, ada)
    other.post("/verify/", {"with": "recovery", "code": "0123-4567-89ab-cdef"})
    assert not is_let_in(other)


@pytest.mark.way(
    "Half a log-in: a session key fixed before the password", "Half a log-in: a session key fixed before the factor"
)
def test_the_session_key_changes_at_each_step(client, ada):
    give_app(ada)
    client.get("/login/")
    keys = [client.cookies.get(settings.SESSION_COOKIE_NAME)]
    give_password(client, ada)
    keys.append(client.session.session_key)
    client.post("/verify/", {"code": code()})
    keys.append(client.session.session_key)
    assert len(set(keys)) == 3


@pytest.mark.way("Half a log-in: a session key fixed before the password")
def test_a_fixed_session_key_is_not_taken_over(client, ada):
    client.cookies[settings.SESSION_COOKIE_NAME] = "chosen-by-the-attacker-0123456789"
    give_password(client, ada)
    assert client.session.session_key != "chosen-by-the-attacker-0123456789"


@pytest.mark.way("Half a log-in: used after five minutes")
def test_a_pending_login_ends_after_five_minutes(client, ada):
    give_app(ada)
    give_password(client, ada)
    session = client.session
    session[PENDING] = {**session[PENDING], "at": time.time() - 301}
    session.save()
    assert client.post("/verify/", {"code": code()}).url == "/login/"
    assert not is_let_in(client)


@pytest.mark.way("Half a log-in: used after a change of the password")
def test_a_pending_login_ends_with_a_change_of_the_password(client, ada):
    give_app(ada)
    give_password(client, ada)
    ada.set_password("Other-Horse-9")
    ada.save()
    assert client.post("/verify/", {"code": code()}).url == "/login/"
    assert not is_let_in(client)


@pytest.mark.way("Half a log-in: used after log-out")
def test_a_pending_login_ends_with_log_out(client, ada):
    give_app(ada)
    give_password(client, ada)
    client.post("/logout/")
    assert client.post("/verify/", {"code": code()}).url == "/login/"


@pytest.mark.way("Half a log-in: used for another user", "Half a log-in: tampered form fields")
def test_a_pending_login_cannot_be_turned_to_another_user_by_form_fields(client, ada, acme):
    mallory = member(acme, email="mallory@acme.test")
    give_app(ada)
    give_app(mallory, key=b"another twenty bytes")
    give_password(client, mallory)
    client.post("/verify/", {"code": code(), "user": ada.pk, "user_id": ada.pk, "email": ada.email})
    assert not is_let_in(client)


@pytest.mark.way("Half a log-in: used for another user")
def test_a_second_password_replaces_the_first_pending_login(client, ada, acme):
    vic = member(acme, email="vic@acme.test")
    give_app(ada)
    give_app(vic, key=b"another twenty bytes")
    give_password(client, ada)
    give_password(client, vic)
    client.post("/verify/", {"code": code()})
    assert not is_let_in(client)


@pytest.mark.way(
    "Enrolment: an unconfirmed device verifies",
    "Traps of the libraries: devices not confirmed, all devices at once, and recovery codes taken for a device",
)
def test_an_unconfirmed_app_verifies_nothing(client, ada, strict):
    device = give_app(ada)
    device.confirmed = False
    device.save()
    give_password(client, ada)
    assert client.get("/verify/").url == "/enrol/"
    client.post("/verify/", {"code": code()})
    assert not is_let_in(client)


@pytest.mark.way("Enrolment: the thief enrols an app first")
def test_the_thief_cannot_enrol_without_the_mailbox(client, ada, strict):
    give_password(client, ada)
    page = client.get("/enrol/")
    assert page.context["step"] == "mailbox"
    for typed in ({"appcode": "123456", "name": "x"}, {"mailcode": "000000"}, {"mailcode": ""}):
        client.post("/enrol/", typed)
    assert TotpDevice.objects.count() == 0
    assert not is_let_in(client)


@pytest.mark.way("Enrolment: the thief enrols an app first")
def test_the_thief_cannot_add_a_second_app_beside_the_owners(client, ada, strict):
    give_app(ada)
    give_password(client, ada)
    assert client.get("/enrol/").url == "/verify/"
    assert client.post("/enrol/", {"do": "send"}).url == "/verify/"
    assert TotpDevice.objects.count() == 1


@pytest.mark.way(
    "Enrolment: recovery codes counted as a factor",
    "Traps of the libraries: devices not confirmed, all devices at once, and recovery codes taken for a device",
)
def test_recovery_codes_alone_do_not_count_as_a_factor(client, ada, strict):
    RecoveryCode.objects.create(user=ada, hash=RecoveryCode.hash_of("0123456789abcdef"))
    assert give_password(client, ada).url == "/enrol/"
    client.post("/verify/", {"with": "recovery", "code": "0123456789abcdef"})
    assert not is_let_in(client)


def test_a_mailed_code_works_once_and_for_its_purpose(client, ada, strict, mailed):
    mailcode = mailed(lambda: give_password(client, ada))
    client.post("/enrol/", {"mailcode": mailcode})
    other = Client()
    give_password(other, ada)
    other.post("/enrol/", {"mailcode": mailcode})
    assert other.get("/enrol/").context["step"] == "mailbox"


@pytest.mark.parametrize("typed", ["1234567", "١٢٣٤٥٦", "12 456", "", "\x00" * 6, "12345", "+12345", "１２３４５６"])
@pytest.mark.way("Codes: seven digits", "Codes: Arabic digits", "Codes: blanks")
def test_only_six_ascii_digits_are_a_code(client, ada, typed):
    give_app(ada)
    give_password(client, ada)
    assert client.post("/verify/", {"code": typed}).status_code == 200
    assert not is_let_in(client)


@pytest.mark.parametrize("typed", [None, ["123456"], 123456, b"123456", {}])
@pytest.mark.way("Codes: null, and a list")
def test_a_code_that_is_not_a_string_is_refused(typed):
    assert totp.match(b"k" * 20, typed, last_step=-1, drift=0) is None


@pytest.mark.way("Codes: leading zeros left out")
def test_a_leading_zero_counts(ada):
    key = next(key for key in (n.to_bytes(20, "big") for n in range(1000)) if code(key=key).startswith("0"))
    shown = code(key=key)
    assert totp.match(key, shown, last_step=-1, drift=0) is not None
    assert totp.match(key, shown.lstrip("0"), last_step=-1, drift=0) is None


@pytest.mark.way("Codes: the same code of the app at another door")
def test_the_same_code_is_not_taken_twice_at_another_door(client, ada):
    give_app(ada)
    give_password(client, ada)
    shown = code()
    client.post("/verify/", {"code": shown})
    assert is_let_in(client)
    answer = client.post("/profile/security/confirm/", {"code": shown})
    assert answer.context["form"].errors


def test_only_the_pages_of_a_first_factor_show_steps(client, ada):
    log_in(client, ada)
    further = client.get("/enrol/").content.decode()
    anew = client.post("/profile/security/recovery-codes/", follow=True).content.decode()
    assert "<h1>Add an app or a passkey</h1>" in further
    assert "<h1>Recovery codes</h1>" in anew
    assert 'class="steps"' not in further + anew


@pytest.mark.way("Codes: old recovery codes after new ones were made")
def test_old_recovery_codes_end_when_new_ones_are_made(client, ada):
    log_in(client, ada)
    old = client.post("/profile/security/recovery-codes/", follow=True).context["codes"]
    new = client.post("/profile/security/recovery-codes/", follow=True).context["codes"]
    other = Client()
    give_password(other, ada)
    other.post("/verify/", {"with": "recovery", "code": old[0]})
    assert not is_let_in(other)
    other.post("/verify/", {"with": "recovery", "code": new[0]})
    assert is_let_in(other)


def test_a_secret_copied_to_another_users_row_opens_no_more(ada, acme):
    vic = member(acme, email="vic@acme.test")
    stolen = give_app(ada)
    moved = TotpDevice.objects.create(user=vic, secret=stolen.secret, name="x", confirmed=True)
    with pytest.raises(totp.SecretOfAnotherUser):
        moved.verify_token(code())


def test_secrets_are_encrypted_at_rest(ada):
    device = give_app(ada, key=b"0123456789abcdefghij")
    assert b"0123456789abcdefghij" not in bytes(device.secret)
    assert b"0123456789abcdefghij".hex().encode() not in bytes(device.secret)


def test_twenty_wrong_passwords_slow_the_password_door_alone(client, ada):
    for _try in range(10):
        client.post("/login/", {"email": ada.email, "password": "Wrong-Horse-9"})
    slowed = give_password(client, ada)
    assert slowed.status_code == 429
    assert not is_let_in(client)
    assert Event.objects.filter(action="sign_in.slowed").count() == 1
    FailureBudget.objects.update(since=timezone.now() - timezone.timedelta(seconds=31))
    give_password(client, ada)
    assert is_let_in(client)


def test_an_ended_session_is_logged_out_at_its_next_request(client, ada):
    give_password(client, ada)
    SessionRecord.objects.update(ended_at=timezone.now())
    assert client.get("/profile/security/").url == "/login/?next=/profile/security/"


def test_raising_the_epoch_of_a_user_ends_every_session(client, ada):
    give_password(client, ada)
    ada.session_epoch += 1
    ada.save()
    assert not is_let_in(client)


@pytest.mark.way("Policy: turned on in mid-session")
def test_turning_the_requirement_on_takes_effect_at_the_next_request(client, ada, acme):
    give_password(client, ada)
    assert is_let_in(client)
    require_mfa(acme)
    assert client.get("/profile/security/").url == "/enrol/?next=/profile/security/"
    require_mfa(acme, "off")
    assert is_let_in(client)


def test_deleting_the_device_takes_effect_at_the_next_request(client, ada, strict):
    log_in(client, ada)
    assert is_let_in(client)
    TotpDevice.objects.all().delete()
    assert not is_let_in(client)


def test_a_device_that_is_no_longer_confirmed_lets_nobody_in(client, ada, strict):
    log_in(client, ada)
    assert is_let_in(client)
    TotpDevice.objects.update(confirmed=False)
    assert not is_let_in(client)


@pytest.mark.way("Traps of the libraries: a session key that stays, and marks that survive a later log-in")
def test_a_later_password_login_inherits_nothing_from_the_session_before(client, ada, strict):
    log_in(client, ada)
    marks = dict(client.session.items())
    client.post("/logout/")
    give_password(client, ada)
    session = client.session
    session.update({"social_auth_last_login_backend": "oidc-acme", **marks, **dict(session.items())})
    session.save()
    assert not is_let_in(client)
