"""Log-ins through an organisation's own provider: trusted for its verified domains and its own people, nobody else."""

import time
from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone
from social_django.models import UserSocialAuth

from accounts.models import SessionRecord, User
from accounts.requirement import complies
from accounts.sessions.services import end_without_basis
from environments.caller import SYSTEM
from environments.choices import ProviderState
from environments.models import IdentityProvider, Membership, Organisation, OrganisationDomain
from environments.providers.services import delete_provider, turn_off
from environments.tree.services import suspend
from tests.accounts.conftest import open_invitation, require_mfa
from tests.accounts.made_up_provider import running, where_sent
from tests.factories import environment, member
from tests.logging_in import code, give_app, is_let_in
from tests.own_providers import own_provider, verified_domain


@pytest.fixture
def idp(settings):
    """A provider that says what a test wants."""
    settings.OWN_PROVIDERS_ON_LOOPBACK = True
    with running() as provider:
        yield provider


@pytest.fixture
def own(idp, strict) -> IdentityProvider:
    """Acme's own provider, which is on for acme.test; Acme requires MFA."""
    provider = own_provider(strict, issuer=idp.address)
    idp.backend = provider.backend_name
    return provider


@pytest.fixture
def lea(own, strict) -> User:
    """Lea logs in through Acme's own provider alone."""
    lea = member(strict, email="lea@acme.test", password=None)
    link(lea, own)
    return lea


def link(user: User, provider: IdentityProvider, uid: str = "sam") -> None:
    UserSocialAuth.objects.create(user=user, provider=provider.backend_name, uid=uid, id_key="sub")


def shown_message(client: Client) -> str:
    return " ".join(str(one) for one in get_messages(client.get("/login/").wsgi_request))


def test_people_log_in_through_it_and_are_asked_for_no_factor(client, lea, idp):
    assert idp.walk(client).url == "/"
    assert is_let_in(client)
    assert SessionRecord.objects.get().opened_by == "sso"


def test_it_is_found_by_the_domain_of_an_address(client, lea, idp):
    begun = client.post("/login/organisation/?next=/profile/security/", {"email": "Lea@Acme.test"})
    query = idp.sent(begun)
    assert where_sent(begun).startswith(f"{idp.address}/authorize?")
    assert query["login_hint"] == ["Lea@acme.test"]
    assert idp.come_back(client, query).url == "/profile/security/"
    assert is_let_in(client)


def test_finding_it_reveals_nobody(client, lea, idp):
    pages = [client.post("/login/organisation/", {"email": email}) for email in ("lea@acme.test", "no@acme.test")]
    bodies = {where_sent(page).split("?")[0] for page in pages}
    assert (bodies, [page.status_code for page in pages]) == ({f"{idp.address}/authorize"}, [200, 200])
    member(environment(), email="known@globex.test")
    pages = [
        client.post("/login/organisation/", {"email": email}).context["form"].errors
        for email in ("known@globex.test", "no@globex.test")
    ]
    assert pages[0] == pages[1] != {}


@pytest.mark.parametrize("state", [ProviderState.DRAFT, ProviderState.TRIED, ProviderState.OFF])
def test_nobody_logs_in_through_one_that_is_not_on(client, own, lea, idp, state):
    IdentityProvider.objects.update(state=state)
    assert client.post(f"/sso/login/{own.backend_name}/").status_code == 404
    assert "email" in client.post("/login/organisation/", {"email": "lea@acme.test"}).context["form"].errors


@pytest.mark.parametrize("name", ["own-", "own-oidc", "own-google", "own-entra", "own-0123456789abcdef01234567", "own"])
def test_a_backend_without_a_provider_is_not_found(client, db, name):
    assert client.post(f"/sso/login/{name}/").status_code == 404
    assert client.get(f"/sso/complete/{name}/?state=x&code=y").status_code == 404


