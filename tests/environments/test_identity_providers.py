"""An Administrator adds a provider for a verified domain, tries it, turns it on, off, and deletes it."""

import pytest
from django.contrib.messages import get_messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.test import Client
from django.utils import timezone
from social_django.models import UserSocialAuth

from accounts.models import SessionRecord, User
from accounts.sso.own import OwnProvider
from audit.models import Event
from environments.caller import Caller
from environments.choices import ProviderState, Role
from environments.models import IdentityProvider, Membership, Organisation
from environments.providers import services
from environments.providers.queries import as_entry, entry_of
from environments.providers.services import Connection, check_issuer
from tests.accounts.made_up_provider import running
from tests.factories import environment, member
from tests.logging_in import expire_step_up, log_in
from tests.own_providers import own_provider, verified_domain
from web.versions import ChangedMeanwhile, version_of


@pytest.fixture
def idp(settings):
    settings.OWN_PROVIDERS_ON_LOOPBACK = True
    with running() as provider:
        yield provider


@pytest.fixture
def ada(acme, client) -> User:
    """Ada administers Acme, and is logged in."""
    ada = member(acme, Role.ADMINISTRATOR, email="ada@acme.test", name="Ada")
    log_in(client, ada)
    return ada


@pytest.fixture
def draft(acme, idp) -> IdentityProvider:
    """A provider of Acme that must be tried."""
    provider = own_provider(acme, issuer=idp.address, state=ProviderState.DRAFT, tried_at=None)
    idp.backend = provider.backend_name
    return provider


def page_of(provider: IdentityProvider, act: str = "") -> str:
    return f"/acme/providers/{provider.key}/{act}"


def try_out(client: Client, draft: IdentityProvider, idp) -> IdentityProvider:
    """Try the provider as the page does, and return it as it is then."""
    answer = idp.come_back(client, idp.sent(client.post(page_of(draft, "try/"))))
    assert answer.url == page_of(draft)
    return IdentityProvider.objects.get()


def shown_messages(client: Client) -> str:
    return " ".join(str(one) for one in get_messages(client.get("/acme/providers/").wsgi_request))


def test_the_whole_way_from_nothing_to_a_log_in(client, ada, acme, idp):
    domain = verified_domain(acme)
    added = client.post("/acme/providers/", {"title": "Acme ID"})
    provider = IdentityProvider.objects.get()
    assert added.url == page_of(provider)
    page = client.get(added.url).content.decode()
    assert f"http://localhost:8000/sso/complete/{provider.backend_name}/" in page
    typed = {"title": "Acme ID", "issuer": f"{idp.address}/", "client_id": "studio", "secret": "hush"}
    client.post(added.url, {**typed, "domains": [domain.pk]})
    idp.backend = provider.backend_name
    idp.claims = {"sub": "new", "email": "new@acme.test", "email_verified": True}
    assert try_out(client, provider, idp).state == ProviderState.TRIED
    client.post(page_of(provider, "turn-on/"))
    Organisation.objects.filter(pk=acme.pk).update(auto_invite_roles=["member"])
    visitor = Client()
    idp.walk(visitor)
    assert visitor.get("/acme/").status_code == 200
    assert Membership.objects.get(user__email="new@acme.test").organisation == acme


def test_the_secret_is_sealed_for_its_row_and_shown_nowhere(client, ada, acme, draft, idp):
    other = own_provider(acme, *draft.domains.all(), issuer=idp.address, title="Other")
    assert b"hush" not in bytes(draft.secret)
    assert "hush" not in client.get(page_of(draft)).content.decode()
    to = connection(draft, secret="new-hush")
    services.change_provider(draft, to=to, by=Caller.of(ada))
    assert "hush" not in repr(to)
    assert not [event for event in Event.objects.all() if "hush" in f"{event.before}{event.after}"]
    backend = OwnProvider.of({**as_entry(IdentityProvider.objects.with_domains().get(pk=other.pk))}, None, None)
    assert backend.setting("SECRET") == "hush"
    backend.entry["sealed"] = bytes(IdentityProvider.objects.get(pk=draft.pk).secret)
    with pytest.raises(ValueError, match="another provider"):
        backend.setting("SECRET")


