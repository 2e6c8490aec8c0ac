"""A world in which every list has rows, with names as long as those of real organisations, people and programs."""

import hashlib
from datetime import datetime, timedelta
from types import SimpleNamespace

from accounts.choices import OpenedBy
from accounts.models import EmailChange, FailureBudget, RecoveryCode, SessionRecord
from agencies.bulk.services import NOT_ALLOWED
from agencies.choices import ItemState
from agencies.models import BulkChange, BulkItem, OrganisationTemplate
from archival.choices import ChangeState, DeletionState, RunState
from archival.models import Deletion, Erasure, Guard, Hold, PolicyChange, Proof, PurgeRun, Receipt
from audit.services import record
from conversations.models import Blob
from environments.choices import DnsAnswer, Kind, ProviderState, Role
from environments.models import (
    AccessRequest,
    ApiKey,
    Invitation,
    InvitationLink,
    Membership,
    Organisation,
    OrganisationDomain,
)
from tests import factories
from tests.archival.limits import archive_after
from tests.exports import a_ready_export
from tests.logging_in import give_app
from tests.own_providers import own_provider
from tests.ui.world import TOKEN

AGENCY = "Noorderlicht Digitale Dienstverlening en Advies B.V."
CUSTOMER = "Gemeenschappelijke Gezondheidsdienst Noord-Nederland"
ENVIRONMENT = "Klantenservice Arbeidsongeschiktheidsverzekeringen"
PERSON = "Wilhelmina van den Broek-Hoogenboom tot Loevestein"
MAILBOX = "wilhelmina.van-den-broek-hoogenboom.{}@arbeidsongeschiktheidsverzekeringen.example"
REASON = "Rechtszaak over vertrouwelijkheidsverklaringen van zorgverzekeraars, dossier 2026/00{}"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
COUNTS = {
    "conversations": 12_345,
    "messages": 1_234_567,
    "variables": 98_765,
    "attachments": 4_321,
    "contacts": 10_987,
    "bytes": 987_654_321_000,
}
ROLES = [
    [Role.ADMINISTRATOR],
    [Role.MEMBER, Role.DEVELOPER],
    [Role.MEMBER],
]


def fill_lists(*, now: datetime, rows: int = 3) -> SimpleNamespace:
    """Create the agency and give every list so many ``rows``; return what the pages of ``PEOPLE`` need of a world."""
    agency = factories.organisation(name=AGENCY, slug="noorderlicht")
    customer = factories.organisation(Kind.CUSTOMER, parent=agency, name=CUSTOMER, slug="noord-nederland")
    acme = archive_after(factories.environment(parent=customer, name=ENVIRONMENT, slug="acme"), 90)
    ada = factories.member(agency, Role.ADMINISTRATOR, name="Ada Ouwehand", email="ada@noorderlicht.example")
    everything = SimpleNamespace(agency=agency, customer=customer, acme=acme, ada=ada, providers={})
    for number in range(rows):
        _add_organisations(everything, number, now=now)
        _add_people(everything, number, now=now)
        _add_keys(everything, number, now=now)
        _add_conversations(everything, number, now=now)
        _add_retention(everything, number, now=now)
        _add_account(everything, number, now=now)
        _add_template(everything, number)
    everything.change = PolicyChange.objects.create(
        organisation=acme,
        organisation_label=acme.name,
        archival="limit",
        days=30,
        before={"archival": "limit", "days": 90, "locked": False},
        requested_by=ada,
        requested_label=PERSON,
        acts_at=now + timedelta(hours=24),
        state=ChangeState.PENDING,
        preview={},
    )
    _add_what_there_is_one_of(everything, now=now)
    _add_bulk_changes(everything, now=now, rows=rows)
    return everything


def _add_what_there_is_one_of(made: SimpleNamespace, *, now: datetime) -> None:
    made.root = factories.UserFactory(name=PERSON, email=MAILBOX.format("root"), is_superuser=True)
    made.app = give_app(made.ada)
    made.identity = made.ada.social_auth.create(provider="oidc-acme", uid="ada", id_key="sub")
    EmailChange.objects.create(
        user=made.ada,
        email=MAILBOX.format("new"),
        hash=EmailChange.hash_of(TOKEN),
        auth_hash=made.ada.get_session_auth_hash(),
        expires_at=now + timedelta(hours=1),
    )
    fresh = factories.environment(parent=made.customer, name=f"Proefomgeving {ENVIRONMENT}", slug="fresh")
    Guard.objects.create(environment=fresh, run=made.run)