def test_turned_off_between_the_way_there_and_back_it_logs_nobody_in(client, own, lea, idp):
    query = idp.begin(client)
    IdentityProvider.objects.update(state=ProviderState.OFF)
    idp.come_back(client, query)
    assert "This provider is switched off" in shown_message(client)
    assert not is_let_in(client)


def test_turned_off_its_sessions_end_at_the_next_request_and_stay_ended(client, own, lea, idp, ada):
    from environments.caller import Caller

    idp.walk(client)
    assert turn_off(own, by=Caller.of(ada), now=timezone.now()) == 1
    assert not is_let_in(client)
    IdentityProvider.objects.update(state=ProviderState.ON)
    assert not is_let_in(client)


def ends_proof(own: IdentityProvider) -> None:
    OrganisationDomain.objects.update(verified_at=None, proof="")


def ends_domain(own: IdentityProvider) -> None:
    OrganisationDomain.objects.all().delete()


def ends_pin(own: IdentityProvider) -> None:
    own.domains.set([verified_domain(own.organisation, "other.test")])


def moves_domain(own: IdentityProvider) -> None:
    OrganisationDomain.objects.update(organisation=environment(name="Globex"))


def ends_organisation(own: IdentityProvider) -> None:
    suspend(own.organisation, by=SYSTEM, now=timezone.now())


def changes_issuer(own: IdentityProvider) -> None:
    IdentityProvider.objects.update(issuer="https://idp.evil.test")


def changes_client(own: IdentityProvider) -> None:
    IdentityProvider.objects.update(client_id="another")


def changes_address(own: IdentityProvider) -> None:
    User.objects.filter(email="lea@acme.test").update(email="lea@globex.test")


def makes_super_user(own: IdentityProvider) -> None:
    User.objects.filter(email="lea@acme.test").update(is_superuser=True)


ENDS = [ends_proof, ends_domain, ends_pin, moves_domain, ends_organisation]
CHANGES = [changes_issuer, changes_client, changes_address, makes_super_user]


@pytest.mark.parametrize("end", [*ENDS, *CHANGES], ids=lambda one: one.__name__)
def test_what_no_longer_holds_ends_its_sessions_at_the_next_request(client, own, lea, idp, end):
    idp.walk(client)
    assert is_let_in(client)
    end(own)
    assert not is_let_in(client)


@pytest.mark.parametrize("end", [*ENDS, *CHANGES], ids=lambda one: one.__name__)
def test_what_no_longer_holds_ends_sessions_that_send_nothing_too(client, own, lea, idp, end):
    idp.walk(client)
    end(own)
    assert end_without_basis(now=timezone.now()) == 1


def test_sessions_that_hold_are_not_ended(client, own, lea, idp):
    idp.walk(client)
    assert end_without_basis(now=timezone.now()) == 0


@pytest.mark.parametrize("end", [*ENDS, changes_address, makes_super_user], ids=lambda one: one.__name__)
def test_what_no_longer_holds_lets_nobody_in(client, own, lea, idp, end):
    end(own)
    if end in ENDS and end != ends_pin:
        assert client.post(f"/sso/login/{own.backend_name}/").status_code == 404
    else:
        idp.walk(client)
        assert "of its own domains only, and no super users" in shown_message(client)
    assert not is_let_in(client)


def test_people_of_the_domain_join_through_it_with_the_auto_invite_roles(client, own, idp):
    Organisation.objects.filter(pk=own.organisation_id).update(auto_invite_roles=["member"])
    idp.claims = {"sub": "new", "email": "new@acme.test", "email_verified": True}
    idp.walk(client)
    assert is_let_in(client)
    assert Membership.objects.get(user__email="new@acme.test").roles == ["member"]


def test_an_invitation_is_accepted_through_it(client, own, invitation, idp):
    open_invitation(client)
    idp.claims = {"sub": "ivy", "email": "ivy@acme.test", "email_verified": True}
    idp.walk(client)
    assert is_let_in(client)