def connection(provider: IdentityProvider, **other: object) -> Connection:
    """What the page has, with what a test types instead."""
    shown = {
        "title": provider.title,
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "secret": "",
        "domains": frozenset(provider.domains.values_list("pk", flat=True)),
        "email_is_trusted": provider.email_is_trusted,
    }
    return Connection(**{**shown, **other})


# -- Trials ---------------------------------------------------------------------------------------
PEOPLE = {
    "nobody": "not_invited",
    "somebody who could join": "joins",
    "an unused account": "unused",
    "a used account": "link_first",
    "a linked account": "known",
    "a super user": "not_let_in",
    "a closed account": "not_let_in",
}


@pytest.mark.parametrize(("who", "outcome"), PEOPLE.items())
def test_a_trial_shows_what_a_log_in_would_do_and_does_nothing(client, ada, acme, draft, idp, who, outcome):
    if who == "somebody who could join":
        Organisation.objects.filter(pk=acme.pk).update(auto_invite_roles=["member"])
    elif who != "nobody":
        user = member(acme, Role.MEMBER, email="lea@acme.test", **({} if "used" not in who else {"password": None}))
        User.objects.filter(pk=user.pk).update(
            is_superuser=who == "a super user",
            is_active=who != "a closed account",
            last_login=timezone.now() if who == "a used account" else None,
        )
        if who == "a linked account":
            UserSocialAuth.objects.create(user=user, provider=draft.backend_name, uid="lea", id_key="sub")
    people, links = User.objects.count(), UserSocialAuth.objects.count()
    idp.claims = {"sub": "lea", "email": "lea@acme.test", "email_verified": True}
    tried = try_out(client, draft, idp)
    said = {"issuer": idp.address, "subject": "lea", "email": "lea@acme.test", "is_verified": True}
    account = "lea@acme.test" if outcome == "known" else ""
    assert tried.trial == {"outcome": outcome, "account": account, **said}
    assert tried.state == ProviderState.TRIED
    page = client.get(page_of(draft)).content.decode()
    assert "The latest trial succeeded" in page
    assert "lea@acme.test" in page
    assert (User.objects.count(), UserSocialAuth.objects.count()) == (people, links)
    assert SessionRecord.objects.get().user == ada  # and nobody else was logged in


FAILING = {
    "no_email": {"email": None},
    "unverified": {"email": "lea@acme.test", "email_verified": False},
    "other_domain": {"email": "lea@globex.test", "email_verified": True},
    "failed": {"aud": "somebody else"},
}


@pytest.mark.parametrize(("outcome", "claims"), FAILING.items())
def test_a_trial_that_fails_says_why_and_leaves_the_provider_to_be_tried(client, ada, draft, idp, outcome, claims):
    idp.claims = {"sub": "lea", **claims}
    tried = try_out(client, draft, idp)
    assert (tried.trial["outcome"], tried.state) == (outcome, ProviderState.DRAFT)
    assert "The latest trial failed" in client.get(page_of(draft)).content.decode()
    with pytest.raises(ValidationError):
        services.turn_on(draft, by=Caller.of(ada))


def test_a_provider_that_does_not_answer_fails_its_trial(client, ada, draft, idp):
    IdentityProvider.objects.update(issuer="https://127.0.0.1:1")
    assert client.post(page_of(draft, "try/")).url == page_of(draft)
    assert IdentityProvider.objects.get().trial == {"outcome": "failed", "reason": "connection_failed (begin)"}


def test_a_trial_asks_for_the_discovery_document_again(client, ada, draft, idp):
    try_out(client, draft, idp)
    asked = idp.asked.count("/.well-known/openid-configuration")
    try_out(client, draft, idp)
    assert idp.asked.count("/.well-known/openid-configuration") == asked + 1


