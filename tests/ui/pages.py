"""Every page of Studio: who opens it, at which address, and in which states.

A new view that answers GET with a page goes into the function of a person below; any other into ``NO_PAGE``. To test
something of all pages, use the fixture ``world``, and go through ``visit(page, world, who)`` for each of ``PEOPLE``. To
test what long names do to them, use the world of ``fill_lists``, and the states ``FULL``.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.test import Client
from django.urls import Resolver404, resolve, reverse
from playwright.sync_api import Page

from accounts.models import SessionRecord, User
from accounts.passwords.services import path_to_set
from tests.accounts.conftest import MAILED_CODE
from tests.browser import log_in_page, set_cookie
from tests.logging_in import code, give_password
from tests.mailbox import sent_mails
from tests.ui.world import TOKEN, World

Act = Callable[[Page], object]
FULL = ("", "of an agency", "filtered", "done")  # the states in which pages show all that there is
# Views that draw no page of their own, and what they answer instead.
NO_PAGE = {
    "they take POST alone": {
        *("accounts:end-session", "accounts:logout", "archival:cancel-change", "change-deletion"),
        *("agencies:change-digest", "agencies:resume", "environments:answer-access-request"),
        "archival:start-exports",
        *("environments:ask-access", "environments:check-domain", "environments:impersonate"),
        *("environments:stop-impersonation", "environments:take-over-organisation-key"),
        *("environments:try-provider", "environments:turn-on-provider"),
        *("otp_webauthn:credential-authentication-begin", "otp_webauthn:credential-authentication-complete"),
        *("otp_webauthn:credential-authentication-offer", "otp_webauthn:credential-registration-begin"),
        *("otp_webauthn:credential-registration-complete",),
        *("set_language", "social:begin", "studio:theme"),
    },
    "JSON, a file or plain text": {
        *("agencies:bulk-change-csv", "agencies:compliance-csv", "agencies:compliance-trend-csv"),
        *("agencies:environments-csv", "agencies:usage-csv", "agencies:users-csv"),
        *("api:organisation", "api:organisation-settings", "api:organisations", "api:schema"),
        "archival:download-export",
        *("archival:erasure-signed", "archival:receipts-csv", "archival:receipts-json", "archival:receipts-signed"),
        *("conversation-detail", "conversation-list", "conversation-messages", "conversations:attachment"),
        *(
            "conversations:export-contact",
            "conversations:text",
            "environments:export-audit",
            "environments:export-audit-ndjson",
            "environments:export-platform-audit",
            "environments:export-platform-audit-ndjson",
            "healthz",
            "metrics",
        ),
        *("otp_webauthn:js-i18n-catalog", "readyz", "receipts-public-key"),
    },
    "a redirect": {"accounts:find-change-password", "social:complete", "start"},
    "a part of another page": {"accounts:dev-mail-html", "agencies:bulk-change-progress", "archival:progress"},
}


class Shown(NamedTuple):
    """A page in a state: ``act`` leads from ``address`` to it."""

    view: str
    address: str
    state: str = ""
    act: Act | None = None
    status: int = 200

    @property
    def name(self) -> str:
        return f"{self.view} {self.state}".strip().replace(":", "-").replace(" ", "-")

    def open(self, page: Page) -> None:
        """Open the page; raises ``AssertionError`` if another one is shown, such as one that asks to log in."""
        response = page.goto(self.address)
        assert response is not None
        assert response.status == self.status, f"{self.name}: {response.status} at {self.address}"
        if self.act:
            self.act(page)
        assert view_at(page.url) == self.view, f"{self.name}: {page.url}"


def view_at(address: str) -> str:
    try:
        return resolve(urlsplit(address).path).view_name
    except Resolver404:
        return "404"


def visit(page: Page, world: World, who: str, *, states: Collection[str] | None = None) -> Iterator[Shown]:
    """Open each page of one of ``PEOPLE`` in ``page``, or those in ``states`` alone, and yield what it shows then."""
    begin, pages = PEOPLE[who]
    begin(page, world)
    for shown in pages(world):
        if states is None or shown.state in states:
            shown.open(page)
            yield shown


def membership_of(user: User) -> int:
    pk: int = user.memberships.order_by("pk").values_list("pk", flat=True)[0]
    return pk


def at(
    view: str,
    state: str = "",
    *,
    begin: str = "",
    query: str = "",
    act: Act | None = None,
    status: int = 200,
    **kwargs: Any,
) -> Shown:
    """Return a page by its view; ``act`` leads to it from the view ``begin`` with the same arguments."""
    return Shown(view, f"{reverse(begin or view, kwargs=kwargs)}{query}", state, act, status)


def send(button: str, **fields: str | bool) -> Act:
    """Return what fills in fields by their names or ids, and presses the button."""

    def act(page: Page) -> None:
        main = page.get_by_role("main")
        for name, value in fields.items():
            field = main.locator(f"[name={name}]:visible, #{name}").first
            field.set_checked(value) if isinstance(value, bool) else field.fill(value)
        with page.expect_navigation():
            main.get_by_role("button", name=button).first.click()

    return act


def send_password(page: Page, user: User) -> None:
    """Give the page the session of somebody who sent their password, whatever comes next for them."""
    client = Client()
    give_password(client, user)
    set_cookie(page, settings.SESSION_COOKIE_NAME, client.cookies[settings.SESSION_COOKIE_NAME].value)


# -- Who is not logged in ------------------------------------------------------------------------------


def of_stranger(world: World) -> Iterator[Shown]:
    key, token = path_to_set(world.vic).strip("/").split("/")[-2:]
    yield at("accounts:login")
    yield at("accounts:login", "refused", act=send("Log in", email=world.vic.email, password="Wrong-Horse-9"))
    yield at("accounts:organisation-log-in")
    yield at("accounts:organisation-log-in", "refused", act=send("Continue", email="nina@no-such.example"))
    yield at("accounts:reset-password")
    yield at("accounts:reset-password-sent")
    yield at("accounts:set-password", key=key, token=token)
    yield at("accounts:set-password", "over", key=key, token="x", status=410)
    yield at("environments:invitation", token=TOKEN)
    yield at("environments:invitation", "over", token="x", status=404)
    yield at("environments:invitation-link", token=TOKEN)
    yield at("environments:invitation-link", "refused", act=send("Mail me the link", email="new@"), token=TOKEN)
    yield at("environments:invitation-link", "over", token="x", status=404)
    yield at("environments:invitation-link-sent")
    yield at("environments:join")
    yield at("environments:join-sent")
    yield at("accounts:dev-mailbox")
    yield at("accounts:dev-mail", key=world.mail)
    yield Shown("404", "/nothing/at/all/", status=404)


def of_lea(world: World) -> Iterator[Shown]:
    """Lea sent her password, and has to set up a second factor."""
    yield at("accounts:enrol", "mailbox")
    yield at("accounts:enrol", "app", act=lambda page: send("Continue", mailcode=mailed_code())(page))
    yield at("accounts:enrol", "refused", act=send("Confirm", appcode="000000"))


def of_leo(world: World) -> Iterator[Shown]:
    """Leo has sent the password, and has an app."""
    yield at("accounts:verify")
    yield at("accounts:verify", "refused", act=send("Verify", code="000000"))
    yield at("accounts:verify", "recovery code", query="?with=recovery")


def mailed_code() -> str:
    found: str = MAILED_CODE.findall(sent_mails()[-1].body)[0]
    return found


# -- Who is logged in ----------------------------------------------------------------------------------


def of_ada(world: World) -> Iterator[Shown]:
    """Ada administers the agency, and so everything of Acme."""
    yield from of_account(world)
    yield from of_environment(world)
    yield from of_conversations(world)
    yield from of_retention(world)
    yield from of_agency(world)


def of_account(world: World) -> Iterator[Shown]:
    device = f"?device={world.app.persistent_id}"
    yield at("accounts:profile")
    yield at("accounts:change-email")
    yield at("accounts:confirm-email", token=TOKEN)
    yield at("accounts:security")
    yield at("accounts:step-up")
    yield at("accounts:change-password")
    yield at("accounts:change-password", "refused", act=send("Change", password="a", again="b"))
    yield at("accounts:remove-factor", query=device)
    yield at("accounts:rename-factor", query=device)
    yield at("accounts:unlink-identity", query=f"?identity={world.identity.pk}")
    yield at("accounts:end-other-sessions")
    yield at("accounts:enrol", "another app")
    yield at("accounts:make-recovery-codes")
    show = send("Show the codes")
    yield at("accounts:new-recovery-codes", "new", begin="accounts:make-recovery-codes", act=show)
    yield at("environments:api-keys")
    yield at("environments:api-keys", "new key", act=send("Create the key", name="Import"))
    yield at("environments:revoke-api-key", uuid=world.key.uuid)
    yield at("studio:switch")
    yield at("studio:switch", "nothing found", query="?q=nothing-like-it")


def of_environment(world: World) -> Iterator[Shown]:
    ann, vic = membership_of(world.ann), membership_of(world.vic)
    yield at("environments:home", slug="acme")
    yield at("environments:home", "empty", slug="fresh")
    yield at("environments:members", slug="acme")
    yield at("environments:members", "nobody found", query="?q=nobody", slug="acme")
    yield at("environments:members", "refused", act=send("Send the invitation", email="new@"), slug="acme")
    yield at("environments:member", slug="acme", pk=vic)
    yield at("environments:member", "administrator", slug="acme", pk=ann)
    yield at("environments:remove-member", slug="acme", pk=ann)
    yield at("environments:reset-factors", slug="acme", pk=ann)
    people = "nina@new.example,member\nvic@acme.example,member\nnobody,member\notto@new.example,member,2040-03-05"
    yield at("environments:invite-list", slug="acme")
    yield at("environments:invite-list", "preview", act=send("Check the list", lines=people), slug="acme")
    yield at("environments:invite-list", "refused", act=send("Check the list", lines=" "), slug="acme")
    yield at("environments:invitation-links", slug="acme")
    yield at("environments:invitation-links", "empty", slug="fresh")
    yield at("environments:invitation-links", "new link", act=send("Create the link", id_roles_4=True), slug="acme")
    yield at("environments:revoke-invitation-link", slug="acme", pk=world.invitation_link.pk)
    yield at("environments:change-invitation", slug="acme", pk=world.invitation.pk)
    yield at("environments:access-requests", slug="acme")
    yield at("environments:access-requests", "empty", slug="fresh")
    yield at("environments:organisation-keys", slug="acme")
    yield at("environments:organisation-keys", "empty", slug="fresh")
    yield at("environments:organisation-keys", "new key", act=send("Create", name="I", id_roles_0=True), slug="acme")
    for state, key in (("", world.organisation_key), ("of a member", world.key_of_ann)):
        yield at("environments:revoke-organisation-key", state, slug="acme", uuid=key.uuid)
    yield at("environments:providers", slug="acme")
    yield at("environments:providers", "empty", slug="fresh")
    yield at("environments:providers", "refused", act=send("Add the provider", title=" "), slug="acme")
    for state, provider in world.providers.items():
        yield at("environments:provider", state, slug=provider.organisation.slug, key=provider.key)
    provider = world.providers[""]
    yield at("environments:provider", "refused", act=send("Save", issuer="x"), slug="acme", key=provider.key)
    yield at("environments:turn-off-provider", slug="acme", key=world.providers["on"].key)
    yield at("environments:delete-provider", slug="acme", key=provider.key)
    yield at("environments:settings", slug="acme")
    yield at("environments:settings", "empty", slug="fresh")
    yield at("environments:change-domains", query=f"?domain={world.domain.pk}", slug="acme")
    yield at("environments:change-slug", slug="acme")
    yield at("environments:change-slug", "refused", act=send("Change the short name", slug="fresh"), slug="acme")
    yield at("environments:audit", slug="acme")
    yield at("environments:audit", "of one person", query=f"?person={world.ada.pk}", slug="acme")
    yield at("environments:audit", "nothing found", query="?q=nobody-like-that", slug="acme")
    yield at("environments:organisation", slug="acme")
    yield Shown("404", "/acme/nothing/", status=404)


def of_conversations(world: World) -> Iterator[Shown]:
    yield at("conversations:list", slug="acme")
    yield at("conversations:list", "nothing found", query="?q=nothing", slug="acme")
    yield at("conversations:list", "empty", slug="fresh")
    yield at("conversations:contacts", slug="acme")
    yield at("conversations:contacts", "empty", slug="fresh")
    for state, conversation in (("", world.conversation), ("longest and held", world.longest)):
        yield at("conversations:detail", state, slug="acme", uuid=conversation.uuid)
        yield at("conversations:contact", state, slug="acme", uuid=conversation.contact.uuid)
        yield at("archival:erase-contact", state, slug="acme", uuid=conversation.contact.uuid)


def of_retention(world: World) -> Iterator[Shown]:
    beside_another_choice = send("Save…", archive_after_days="30", id_archival_inherit=True)
    wrong_name = send("delete", typed_name="x")
    held_twice = send("Place a legal hold", reason="x", external_id="x", id_covers_2=True)
    yield at("studio:advanced-settings", slug="acme")
    yield at("studio:advanced-settings", "empty", slug="fresh")
    yield at("studio:advanced-settings", "refused", act=beside_another_choice, slug="fresh")
    yield at("studio:advanced-settings", "preview", act=send("Save…", archive_after_days="20"), slug="acme")
    yield at("archival:ages", query="?days=60", slug="acme")
    yield at("archival:ages", "empty", slug="fresh")
    yield at("archival:ledger", slug="acme")
    yield at("archival:ledger", "filtered", query="?only=rows", slug="acme")
    yield at("archival:ledger", "empty", slug="fresh")
    yield at("archival:run", slug="acme", number=world.run.pk)
    yield at("archival:apply-change", slug="acme", uuid=world.change.uuid)
    yield at("archival:apply-change", "refused", act=wrong_name, slug="acme", uuid=world.change.uuid)
    yield at("archival:holds", slug="acme")
    yield at("archival:holds", "empty", slug="fresh")
    yield at("archival:holds", "of one", query=f"?conversation={world.longest.uuid}", slug="acme")
    yield at("archival:holds", "refused", act=held_twice, slug="fresh")
    yield at("archival:release-hold", slug="acme", uuid=world.hold.uuid)
    yield at("archival:confirm-guard", slug="fresh")
    yield at("agencies:compliance", slug="acme")
    yield at("agencies:usage", slug="acme")
    yield at("agencies:usage", "empty", slug="fresh")
    yield at("archival:erased", slug="acme")
    yield at("archival:erased", "empty", slug="fresh")
    yield at("archival:erasure", slug="acme", uuid=world.erasure.uuid)
    yield at("archival:delete-organisation", "held", slug="acme")
    yield at("archival:delete-organisation", slug="fresh")
    yield at("archival:exports", slug="acme")
    yield at("archival:exports", "empty", slug="fresh")
    for state, export in world.exports.items():
        yield at("archival:export", state, slug="acme", uuid=export.uuid)
    yield at("archival:withdraw-export", slug="acme", uuid=world.exports[""].uuid)
    yield at("archival:delete-organisation", "exported", slug="strict")
    for state, deletion in world.deletions.items():
        yield at("deletion", state, uuid=deletion.uuid)


def of_agency(world: World) -> Iterator[Shown]:
    yield at("environments:organisations", "of an agency")
    yield at("agencies:pending-changes", "of an agency")
    yield at("agencies:environments", "nothing found", query="?q=nothing", slug="noorderlicht")
    yield at("agencies:usage", "of months", query="?period=everything", slug="noorderlicht")
    for view in (
        *("agencies:environments", "agencies:usage"),
        *("environments:home", "environments:members", "environments:settings", "environments:audit"),
        *("environments:organisation", "environments:organisation-keys", "studio:advanced-settings"),
        *("archival:ledger", "agencies:compliance", "archival:erased", "archival:delete-organisation"),
        "archival:exports",
        *("agencies:compliance-people", "agencies:compliance-access", "agencies:compliance-keys"),
        "agencies:compliance-providers",
        "environments:access-requests",
        "agencies:remind-people",
    ):
        yield at(view, "of an agency", slug="noorderlicht")
    yield from of_new_organisations(world)
    yield at("agencies:move", slug="acme")
    yield at("agencies:move", "preview", query="?to=noorderlicht", slug="acme")
    yield at("agencies:move", "refused", query="?to=no-such-place", slug="acme")
    yield at("agencies:suspend", "of a customer", slug="maasborg")
    yield at("agencies:users", slug="noorderlicht")
    yield at("agencies:users", "filtered", query="?mfa=without&sort=place", slug="noorderlicht")
    yield at("agencies:users", "nothing found", query="?q=nothing-like-it", slug="noorderlicht")
    yield at("agencies:user", slug="noorderlicht", pk=world.ann.pk)
    yield at("agencies:remove-user", slug="noorderlicht", pk=world.ann.pk)
    yield at("archival:run", "of an agency", slug="noorderlicht", number=world.run.pk)
    yield from of_bulk_changes(world)
    yield at("environments:reset-factors", "not possible", slug="noorderlicht", pk=membership_of(world.ada))
    yield at("environments:organisation", "nothing found", query="?q=nothing", slug="noorderlicht")


def of_new_organisations(world: World) -> Iterator[Shown]:
    check = "Check the list"
    new = "customer,Cohen,cohen,,standard\nenvironment,Cohen shop,,cohen\nenvironment,Lab"
    yield at("agencies:create", slug="noorderlicht")
    yield at("agencies:create", "refused", act=send("Create the", name="Acme", slug="acme"), slug="noorderlicht")
    yield at("agencies:templates", slug="noorderlicht")
    yield at("agencies:templates", "empty", slug="maasborg")
    yield at("agencies:new-template", slug="noorderlicht")
    locked = send("Create the template", name="x", archival_locked=True)  # nothing to lock
    yield at("agencies:new-template", "refused", act=locked, slug="noorderlicht")
    yield at("agencies:template", slug="noorderlicht", pk=world.template.pk)
    yield at("agencies:delete-template", slug="noorderlicht", pk=world.template.pk)
    yield at("agencies:create-list", slug="noorderlicht")
    yield at("agencies:create-list", "preview", act=send(check, lines=new), slug="noorderlicht")
    faulty = f"{new}\nenvironment,Acme,acme\nvillage,Nowhere,,nowhere"
    yield at("agencies:create-list", "refused", act=send(check, lines=faulty), slug="noorderlicht")


def of_bulk_changes(world: World) -> Iterator[Shown]:
    chosen, both = "?all=on", "&archival=limit&archive_after_days=90&require_mfa=on"
    for state, asked in (("", ""), ("preview", both), ("refused", "&archival=&require_mfa=&archival_time=25")):
        yield at("agencies:change-environments", state, query=f"{chosen}{asked}", slug="noorderlicht")
    for state, job in world.bulk_changes.items():
        yield at("agencies:bulk-change", state, slug="noorderlicht", uuid=job.uuid)
    yield at("agencies:revert-bulk-change", slug="noorderlicht", uuid=world.bulk_changes["done"].uuid)


def of_ada_interrupted(world: World) -> Iterator[Shown]:
    """Ada has to confirm who she is before what she sends is done."""
    create = send("Create the key", name="Import")
    yield at("accounts:step-up", "with something sent", begin="environments:api-keys", act=create)

    def confirm(page: Page) -> None:
        create(page)
        page.route("**/profile/api-keys/", lambda route: route.fulfill(status=204))  # or a script leaves the page
        page.get_by_label("6-digit code").fill(code())
        page.get_by_role("button", name="Confirm the code").click()
        page.wait_for_url("**/go-on/**", wait_until="commit")

    yield at("accounts:go-on", begin="environments:api-keys", act=confirm)


def of_vic(world: World) -> Iterator[Shown]:
    """Vic is a member of Acme alone, without a second factor, which Acme will require."""
    yield at("accounts:second-factor-soon")
    yield at("environments:leave", pk=membership_of(world.vic))
    yield at("accounts:security", "without a factor")
    yield at("environments:home", "of a member", slug="acme")
    yield at("environments:organisation", "of a member", slug="acme")
    yield at("conversations:list", "of a member", slug="acme")
    yield at("environments:members", "forbidden", slug="acme", status=403)
    yield at("accounts:step-up", "mailbox", act=send("Send the code"))


def of_nele(world: World) -> Iterator[Shown]:
    """Nele has an account and nothing else."""
    yield at("environments:organisations", "empty")
    yield at("agencies:pending-changes", "empty")
    yield at("environments:access-asked")
    yield at("environments:invitation", "of another", token=TOKEN)
    yield at("environments:home", "request access", slug="acme", status=404)
    yield at("studio:switch", "empty")
    yield at("environments:api-keys", "not possible")


def of_root(world: World) -> Iterator[Shown]:
    yield at("accounts:slowed")
    yield at("agencies:roots")
    yield at("agencies:roots", "nothing found", query="?q=nothing-like-it")
    yield at("agencies:roots", "refused", act=send("Create the organisation", id_new_name="A", id_new_slug="acme"))
    yield at("environments:platform-audit")
    yield at("environments:platform-audit", "nothing found", query="?q=nobody-like-that")
    yield at("environments:organisations")
    yield at("environments:organisations", "nothing found", query="?q=nothing-like-it")
    yield at("environments:home", "of a super user", slug="acme")


def of_ada_as_ann(world: World) -> Iterator[Shown]:
    """Ada views Studio as Ann, who administers Acme, and can change nothing."""
    for view in ("environments:home", "environments:members", "environments:settings", "studio:advanced-settings"):
        yield at(view, "impersonating", slug="acme")
    yield at("accounts:profile", "impersonating", status=403)


def view_as_ann(page: Page, world: World) -> None:
    log_in_page(page, world.ada)
    page.goto(reverse("environments:member", args=["acme", membership_of(world.ann)]))
    page.get_by_role("button", name="View as this member").click()


def log_in_long_ago(page: Page, world: World) -> None:
    log_in_page(page, world.ada)
    SessionRecord.objects.filter(user=world.ada).update(stepped_up_at=None)


PEOPLE: dict[str, tuple[Callable[[Page, World], object], Callable[[World], Iterator[Shown]]]] = {
    "a stranger": (lambda page, world: None, of_stranger),
    "who enrols": (lambda page, world: send_password(page, world.lea), of_lea),
    "who verifies": (lambda page, world: send_password(page, world.leo), of_leo),
    "an account": (lambda page, world: log_in_page(page, world.ada), of_account),
    "an administrator": (lambda page, world: log_in_page(page, world.ada), of_environment),
    "a reader": (lambda page, world: log_in_page(page, world.ada), of_conversations),
    "a data protection officer": (lambda page, world: log_in_page(page, world.ada), of_retention),
    "an agency": (lambda page, world: log_in_page(page, world.ada), of_agency),
    "who steps up": (log_in_long_ago, of_ada_interrupted),
    "a member": (lambda page, world: send_password(page, world.vic), of_vic),
    "a newcomer": (lambda page, world: send_password(page, world.nele), of_nele),
    "a super user": (lambda page, world: log_in_page(page, world.root), of_root),
    "an impersonator": (view_as_ann, of_ada_as_ann),
}
