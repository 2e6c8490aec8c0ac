"""One of everything in an environment and in a customer, and people with each role beside, above, below and elsewhere.

The tree: the agency Noorderlicht with the customers Maasborg and Rijnmond; Acme, Fresh and Going are environments of
Maasborg; Globex is an environment of another agency.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from accounts.models import EmailChange, SessionRecord, User
from agencies.bulk.services import start_bulk_change
from agencies.bulk.wanted import Wanted
from agencies.organisation_templates.services import create_template
from agencies.organisation_templates.values import TemplateValues
from archival.engine.run import purge
from archival.holds.services import place_hold
from archival.models import Guard, PurgeRun
from archival.policy.services import change_retention
from archival.requests.deletion import begin_deletion
from archival.requests.erasure import erase_contact
from conversations.models import Blob
from environments.caller import SYSTEM, Caller
from environments.choices import Kind, Role
from environments.domains.services import add_domain
from environments.invitation_links.services import create_link
from environments.invitations.services import invite
from environments.keys import services as keys
from environments.models import AccessRequest, Membership, Organisation
from environments.policies.retention import Retention
from tests import factories
from tests.conversations.lines import line
from tests.exports import a_ready_export
from tests.logging_in import give_app, logged_in_client
from tests.own_providers import own_provider, verified_domain

SUPER_USER = "super user"
BLOB = "authorization/invoice"
PROVIDER_VIEWS = [
    *(f"environments:{name}" for name in ("provider", "try-provider", "turn-on-provider", "turn-off-provider")),
    "environments:delete-provider",
]


@dataclass(frozen=True)
class Target:
    """An organisation that addresses are about, what is in their addresses, and where people stand to it."""

    node: Organisation
    arguments: dict[str, Any]  # of addresses: by view, or by the name of the argument
    places: dict[str, Organisation]  # where somebody has a role: the target is their own, their child, and so on


class World:
    def __init__(self) -> None:
        self.now = timezone.now()
        agency = factories.organisation(name="Noorderlicht", slug="noorderlicht")
        self.customer, rijnmond = (
            factories.organisation(Kind.CUSTOMER, parent=agency, name=name, slug=name.lower())
            for name in ("Maasborg", "Rijnmond")
        )
        self.acme, fresh, self.going = (
            factories.environment(parent=self.customer, name=name, slug=name.lower())
            for name in ("Acme", "Fresh", "Going")
        )
        globex = factories.environment(name="Globex", slug="globex")
        self.root = factories.UserFactory(name="Root", is_superuser=True)
        self.by = Caller.of(self.root)
        things = self._conversations()
        of_acme, of_customer = things | self._things_of(self.acme), things | self._things_of(self.customer)
        gone = begin_deletion(self.going, by=SYSTEM, now=self.now)
        self.targets = {
            "an environment": Target(
                self.acme, of_acme, {"own": self.acme, "child": self.customer, "sibling": fresh, "foreign": globex}
            ),
            "a customer": Target(
                self.customer,
                of_customer,
                {
                    "own": self.customer,
                    "child": agency,
                    "sibling": rijnmond,
                    "parent": self.acme,
                    "foreign": globex,
                },
            ),
        }
        self.deleted = Target(
            self.going,
            {"uuid": gone.uuid},
            {"own": self.going, "child": self.customer, "sibling": fresh, "foreign": globex},
        )

    def _conversations(self) -> dict[str, Any]:
        """Make what environments alone have, in Acme; return what is in the addresses."""
        talk = factories.conversation(of=self.acme, days_ago=[40, 1], now=self.now)
        held = factories.conversation(of=self.acme, now=self.now)
        blob = Blob.objects.create(environment=self.acme, sha256="x", key=BLOB, size=7)
        file = factories.attachment(of=talk, blob=blob, at=self.now, message_seq=0)
        erased = erase_contact(factories.conversation(of=self.acme, now=self.now).contact, by=self.by, now=self.now)
        purge(now=self.now)
        run = PurgeRun.objects.latest("pk")
        Guard.objects.create(environment=self.acme, run=run)
        hold = place_hold(self.acme, reason="a court asked", conversation=held, by=self.by, now=self.now)
        contact = {"uuid": talk.contact.uuid}
        export = {"uuid": a_ready_export(self.acme, key=BLOB, now=self.now).uuid}
        return {
            "archival:download-export": export | {"number": 1},
            "archival:export": export,
            "archival:withdraw-export": export,
            "archival:erase-contact": contact,
            "archival:erasure": {"uuid": erased.uuid},
            "archival:erasure-signed": {"uuid": erased.uuid},
            "archival:release-hold": {"uuid": hold.uuid},
            "conversations:attachment": {"uuid": file.uuid},
            "conversations:contact": contact,
            "conversations:export-contact": contact,
            "uuid": talk.uuid,
            "number": run.pk,
            "seq": 0,
            "contact": str(talk.contact),
        }

    def _things_of(self, node: Organisation) -> dict[str, Any]:
        """Make what every organisation has; return what is in the addresses."""
        vic = factories.member(node, Role.MEMBER)
        give_app(vic)
        key, _raw = keys.create_organisation_key(node, name="bot", roles=[Role.MEMBER], by=self.by, now=self.now)
        invitation = invite(node, email=f"new@{node.slug}.example", roles=[Role.MEMBER], by=self.by, now=self.now)
        asked = AccessRequest.objects.create(organisation=node, user=factories.UserFactory())
        change = change_retention(node, to=Retention.limit(30), by=self.by, now=self.now)
        link, _token = create_link(node, roles=[Role.MEMBER], by=self.by, now=self.now)
        domain = add_domain(node, domain=f"{node.slug}.example", by=self.by, now=self.now)
        keep = Wanted(retention=Retention.keep())
        values = TemplateValues(f"Template of {node.slug}")
        template = None if node.is_environment else create_template(node, values, by=self.by, now=self.now)
        provider = own_provider(node, verified_domain(node, f"verified.{node.slug}.example"))
        job = {"uuid": start_bulk_change(node, [self.acme], wanted=keep, by=self.by, now=self.now).uuid}
        return {
            "agencies:bulk-change": job,
            "agencies:bulk-change-csv": job,
            "agencies:bulk-change-progress": job,
            "agencies:change-environments": {"?environment": self.acme.slug},
            "agencies:revert-bulk-change": job,
            "agencies:remove-user": {"pk": vic.pk},
            "agencies:delete-template": {"pk": template.pk if template else 1},
            "agencies:template": {"pk": template.pk if template else 1},
            "agencies:resume": {"pk": node.pk},
            "agencies:user": {"pk": vic.pk},
            "archival:apply-change": {"uuid": change.uuid},
            "archival:cancel-change": {"uuid": change.uuid},
            "environments:answer-access-request": {"uuid": asked.uuid},
            "environments:change-domains": {"?domain": domain.pk},
            "environments:change-invitation": {"pk": invitation.pk},
            **{view: {"key": provider.key} for view in PROVIDER_VIEWS},
            "environments:revoke-invitation-link": {"pk": link.pk},
            "environments:revoke-organisation-key": {"uuid": key.uuid},
            "environments:take-over-organisation-key": {"uuid": key.uuid},
            "pk": vic.memberships.get().pk,
            "email": vic.email,
            "domain": domain.pk,
        }

    def person(self, role: str, at: Organisation) -> User:
        if role == SUPER_USER:
            return self.root
        return factories.member(at, role)

    def key_of(self, person: User) -> str:
        """Return a personal key; a role that lets nobody have one is asked for all the same."""
        return keys.create_personal_key(person, name="script", by=SYSTEM, now=self.now)[1]

    def key_of_organisation(self, role: str, at: Organisation) -> str:
        """Return an organisation's own key with one role; its Administrator is responsible for it."""
        by = Caller.of(factories.member(at))
        return keys.create_organisation_key(at, name="bot", roles=[role], by=by, now=self.now)[1]

    def _membership_of(self, person: User) -> Membership:
        """Return the person's membership; a super user gets one, for the pages about it."""
        accepted = {"roles": [Role.MEMBER], "accepted_at": self.now}
        return person.memberships.first() or person.memberships.create(organisation=self.acme, **accepted)

    def account_of(self, person: User) -> dict[str, Any]:
        """Make what a person's own pages are about; return what is in their addresses and forms."""
        key, _raw = keys.create_personal_key(person, name="mine", by=SYSTEM, now=self.now)
        EmailChange.objects.create(
            user=person,
            email=f"new{person.pk}@example.test",
            hash=EmailChange.hash_of(str(person.pk)),
            auth_hash=person.get_session_auth_hash(),
            expires_at=self.now + timedelta(hours=1),
        )
        identity = person.social_auth.create(provider="oidc-acme", uid=str(person.pk), id_key="sub")
        device = give_app(person, name="Other").persistent_id
        logged_in_client(person)  # another session, to end
        session = SessionRecord.objects.filter(user=person).latest("pk")
        return {
            "accounts:confirm-email": {"token": str(person.pk)},
            "accounts:remove-factor": {"?device": device},
            "accounts:rename-factor": {"?device": device},
            "accounts:unlink-identity": {"?identity": identity.pk},
            "environments:leave": {"pk": self._membership_of(person).pk},
            "environments:revoke-api-key": {"uuid": key.uuid},
            "session": session.pk,
            "identity": identity.pk,
            "device": device,
            "slug": "acme",
            "key": "key",
            "token": "token",
            "backend": "oidc-acme",
            "uuid": UUID(int=1),
        }