def test_a_trial_of_what_was_changed_meanwhile_does_not_count(client, ada, draft, idp):
    idp.claims = {"email": "lea@acme.test", "email_verified": True}
    query = idp.sent(client.post(page_of(draft, "try/")))
    entry = entry_of(draft.key)
    IdentityProvider.objects.update(client_id="another")
    with pytest.raises(ValidationError, match="changed during the trial"):
        services.record_trial(
            draft, {"outcome": "known"}, has_passed=True, of=entry, by=Caller.of(ada), now=timezone.now()
        )
    IdentityProvider.objects.update(client_id="studio")
    services.delete_provider(draft, by=Caller.of(ada), now=timezone.now())
    assert idp.come_back(client, query).status_code == 404


def test_a_trial_counts_for_administrators_alone(client, ada, acme, draft, idp):
    idp.claims = {"email": "lea@acme.test", "email_verified": True}
    query = idp.sent(client.post(page_of(draft, "try/")))
    Membership.objects.update(roles=[Role.ORGANISATION_MANAGER])
    assert client.get(idp.come_back(client, query).url).status_code == 403
    assert IdentityProvider.objects.get().trial is None


def test_a_failed_trial_turns_no_provider_off_that_is_on(client, ada, draft, idp):
    IdentityProvider.objects.update(state=ProviderState.ON, tried_at=timezone.now())
    idp.claims = {"email": "lea@globex.test", "email_verified": True}
    assert try_out(client, draft, idp).state == ProviderState.ON


def test_trials_are_limited(client, ada, draft, idp):
    for _try in range(21):
        answer = client.post(page_of(draft, "try/"))
    assert answer.url == page_of(draft)
    assert "Too many tries" in shown_messages(client)


# -- On, off, changed, deleted --------------------------------------------------------------------
def test_a_provider_that_is_on_cannot_be_changed(acme, ada):
    provider = own_provider(acme)
    with pytest.raises(ValidationError, match="Turn the provider off before you change it"):
        services.change_provider(provider, to=connection(provider, client_id="another"), by=Caller.of(ada))


CHANGED = {
    "issuer": "https://other.acme.test",
    "client_id": "another",
    "secret": "another",
    "email_is_trusted": True,
    "domains": None,
}


@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.parametrize("state", [ProviderState.TRIED, ProviderState.OFF])
def test_what_changes_the_connection_has_to_be_tried_again(acme, ada, name, state):
    provider = own_provider(acme, state=state)
    value = CHANGED[name] or frozenset([verified_domain(acme, "acme-two.test").pk])
    services.change_provider(provider, to=connection(provider, **{name: value}), by=Caller.of(ada))
    now = IdentityProvider.objects.get()
    assert (now.state, now.tried_at) == (ProviderState.DRAFT, None)


def test_another_name_has_to_be_tried_by_nobody(acme, ada):
    provider = own_provider(acme, state=ProviderState.OFF)
    services.change_provider(provider, to=connection(provider, title="Our ID"), by=Caller.of(ada))
    now = IdentityProvider.objects.get()
    assert (now.title, now.state) == ("Our ID", ProviderState.OFF)


def test_another_issuer_takes_over_no_linked_identity(acme, ada):
    provider = own_provider(acme, state=ProviderState.OFF)
    UserSocialAuth.objects.create(user=ada, provider=provider.backend_name, uid="ada", id_key="sub")
    with pytest.raises(ValidationError, match="have linked identities of the present issuer"):
        services.change_provider(provider, to=connection(provider, issuer="https://evil.test"), by=Caller.of(ada))