@pytest.mark.parametrize("address", ["ivy@globex.test", "ivy@sub.acme.test", "ivy@acme.test.globex.test", "ivy"])
def test_it_speaks_for_no_domain_but_its_own(client, own, invitation, idp, address):
    type(invitation).objects.update(email=address)
    Organisation.objects.filter(pk=own.organisation_id).update(auto_invite_roles=["member"])
    verified_domain(environment(name="Globex"), "globex.test")
    Organisation.objects.filter(name="Globex").update(auto_invite_roles=["member"])
    open_invitation(client)
    people = User.objects.count()
    idp.claims = {"sub": "ivy", "email": address, "email_verified": True}
    idp.walk(client)
    assert not is_let_in(client)
    assert User.objects.count() == people


@pytest.mark.parametrize("verified", [False, "true", None, 1])
def test_an_address_that_it_does_not_call_verified_counts_only_where_its_addresses_are_trusted(
    client, own, idp, verified
):
    Organisation.objects.filter(pk=own.organisation_id).update(auto_invite_roles=["member"])
    idp.claims = {"sub": "new", "email": "new@acme.test", "email_verified": verified}
    idp.walk(client)
    assert not is_let_in(client)
    IdentityProvider.objects.update(email_is_trusted=True)
    idp.walk(client)
    assert is_let_in(client)


def test_an_account_that_somebody_uses_has_to_link_it_first(client, own, ada, idp):
    idp.claims = {"sub": "thief", "email": ada.email, "email_verified": True}
    idp.walk(client)
    assert not is_let_in(client)
    assert UserSocialAuth.objects.count() == 0
    assert "Log in as before, then link this provider" in shown_message(client)


def test_people_of_the_domain_link_it_under_security(client, own, ada, idp):
    give_app(ada)
    client.force_login(ada)
    SessionRecord.objects.update(factor="accounts.totpdevice/1", factor_at=timezone.now(), stepped_up_at=timezone.now())
    SessionRecord.objects.update(factor=ada.totpdevice_set.get().persistent_id)
    assert "Acme ID" in client.get("/profile/security/").content.decode()
    idp.walk(client, {"purpose": "link"})
    assert UserSocialAuth.objects.get().user == ada


def test_people_of_other_domains_can_neither_see_nor_link_it(client, own, acme, idp):
    require_mfa(acme, "off")
    vic = member(acme, email="vic@globex.test")
    client.force_login(vic)
    SessionRecord.objects.update(stepped_up_at=timezone.now())
    assert "Acme ID" not in client.get("/profile/security/").content.decode()
    idp.walk(client, {"purpose": "link"})
    assert UserSocialAuth.objects.count() == 0


def test_a_super_user_can_neither_link_it_nor_log_in_through_it(client, own, lea, idp):
    lea.is_superuser = True
    lea.save()
    idp.walk(client)
    assert SessionRecord.objects.count() == 0


def test_a_subject_of_another_provider_is_somebody_else(client, own, lea, idp, settings, ada):
    theirs = environment(name="Globex")
    other = own_provider(theirs, verified_domain(theirs, "globex.test"), issuer=idp.address, title="Globex ID")
    idp.backend = other.backend_name
    idp.claims = {"email": "lea@globex.test", "email_verified": True}
    idp.walk(client)
    assert not is_let_in(client)
    settings.OIDC_PROVIDERS = [{**settings.OIDC_PROVIDERS[0], "endpoint": idp.address}]
    idp.backend = "oidc-acme"
    idp.walk(client)
    assert not is_let_in(client)
    assert UserSocialAuth.objects.count() == 1


def test_an_answer_to_one_provider_brought_to_another_is_refused(client, own, lea, idp):
    theirs = environment(name="Globex")
    other = own_provider(theirs, verified_domain(theirs, "globex.test"), issuer=idp.address, title="Globex ID")
    idp.backend = other.backend_name
    query = idp.begin(client)
    idp.backend = own.backend_name
    idp.come_back(client, query)
    assert not is_let_in(client)


