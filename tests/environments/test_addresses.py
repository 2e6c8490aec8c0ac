"""One normal form of an e-mail address, made at every entrance: mail reaches the domain that was proven alone."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from accounts.choices import MailPurpose
from accounts.factors.services import send_mailbox_code
from accounts.models import FailureBudget, TotpDevice, User
from accounts.passwords import tasks as password_tasks
from accounts.profile import tasks as profile_tasks
from accounts.throttle.budgets import FREE
from environments.caller import Caller
from environments.choices import DomainProof
from environments.invitations import services as invitations
from environments.joining import tasks as joining_tasks
from environments.models import Invitation, Membership, Organisation, OrganisationDomain
from tests.factories import PASSWORD, UserFactory, environment, member
from tests.logging_in import give_app, give_password, log_in
from web.tasks import send_deliveries

PROVEN = "xn--strae-oqa.example"  # straße.example by IDNA 2008; by IDNA 2003 it would be strasse.example, a stranger's
SPELLINGS = [
    "nora@straße.example",
    "Nora@STRAẞE.example",  # a capital ẞ
    "nora@xn--strae-oqa.example",
    "nora@XN--STRAE-OQA.EXAMPLE",
    " nora@ｓtraße。example ",  # full-width
]
NO_ADDRESSES = [
    "jose\u0301@acme.test",  # decomposed, before the @
    "josé@acme.test",
    "\u212aim@acme.test",  # a Kelvin sign, whose lower case is an ASCII k
    "ada\uff20acme.test",  # a full-width @
    "ada@xn--zz.test",  # no such A-label
    "ada@☃.test",  # a symbol, which IDNA 2008 has no label for
    "ada@acme..test",
    "ada@127.0.0.1",
    "ada@[127.0.0.1]",
    "ada@acme.test.",
    '"a b"@acme.test',
    "ada@" + "a" * 250 + ".test",
]


@pytest.fixture
def acme(db):
    acme = environment(name="Acme", slug="acme")
    Organisation.objects.filter(pk=acme.pk).update(auto_invite_roles=["member"])
    OrganisationDomain.objects.create(
        organisation=acme, domain=PROVEN, verified_at=timezone.now(), proof=DomainProof.DNS
    )
    acme.refresh_from_db()
    return acme


@pytest.fixture
def committed():
    """Call something, and send what it mailed."""

    def call(what, *args, **kwargs):
        answer = what(*args, **kwargs)
        send_deliveries()
        return answer

    return call


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_domain_is_mailed_to_the_one_that_was_proven(acme, ada, committed, post_office, spelling):
    committed(joining_tasks.mail_link_to_join, spelling, "en")
    committed(invitations.invite, acme, email=spelling, roles=["member"], by=Caller.of(ada), now=timezone.now())
    nora = UserFactory(email=spelling)
    committed(password_tasks.send_password_reset, spelling, "en")
    committed(send_mailbox_code, nora, purpose=MailPurpose.ENROL, now=timezone.now())
    committed(profile_tasks.send_email_change, ada.pk, ada.get_session_auth_hash(), spelling.replace("ora", "ina"))
    domains = {recipient.rpartition("@")[2] for recipient in post_office.recipients}
    assert domains == {PROVEN}
    assert len(post_office.delivered) == 5
    assert {message["To"].rpartition("@")[2] for _to, message in post_office.delivered} == {PROVEN}


def test_an_account_from_before_the_normal_form_is_mailed_at_the_proven_domain(acme, committed, post_office):
    old = UserFactory(email=f"nora@{PROVEN}")
    User.objects.filter(pk=old.pk).update(email="nora@straße.example")
    old.refresh_from_db()
    committed(password_tasks.send_password_reset, "nora@straße.example", "en")
    committed(send_mailbox_code, old, purpose=MailPurpose.ENROL, now=timezone.now())
    assert post_office.recipients == [f"nora@{PROVEN}"] * 2


@pytest.mark.parametrize(
    ("value", "sender"),
    [("Studio <Studio@straße.example>", f"Studio <Studio@{PROVEN}>"), ("studio@acme.test", "studio@acme.test")],
)
def test_the_sender_of_every_mail_is_in_the_normal_form(value, sender):
    program = "from studio import settings; print(settings.DEFAULT_FROM_EMAIL)"
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "DEFAULT_FROM_EMAIL": value, "PYTHONIOENCODING": "utf-8"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == sender


def test_mail_goes_to_the_local_part_as_typed_and_accounts_are_compared_in_lower_case(
    client, acme, ada, committed, post_office
):
    invitation = committed(
        invitations.invite, acme, email="Nora.Lee@Acme.Test", roles=["member"], by=Caller.of(ada), now=timezone.now()
    )
    assert invitation.email == "nora.lee@acme.test"
    path = re.findall(r"/invitation/\S+/", post_office.delivered[0][1].get_body(("plain",)).get_content())[0]
    client.post(path, {"name": "Nora", "password": PASSWORD})
    committed(password_tasks.send_password_reset, "NORA.LEE@acme.test", "en")
    assert post_office.recipients == ["Nora.Lee@acme.test"] * 2
    nora = User.objects.get(email="nora.lee@acme.test")
    with pytest.raises(ValidationError):
        User.objects.create_user("nora.LEE@acme.test")
    assert client.post("/login/", {"email": "NORA.lee@ACME.test", "password": PASSWORD}).status_code == 302
    assert Membership.objects.get(user=nora).organisation == acme


def test_another_address_is_mailed_as_typed_from_then_on_too(client, acme, ada, committed, post_office):
    log_in(client, ada)
    ada.refresh_from_db()
    committed(profile_tasks.send_email_change, ada.pk, ada.get_session_auth_hash(), "Ada.L@Straße.example")
    path = re.findall(r"/profile/email/confirm/\S+/", post_office.delivered[0][1].get_body(("plain",)).get_content())[0]
    committed(client.post, path)
    ada.refresh_from_db()
    assert ada.email == f"ada.l@{PROVEN}"
    assert post_office.recipients == [f"Ada.L@{PROVEN}", "ada@acme.test", f"Ada.L@{PROVEN}"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_all_spellings_of_an_address_are_one_account(client, acme, spelling):
    nora = member(acme, email=f"nora@{PROVEN}", name="Nora")
    with pytest.raises(ValidationError):
        User.objects.create_user(spelling)
    out = io.StringIO()
    call_command("create_member", spelling, organisation="acme", role="developer", stdout=out)
    assert "existing user" in out.getvalue()
    assert User.objects.get() == nora
    assert give_password(client, nora, email=spelling).status_code == 302


def test_wrong_passwords_for_two_spellings_are_counted_together(client, acme):
    member(acme, email=f"nora@{PROVEN}")
    for spelling in ["nora@straße.example", f"nora@{PROVEN}"] * 6:
        client.post("/login/", {"email": spelling, "password": "Wrong-Horse-9"})
    budget = FailureBudget.objects.get(key__startswith="password:")
    assert budget.failures == FREE["password"]


def test_localhost_is_one_domain_in_every_spelling(client, acme):
    call_command("create_member", "nora@LocalHost", organisation="acme", role="developer")
    assert User.objects.get().email == "nora@localhost"
    for spelling in ["nora@localhost", "nora@LOCALHOST", "nora@LocalHost"]:
        client.post("/login/", {"email": spelling, "password": "Wrong-Horse-9"})
    assert FailureBudget.objects.get(key__startswith="password:").failures == 3


@pytest.mark.parametrize("spelling", ["ivy@mu\u0308nchen.test", "ivy@ｍünchen.test", "ivy@MÜNCHEN.test"])
def test_an_invitation_in_any_spelling_is_accepted_by_a_new_person_and_by_a_member(
    client, acme, ada, committed, mailoutbox, spelling
):
    committed(invitations.invite, acme, email=spelling, roles=["member"], by=Caller.of(ada), now=timezone.now())
    path = re.findall(r"/invitation/\S+/", mailoutbox[-1].body)[0]
    client.post(path, {"name": "Ivy", "password": PASSWORD})
    ivy = User.objects.get(email="ivy@xn--mnchen-3ya.test")
    assert Membership.objects.get(user=ivy).roles == ["member"]
    beta = environment(name="Beta", slug="beta")
    bo = member(beta, email="bo@beta.test")
    committed(invitations.invite, beta, email=spelling, roles=["member"], by=Caller.of(bo), now=timezone.now())
    log_in(client, ivy)
    client.post(re.findall(r"/invitation/\S+/", mailoutbox[-1].body)[0])
    assert Membership.objects.filter(user=ivy).count() == 2


@pytest.mark.parametrize("email", NO_ADDRESSES)
def test_what_has_no_normal_form_is_refused_where_it_is_typed(client, acme, ada, email):
    log_in(client, ada)
    for path, more in (("/join/", {}), ("/acme/members/", {"roles": ["member"]}), ("/profile/email/", {})):
        answer = client.post(path, {"email": email, **more})
        assert answer.status_code == 200, path
        assert answer.context["form"].errors["email"], path
    with pytest.raises(CommandError, match="email"):
        call_command("create_member", email, organisation="acme", role="developer")
    with pytest.raises(CommandError):
        call_command("create_super_user", email)
    assert Invitation.objects.count() == 0
    assert User.objects.get() == ada


def test_addresses_and_domains_are_shown_decoded_and_found_as_they_are_shown(client, acme, ada):
    member(acme, email=f"nora@{PROVEN}", name="Nora")
    member(acme, email="otto@acme.test", name="Otto")
    invitations.invite(acme, email="ivy@bücher.test", roles=["member"], by=Caller.of(ada), now=timezone.now())
    log_in(client, ada)
    page = client.get("/acme/members/", {"q": "straße.example"}).content.decode()
    assert "nora@straße.example" in page
    assert "ivy@bücher.test" in page
    assert "xn--" not in page
    assert "otto@" not in page


def test_whoever_loses_their_factors_is_confirmed_in_the_spelling_that_is_shown(client, acme, ada):
    nora = member(acme, "member", email=f"nora@{PROVEN}", name="Nora")
    give_app(nora)
    log_in(client, ada)
    path = f"/acme/members/{Membership.objects.get(user=nora).pk}/reset-factors/"
    assert "nora@straße.example" in client.get(path).content.decode()
    client.post(path, {"email": "nora@straße.example"})
    assert not TotpDevice.objects.filter(user=nora).exists()


@pytest.mark.django_db(transaction=True)
def test_the_migration_lists_accounts_that_would_collide_and_merges_none(capsys):
    before = [("accounts", "0005_typed_email")]
    old = MigrationExecutor(connection)
    old.migrate(before)
    names = {
        "alone@straße.example": f"alone@{PROVEN}",
        "nora@straße.example": None,
        f"nora@{PROVEN}": None,
        "otto@bücher.test": None,
        "otto@bu\u0308cher.test": None,
        "sym@☃.test": None,
        "plain@acme.test": None,
    }
    people = old.loader.project_state(before).apps.get_model("accounts", "User").objects
    kept = {people.create(email=name).pk: form or name for name, form in names.items()}
    new = MigrationExecutor(connection)
    new.migrate(new.loader.graph.leaf_nodes())
    assert dict(User.objects.values_list("pk", "email")) == kept
    said = capsys.readouterr().out
    for name in ("nora@straße.example", "otto@bücher.test", "otto@bu\u0308cher.test", "sym@☃.test"):
        assert name in said
    assert "alone@" not in said