@pytest.mark.parametrize("whose", ["unverified", "another's", "none"])
def test_a_provider_is_for_verified_domains_of_its_organisation_alone(acme, ada, whose):
    provider = own_provider(acme, state=ProviderState.OFF)
    domain = verified_domain(environment(name="Globex") if whose == "another's" else acme, "globex.test")
    if whose == "unverified":
        type(domain).objects.filter(pk=domain.pk).update(verified_at=None)
    chosen = frozenset() if whose == "none" else frozenset([domain.pk])
    with pytest.raises(ValidationError, match="Choose at least one domain"):
        services.change_provider(provider, to=connection(provider, domains=chosen), by=Caller.of(ada))


def test_a_domain_that_two_organisations_claim_is_that_of_the_one_that_verified_it(acme, ada):
    provider = own_provider(acme)
    theirs = environment(name="Globex")
    claimed = theirs.domains.create(domain="acme.test", token="token")
    other = own_provider(theirs, claimed, title="Globex ID")
    assert entry_of(provider.key)["domains"] == ["acme.test"]
    assert (entry_of(other.key)["domains"], entry_of(other.key)["is_on"]) == ([], False)


def test_the_second_of_two_people_who_change_it_reads_what_the_first_did(acme, ada):
    provider = own_provider(acme, state=ProviderState.OFF)
    seen = version_of(services.as_shown(provider))
    services.change_provider(provider, to=connection(provider, client_id="one"), by=Caller.of(ada), seen=seen)
    with pytest.raises(ChangedMeanwhile, match="changed the identity provider"):
        services.change_provider(provider, to=connection(provider, client_id="two"), by=Caller.of(ada), seen=seen)


def test_one_provider_at_a_time_is_on_for_a_domain(acme, ada):
    first = own_provider(acme)
    second = own_provider(acme, *first.domains.all(), title="Second", state=ProviderState.TRIED)
    with pytest.raises(ValidationError, match="Acme ID is on for the same domain"):
        services.turn_on(second, by=Caller.of(ada))
    services.turn_off(first, by=Caller.of(ada), now=timezone.now())
    services.turn_on(second, by=Caller.of(ada))
    assert entry_of(second.key)["is_on"]


def test_a_provider_without_a_verified_domain_is_not_turned_on(acme, ada):
    provider = own_provider(acme, state=ProviderState.TRIED)
    acme.domains.update(verified_at=None, proof="")
    with pytest.raises(ValidationError, match="None of its domains is verified any more"):
        services.turn_on(provider, by=Caller.of(ada))


@pytest.mark.parametrize(
    "issuer",
    [
        *("http://idp.acme.test", "idp.acme.test", "https://", "https://idp.acme.test?x=1", "https://idp.acme.test#x"),
        *("https://me:secret@idp.acme.test", "https://idp.acme.test:port", "javascript:alert(1)"),
        *(f"https://login.microsoftonline.com/{each}/v2.0" for each in ("common", "organizations", "consumers")),
    ],
)
def test_what_can_be_no_issuer_is_refused(settings, issuer):
    settings.OWN_PROVIDERS_ON_LOOPBACK = False
    with pytest.raises(ValidationError):
        check_issuer(issuer)


TENANT = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("typed", "stored", "kind", "tenant"),
    [
        ("https://accounts.google.com/", "https://accounts.google.com", "google", ""),
        (
            f"https://login.microsoftonline.com/{TENANT}/v2.0/.well-known/openid-configuration",
            f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "entra",
            TENANT,
        ),
        (
            f" https://login.microsoftonline.us/{TENANT}/v2.0",
            f"https://login.microsoftonline.us/{TENANT}/v2.0",
            "entra",
            TENANT,
        ),
        ("https://acme.okta.com", "https://acme.okta.com", "oidc", ""),
        (
            f"https://login.microsoftonline.com.evil.test/{TENANT}/v2.0",
            f"https://login.microsoftonline.com.evil.test/{TENANT}/v2.0",
            "oidc",
            "",
        ),
    ],
)
def test_the_issuer_says_what_a_provider_is(typed, stored, kind, tenant):
    provider = IdentityProvider(issuer=check_issuer(typed))
    assert (provider.issuer, provider.kind, provider.tenant) == (stored, kind, tenant)