@contextmanager
def stored_file() -> Iterator[None]:
    name = default_storage.save(BLOB, ContentFile(b"invoice"))
    try:
        yield
    finally:
        default_storage.delete(name)


TEMPLATE = {"name": "Template", "archival": "keep", "require_mfa": "inherit"}


def forms_of(target: Target) -> dict[str, dict[str, Any]]:
    """Return what is sent to each address that takes something, by view and act; people with the role send the same."""
    node, things = target.node, target.arguments
    named = {"typed_name": node.name}
    return {
        "agencies:create": {"name": "Below", "kind": Kind.ENVIRONMENT},
        "agencies:new-template": TEMPLATE,
        "agencies:template": TEMPLATE,
        "agencies:create-list": {"lines": "environment,Below"},
        "agencies:move": {"to": "noorderlicht"},
        "archival:apply-change": named,
        "archival:confirm-guard": named,
        "archival:delete-organisation": named,
        "archival:erase-contact": {"typed_name": things.get("contact")},
        "archival:holds": {"covers": "environment", "reason": "a court asked"},
        "environments:answer-access-request accept": {"roles": [Role.MEMBER]},
        "environments:change-domains add": {"domain": "more.example"},
        "environments:change-domains remove": {"domain": things.get("domain")},
        "environments:change-domains confirm": {"domain": things.get("domain")},
        "environments:change-slug": {"slug": f"{node.slug}-2"},
        "environments:check-domain": {"domain": things.get("domain")},
        "environments:member": {"roles": [Role.MEMBER]},
        "environments:invitation-links": {"roles": [Role.MEMBER]},
        "environments:invite-list": {"lines": "many@acme.example"},
        "environments:members": {"email": "further@acme.example", "roles": [Role.MEMBER]},
        "environments:organisation rename": {"name": "Renamed"},
        "environments:organisation-keys": {"name": "bot", "roles": [Role.MEMBER], "lasts": "30"},
        "environments:delete-provider": {"name": "Acme ID"},
        "environments:providers": {"title": "Another"},
        "environments:provider": {"title": "x", "issuer": "x", "client_id": "x", "domains": ["0"]},
        "environments:reset-factors": {"email": things.get("email")},
        "environments:settings name": {"name": "Renamed"},
        "environments:settings auto-invite": {"roles": [Role.MEMBER]},
        "studio:advanced-settings mfa": {"require_mfa": "on"},
        "studio:advanced-settings archival": {"archival": "keep"},
        "change-deletion continue": named,
        "api:organisation-settings": {"archival": "keep"},
        "conversation-list": line("c9"),
        "conversation-messages": {"messages": [{"role": "user", "text": "hello"}]},
    }