@pytest.fixture
def elsewhere(lea) -> Organisation:
    """Another customer's environment that Lea is a member of too."""
    globex = environment(name="Globex")
    Membership.objects.create(user=lea, organisation=globex, roles=["member"], accepted_at=timezone.now())
    return globex


def test_for_people_with_access_elsewhere_it_replaces_no_second_factor(client, lea, elsewhere, idp):
    idp.walk(client)
    assert client.get("/profile/security/").url.startswith("/enrol/")
    assert not complies(lea)


def test_for_people_with_access_elsewhere_it_counts_like_a_password(client, lea, acme, elsewhere, idp):
    require_mfa(acme, "off")
    idp.walk(client)
    assert is_let_in(client)
    give_app(lea)
    assert client.get("/profile/security/").url.startswith("/verify/")
    client.post("/verify/", {"code": code()})
    assert is_let_in(client)


def test_access_elsewhere_that_has_ended_does_not_count(client, lea, elsewhere, idp):
    Membership.objects.filter(organisation=elsewhere).update(expires_at=timezone.now() - timedelta(days=1))
    idp.walk(client)
    assert is_let_in(client)
    assert complies(lea)


def test_access_below_the_organisation_is_no_access_elsewhere(client, own, lea, acme, idp):
    agency = acme.get_parent()
    OrganisationDomain.objects.update(organisation=agency)
    IdentityProvider.objects.update(organisation=agency)
    idp.walk(client)
    assert is_let_in(client)


def test_access_above_the_organisation_is_access_elsewhere(client, own, lea, acme, idp):
    Membership.objects.create(user=lea, organisation=acme.get_parent(), roles=["member"], accepted_at=timezone.now())
    idp.walk(client)
    assert not is_let_in(client)


def test_access_elsewhere_that_is_given_bites_at_the_next_request(client, lea, idp):
    idp.walk(client)
    assert is_let_in(client)
    Membership.objects.create(user=lea, organisation=environment(), roles=["member"], accepted_at=timezone.now())
    assert not is_let_in(client)


def test_a_fresh_log_in_through_it_confirms_the_identity_of_its_own_people(client, lea, idp):
    idp.claims = {"auth_time": int(time.time()) - 3600}
    idp.walk(client)
    assert client.post("/profile/security/recovery-codes/").url.startswith("/profile/security/confirm/")
    idp.claims = {"auth_time": int(time.time())}
    idp.walk(client, {"purpose": "step up"})
    assert not client.post("/profile/security/recovery-codes/").url.startswith("/profile/security/confirm/")


def test_it_confirms_the_identity_of_nobody_with_access_elsewhere(client, lea, acme, elsewhere, idp):
    require_mfa(acme, "off")
    idp.claims = {"auth_time": int(time.time())}
    idp.walk(client)
    assert is_let_in(client)
    idp.walk(client, {"purpose": "step up"})
    page = client.get(client.post("/profile/security/recovery-codes/").url)
    assert page.context["needs_factor"]
    assert page.context["provider"] is None


def test_keys_of_people_who_log_in_through_it_alone_work_while_it_is_on(lea, own):
    assert complies(lea)
    IdentityProvider.objects.update(state=ProviderState.OFF)
    assert not complies(lea)


def test_logging_out_names_it(client, lea, idp):
    idp.discovery["end_session_endpoint"] = f"{idp.address}/bye"
    idp.walk(client)
    client.post("/logout/")
    assert "You are still logged in at Acme ID" in shown_message(client)


def test_a_deleted_provider_ends_its_sessions_and_leaves_no_identity(client, own, lea, idp, ada):
    from environments.caller import Caller

    idp.walk(client)
    delete_provider(own, by=Caller.of(ada), now=timezone.now())
    assert not is_let_in(client)
    assert UserSocialAuth.objects.count() == 0