def _add_organisations(made: SimpleNamespace, number: int, *, now: datetime) -> None:
    name = f"Afdeling Vergunningverlening en Toezicht, locatie {number}"
    below = factories.environment(parent=made.customer, name=name, slug=f"vergunningverlening-{number}")
    Membership.objects.create(user=made.ada, organisation=below, roles=[Role.MEMBER], accepted_at=now)
    AccessRequest.objects.create(organisation=below, user=factories.UserFactory(name=PERSON), created_at=now)
    late = [{"kind": "messages", "state": "late", "oldest": now.isoformat(), "late_by_seconds": 7 * 86_400}]
    Proof.objects.create(environment=below, checked_at=now, is_late=True, findings=late)
    Hold.objects.create(environment=below, reason=REASON.format(number), placed_at=now, placed_by=made.ada)
    made.domain = OrganisationDomain.objects.create(
        organisation=made.acme,
        domain=f"verzekeringsvoorwaarden-{number}.arbeidsongeschiktheidsverzekeringen.example",
        token=f"studio-verification={hashlib.sha256(b'%d' % number).hexdigest()[:32]}",
        checked_at=now,
        answer=DnsAnswer.FOUND if number else "",
    )
    title = f"Aanmeldvoorziening klantencontactmedewerkers {number}"
    state = ProviderState.OFF if number else ProviderState.ON
    made.providers["" if number else "on"] = own_provider(made.acme, made.domain, title=title, state=state)


def _add_people(made: SimpleNamespace, number: int, *, now: datetime) -> None:
    roles = ROLES[number % len(ROLES)]
    for place in (made.acme, made.agency):
        email = MAILBOX.format(f"{place.slug}-{number}")
        person = factories.UserFactory(name=PERSON, email=email, last_active_at=now - timedelta(hours=3, days=number))
        Membership.objects.create(user=person, organisation=place, roles=roles, accepted_at=now)
        if number % 2 == 0:
            give_app(person)
    made.ann = made.vic = Membership.objects.filter(organisation=made.acme).earliest("pk").user
    made.person = person
    made.invitation = Invitation.objects.create(
        organisation=made.acme,
        email=MAILBOX.format(f"invited-{number}"),
        roles=roles,
        token_hash=f"{number}",
        invited_by=made.ada,
        created_at=now - timedelta(days=2),
        expires_at=now + timedelta(days=5),
    )
    made.invitation_link = InvitationLink.objects.create(
        organisation=made.acme,
        note=PERSON,
        roles=roles,
        token_hash=f"link {number}",
        created_by=made.ada,
        created_at=now,
        expires_at=now + timedelta(days=5),
    )
    AccessRequest.objects.create(
        organisation=made.acme,
        user=factories.UserFactory(name=PERSON, email=MAILBOX.format(f"asking-{number}")),
        message="Ik werk aan de verantwoordelijkheidsverdeling van de klantencontactmedewerkers.",
        created_at=now - timedelta(hours=20),
    )


def _add_keys(made: SimpleNamespace, number: int, *, now: datetime) -> None:
    fields = {"created_at": now, "last_used_at": now, "expires_at": now + timedelta(days=90), "hash": "0" * 64}
    name = f"Nachtelijke gegevensuitwisseling klantcontacten {number}"
    made.organisation_key = ApiKey.objects.create(
        **fields, name=name, organisation=made.acme, created_by=made.ada, roles=[Role.DEVELOPER], prefix=f"own{number}"
    )
    made.key_of_ann, made.key = (
        ApiKey.objects.create(**fields, name=name, organisation=made.acme, owner=who, prefix=f"{prefix}{number}")
        for who, prefix in ((made.person, "their"), (made.ada, "mine"))
    )


def _add_conversations(made: SimpleNamespace, number: int, *, now: datetime) -> None:
    whom = factories.contact(
        of=made.acme, now=now, name=PERSON, external_id=f"whatsapp-{hashlib.sha256(b'%d' % number).hexdigest()}"
    )
    talk = factories.conversation(
        of=made.acme,
        contact=whom,
        channel="whatsapp-business-klantenservice-verzekeringen",
        external_id=hashlib.sha256(b"conversation-%d" % number).hexdigest(),
        days_ago=[number + 2.5, number + 1],
        now=now,
    )
    talk.variables.create(
        environment=made.acme,
        key="arbeidsongeschiktheidspercentage_volgens_keuringsarts",
        value="Overeenstemmingsverklaringen ontvangen",
        written_at=now,
    )
    blob = Blob.objects.create(environment=made.acme, sha256=f"{number}", key=f"{number}", size=12_345_678)
    factories.attachment(
        of=talk,
        blob=blob,
        at=now,
        name="arbeidsongeschiktheidsverklaring-keuringsarts-2026.pdf",
        mime="application/pdf",
    )
    for of in ({"contact": whom}, {"conversation": talk}, {}):
        reason = REASON.format(number)
        made.hold = Hold.objects.create(
            environment=made.acme, reason=reason, placed_at=now, placed_by=made.person, **of
        )
    made.conversation = made.longest = talk