def test_each_act_is_recorded(acme, ada, draft, client, idp):
    by = Caller.of(ada)
    idp.claims = {"email": "lea@acme.test", "email_verified": True}
    try_out(client, draft, idp)
    services.turn_on(draft, by=by)
    services.turn_off(draft, by=by, now=timezone.now())
    services.change_provider(draft, to=connection(draft, secret="new"), by=by)
    services.delete_provider(draft, by=by, now=timezone.now())
    actions = Event.objects.filter(action__startswith="identity_provider.").order_by("pk")
    acts = ["tried", "turned_on", "turned_off", "changed", "deleted"]
    assert [event.action.partition(".")[2] for event in actions] == acts
    assert {(event.organisation_id, event.subject_label) for event in actions} == {(acme.pk, "Acme ID")}


def test_acts_need_a_session_that_is_stepped_up(client, ada, draft):
    expire_step_up()
    for act in ("", "try/", "turn-on/", "turn-off/", "delete/"):
        assert client.post(page_of(draft, act)).url.startswith("/profile/security/confirm/")
    assert client.post("/acme/providers/", {"title": "Second"}).url.startswith("/profile/security/confirm/")
    assert IdentityProvider.objects.count() == 1


@pytest.mark.parametrize("role", [Role.ORGANISATION_MANAGER, Role.ENVIRONMENT_MANAGER, Role.DEVELOPER, Role.MEMBER])
def test_services_refuse_everybody_but_administrators(acme, role):
    provider, by = own_provider(acme), Caller.of(member(acme, role))
    for act in (
        lambda: services.add_provider(acme, title="x", by=by, now=timezone.now()),
        lambda: services.change_provider(provider, to=connection(provider), by=by),
        lambda: services.turn_on(provider, by=by),
        lambda: services.turn_off(provider, by=by, now=timezone.now()),
        lambda: services.delete_provider(provider, by=by, now=timezone.now()),
    ):
        with pytest.raises(PermissionDenied):
            act()


def test_another_organisations_provider_is_not_found(client, ada):
    theirs = own_provider(environment(name="Globex"))
    for act in ("", "turn-off/", "delete/"):
        assert client.get(page_of(theirs, act)).status_code == 404
    for act in ("", "try/", "turn-on/", "turn-off/", "delete/"):
        assert client.post(page_of(theirs, act)).status_code == 404


def test_turning_off_names_what_ends(client, ada, acme):
    provider = own_provider(acme)
    UserSocialAuth.objects.create(user=ada, provider=provider.backend_name, uid="ada", id_key="sub")
    basis = {"provider": provider.backend_name}
    SessionRecord.objects.create(user=ada, key_hash="x", opened_by="sso", backend="accounts.oidc.Own_oidc", basis=basis)
    page = client.get(page_of(provider, "turn-off/"))
    assert (page.context["users"].identities, page.context["users"].sessions) == (1, 1)
    client.post(page_of(provider, "turn-off/"))
    assert "Acme ID is off. 1 session has ended." in shown_messages(client)


def test_a_provider_is_deleted_once_its_name_is_typed(client, ada, acme):
    provider = own_provider(acme)
    client.post(page_of(provider, "delete/"), {"name": "Acme"})
    assert IdentityProvider.objects.count() == 1
    client.post(page_of(provider, "delete/"), {"name": "Acme ID"})
    assert IdentityProvider.objects.count() == 0


@pytest.mark.parametrize("count", [1, 10])
def test_the_list_costs_the_same_for_any_number(client, ada, acme, count, django_assert_max_num_queries):
    domain = verified_domain(acme)
    for number in range(count):
        own_provider(acme, domain, title=f"Provider {number}", state=ProviderState.OFF)
    with django_assert_max_num_queries(14) as asked:
        assert len(client.get("/acme/providers/").context["providers"]) == count
    assert sum("environments_identityprovider" in query["sql"] for query in asked.captured_queries) == 1