def _add_retention(made: SimpleNamespace, number: int, *, now: datetime) -> None:
    began = now - timedelta(hours=number + 1)
    of_run = {"as_of": began, "started_at": began, "finished_at": began + timedelta(minutes=2), "batch_count": 1_234}
    made.run = PurgeRun.objects.create(**of_run, **COUNTS, held=1_234, state=RunState.DONE)
    for each in (
        made.acme,
        *Organisation.objects.below(made.customer).exclude(pk__in=[made.acme.pk, made.customer.pk])[:2],
    ):
        Receipt.objects.create(
            run=made.run,
            environment=each,
            environment_label=each.name,
            days=3650,
            cutoff=began - timedelta(days=3650),
            held=1_234,
            is_guarded=each == made.acme and number == 0,
            oldest_before=began - timedelta(days=3700),
            oldest_after=began - timedelta(days=3650),
            **COUNTS,
        )
    PurgeRun.objects.create(
        **of_run | {"started_at": began + timedelta(minutes=10)}, state=RunState.PAUSED if number % 2 else RunState.DONE
    )
    made.erasure = Erasure.objects.create(
        environment=made.acme,
        environment_label=made.acme.name,
        contact_uuid=made.conversation.contact.uuid,
        erased_at=now,
        erased_label=PERSON,
        **COUNTS,
    )
    deletion = Deletion.objects.create(
        organisation_id=10_000_000 + number,
        organisation_label=f"Afdeling Bezwaarschriftenbehandeling {number}",
        parent=made.customer,
        counted=COUNTS,
        was_suspended=False,
        requested_at=now,
        requested_by=made.ada,
        requested_label=PERSON,
        run=PurgeRun.objects.create(
            **of_run | COUNTS | {"started_at": now - timedelta(days=2)}, purpose="deletion", state=RunState.DONE
        ),
        state=DeletionState.DONE,
        ended_at=now,
    )
    made.deletions = {"done": deletion}
    made.export = a_ready_export(made.acme, key=f"no file {number}", now=now, label=PERSON)
    made.exports = {"": made.export}
    text = {"reason": REASON.format(number), "conversation": made.conversation.external_id, "email": made.person.email}
    record("hold.placed", made.acme, by=made.person, before=None, after=text)


def _add_bulk_changes(made: SimpleNamespace, *, now: datetime, rows: int) -> None:
    limit, wanted = {"archival": "limit", "days": 3650, "locked": False}, {"value": "inherit", "locked": False}
    for _number in range(rows):
        job = BulkChange.objects.create(
            organisation=made.agency,
            organisation_label=made.agency.name,
            requested_by=made.ada,
            requested_label=MAILBOX.format("ada"),
            requested_at=now,
            wanted={"archival": limit, "require_mfa": wanted},
            environment_count=rows,
            ended_at=now,
        )
    BulkItem.objects.bulk_create(
        BulkItem(
            job=job,
            environment=each,
            environment_label=each.name,
            wanted=job.wanted,
            before=job.wanted,
            policy_change=made.change if number == 0 else None,
            state=ItemState.PENDING if number == 0 else ItemState.REFUSED,
            reason="" if number == 0 else NOT_ALLOWED,
            ended_at=now,
        )
        for number, each in enumerate(Organisation.objects.below(made.customer).environments()[:rows])
    )
    made.bulk_changes = {"done": job}


def _add_template(made: SimpleNamespace, number: int) -> None:
    made.template = OrganisationTemplate.objects.create(
        organisation=made.agency,
        name=f"Vergunningverlening en Toezicht {number}",
        archival="limit",
        archive_after_days=3650,
        archival_locked=True,
        require_mfa="on",
        require_mfa_locked=True,
        auto_invite_roles=[Role.ENVIRONMENT_MANAGER, Role.DEVELOPER],
        changed_by=made.ada,
    )
    for person in (made.ann, made.person):
        made.template.members.create(user=person, roles=[Role.ENVIRONMENT_MANAGER, Role.DEVELOPER])


def _add_account(made: SimpleNamespace, number: int, *, now: datetime) -> None:
    SessionRecord.objects.create(
        user=made.ada,
        key_hash=f"{number}",
        opened_by=OpenedBy.PASSWORD,
        backend="x",
        address="2001:db8:85a3:8d3:1319:8a2e:370:7348",
        browser=BROWSER,
        factor="x",
    )
    RecoveryCode.objects.create(user=made.ada, hash=f"{number}")
    FailureBudget.objects.create(key=f"codes:{made.person.pk}", failures=40, since=now)
    hidden = hashlib.sha256(made.ann.email.encode()).hexdigest()
    FailureBudget.objects.get_or_create(key=f"password:{hidden}", defaults={"failures": 40, "since": now})
