"""One small world, with something of everything, that the pages of ``tests/ui/pages.py`` are about."""

from datetime import timedelta
from pathlib import Path

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.filebased import EmailBackend
from django.utils import timezone

from accounts.factors.services import make_recovery_codes
from accounts.models import EmailChange, FailureBudget
from accounts.throttle import budgets
from agencies.bulk.services import BROKEN, do_next, run_bulk_change, start_bulk_change
from agencies.bulk.wanted import Wanted
from agencies.models import BulkChange, ComplianceDay
from agencies.organisation_templates.services import create_template
from agencies.organisation_templates.values import TemplateValues
from archival.choices import ExportEnd, ExportState
from archival.engine.run import purge
from archival.evidence.alarms import store_proof
from archival.holds.services import place_hold, release_hold
from archival.models import EnvironmentExport, Guard, PurgeRun, Receipt
from archival.policy.services import change_retention
from archival.requests.deletion import begin_deletion, delete_organisation, stop_deletion
from archival.requests.erasure import erase_contact
from conversations.ingest.lines import check_conversation
from conversations.ingest.services import store
from conversations.models import Blob, Conversation, DailyCount
from environments.access_requests.services import ask_for_access, reject_request
from environments.caller import SYSTEM, Caller
from environments.choices import DnsAnswer, DomainProof, Kind, ProviderState, Role
from environments.domains.services import add_domain
from environments.invitation_links.services import create_link
from environments.invitations.services import invite
from environments.keys import services as keys
from environments.members.services import remove_member
from environments.models import IdentityProvider, Invitation, InvitationLink, Organisation, OrganisationDomain
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import schedule_mfa
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa, set_retention
from tests import factories
from tests.conversations.lines import line
from tests.exports import a_ready_export, an_export
from tests.logging_in import give_app, logged_in_client
from tests.own_providers import own_provider

TOKEN = "token"  # of the links that were mailed
LONG = "Z" + "\u0300\u0489" * 500 + " " + "W" * 300 + " \u202egpj.exe"  # what no page may be widened by


class World:
    """Acme has everything, Fresh has nothing. Each method makes what one room shows, and needs those above it."""

    def __init__(self, mails: Path) -> None:
        self.now = timezone.now()
        self.make_organisations()
        self.make_people()
        self.make_accounts()
        self.make_conversations()
        self.make_members()
        self.make_domains()
        self.make_providers()
        self.make_retention()
        self.make_bulk_changes()
        self.make_template()
        self.make_deletions()
        self.make_exports()
        self.write_mail(mails)

    def make_organisations(self) -> None:
        self.agency = factories.organisation(name="Noorderlicht Digital", slug="noorderlicht")
        self.customer = factories.organisation(Kind.CUSTOMER, parent=self.agency, name="Maasborg", slug="maasborg")
        self.acme, self.fresh, self.strict = (
            factories.environment(parent=self.customer, name=name, slug=name.lower())
            for name in ("Acme", "Fresh", "Strict")
        )

    def make_people(self) -> None:
        """Ada administers the agency, Ann Acme; Vic is a member of it, Lea of Strict, and Nele of nothing yet."""
        self.ada = factories.member(self.agency, name="Ada Ouwehand", email="ada@noorderlicht.example")
        self.ann = factories.member(self.acme, name="Ann de Groot", email="ann@acme.example")
        self.vic = factories.member(self.acme, Role.MEMBER, name="Vic Smit", email="vic@acme.example")
        self.lea, self.leo = (
            factories.member(self.strict, Role.MEMBER, name=name, email=f"{name[:3].lower()}@acme.example")
            for name in ("Lea Vermeer", "Leo Vermeer")
        )
        self.nele = factories.UserFactory(name="Nele Peeters", email="nele@elsewhere.example")
        self.root = factories.UserFactory(name="Root", email="root@studio.example", is_superuser=True)
        self.by = Caller.of(self.ada)
        set_require_mfa(self.strict, to=MfaRule.on(), by=SYSTEM, now=self.now)
        schedule_mfa(self.acme, to=MfaRule.on(), acts_at=self.now + timedelta(days=20), by=self.by, now=self.now)

    def make_accounts(self) -> None:
        self.app, self.apps_of_others = give_app(self.ada), [give_app(user) for user in (self.leo, self.ann)]
        make_recovery_codes(self.ada, now=self.now)
        self.identity = self.ada.social_auth.create(provider="oidc-acme", uid="ada", id_key="sub")
        logged_in_client(self.ada)  # a further session, which the page offers to end
        EmailChange.objects.create(
            user=self.ada,
            email="ada@new.example",
            hash=EmailChange.hash_of(TOKEN),
            auth_hash=self.ada.get_session_auth_hash(),
            expires_at=self.now + timedelta(hours=1),
        )
        for budget in (budgets.codes_of(self.ann), budgets.password_of(self.ann.email), budgets.mails_to(self.nele)):
            FailureBudget.objects.create(key=budget.key, failures=10, since=self.now)

    def make_conversations(self) -> None:
        self.conversation = factories.conversation(of=self.acme, days_ago=[100, 60, 5], variables=3, now=self.now)
        for number in range(30):
            factories.conversation(of=self.acme, days_ago=number * 13, now=self.now)
            day = self.now.date() - timedelta(days=number)
            DailyCount.objects.create(
                environment=self.acme,
                day=day,
                channel="web",
                conversations=number * 7 % 19,
                messages=99,
                contacts=number % 5,
                has_all_contacts=number < 9,
            )
        blob = Blob.objects.create(environment=self.acme, sha256="x", key=f"{self.acme.pk}/invoice", size=7)
        default_storage.save(blob.key, ContentFile(b"invoice"))
        factories.attachment(of=self.conversation, blob=blob, name="invoice.pdf", at=self.now, message_seq=0)
        value = line("i" * 255, texts=(LONG, "مرحبا"), channel="c" * 255, variables={"a": [1] * 999})
        value["contact"] = {"id": "k" * 255, "name": "n" * 255, "variables": {"v" * 255: LONG}}
        value["attachments"] = [{"name": "f" * 255, "mime": "text/html", "size": 9, "seq": 0}]
        store(self.acme, [check_conversation(value)], now=self.now)
        self.longest = Conversation.objects.get(external_id="i" * 255)

    def make_members(self) -> None:
        self.invitation = invite(self.acme, email="new@acme.example", roles=[Role.MEMBER], by=self.by, now=self.now)
        Invitation.objects.filter(pk=self.invitation.pk).update(token_hash=Invitation.hash_of(TOKEN))
        self.invitation_link, _token = create_link(
            self.acme, note="Nina of Maasborg", roles=[Role.MEMBER], by=self.by, now=self.now
        )
        InvitationLink.objects.filter(pk=self.invitation_link.pk).update(token_hash=Invitation.hash_of(TOKEN))
        ask_for_access(factories.UserFactory(), "acme", message="I work on the same bots.", now=self.now)
        answered = ask_for_access(factories.UserFactory(name="Noor Bakker"), "acme", message="", now=self.now)
        reject_request(answered, by=self.by, now=self.now)
        leaver = factories.member(self.acme, name="Mo Visser")
        for name, owner in {"Nightly import": self.ada, "Suspended": leaver}.items():
            self.organisation_key, _raw = keys.create_organisation_key(
                self.acme, name=name, roles=[Role.DEVELOPER], by=Caller.of(owner), now=self.now
            )
        remove_member(leaver.memberships.get(), by=self.by, now=self.now)
        self.key, _raw = keys.create_personal_key(self.ada, name="My laptop", by=self.by, now=self.now)
        ann = Caller.of(self.ann)
        self.key_of_ann, _raw = keys.create_personal_key(self.ann, name="Laptop of Ann", by=ann, now=self.now)

    def make_domains(self) -> None:
        self.domain = add_domain(self.acme, domain="bücher.example", by=self.by, now=self.now)
        for name, missing_since in {"proven.example": None, "missing.example": self.now}.items():
            OrganisationDomain.objects.create(
                organisation=self.acme,
                domain=name,
                token=f"studio-domain={name}",
                verified_at=self.now,
                proof=DomainProof.DNS,
                checked_at=self.now,
                answer=DnsAnswer.NO_NAME if missing_since else DnsAnswer.FOUND,
                missing_since=missing_since,
            )
        OrganisationDomain.objects.filter(domain="proven.example").update(unconfirmed_since=self.now)
        Organisation.objects.filter(pk=self.acme.pk).update(auto_invite_roles=[Role.ADMINISTRATOR])

    def make_providers(self) -> None:
        """Make a provider in each state; the first has a trial that failed, the others one that succeeded."""
        proven = OrganisationDomain.objects.get(domain="proven.example")
        said = {"issuer": "https://login.maasborg.example", "subject": "7f3a", "email": "nina@proven.example"}
        failed = {**said, "outcome": "unverified", "is_verified": False, "account": ""}
        passed = {**said, "outcome": "known", "is_verified": True, "account": "nina@proven.example"}
        self.providers = {"new": IdentityProvider.objects.create(organisation=self.acme, title="Okta of Maasborg")}
        for state, trial in {"draft": failed, "tried": passed, "on": passed}.items():
            self.providers["" if state == "draft" else state] = own_provider(
                self.acme,
                proven,
                issuer=said["issuer"],
                title=f"Maasborg ({state})",
                state=ProviderState(state),
                trial=trial,
                tried_at=None if state == "draft" else self.now,
            )
        self.providers["without a domain"] = IdentityProvider.objects.create(organisation=self.fresh, title="Fresh ID")

    def make_retention(self) -> None:
        """Make a limit with a lock above, a pending change, holds, a run that deleted, one that runs, and a proof."""
        set_retention(self.agency, to=Retention.limit(730, locked=True), by=SYSTEM, now=self.now)
        set_retention(self.acme, to=Retention.limit(365), by=self.by, now=self.now)
        purge(now=self.now)
        self.run = PurgeRun.objects.create(as_of=self.now)
        Receipt.objects.create(
            run=self.run,
            environment=self.acme,
            environment_label="Acme",
            days=365,
            cutoff=self.now - timedelta(days=365),
            messages=1234,
        )
        self.change = change_retention(self.acme, to=Retention.limit(30), by=self.by, now=self.now)
        targets = ({}, {"contact": self.longest.contact}, {"conversation": self.longest})
        ends = (None, self.now + timedelta(days=9), None)
        holds = [
            place_hold(self.acme, reason="Claims dispute", until=until, by=self.by, now=self.now, **target)
            for target, until in zip(targets, ends, strict=True)
        ]
        release_hold(holds[0], by=self.by, now=self.now)
        self.hold = holds[1]
        Guard.objects.create(environment=self.fresh, run=self.run)
        self.erasure = erase_contact(
            factories.conversation(of=self.acme, now=self.now).contact, by=self.by, now=self.now
        )
        store_proof(now=self.now)
        for days_ago in range(3):
            figures = {"environments": 4, "late": days_ago, "without_mfa": 3}
            ComplianceDay.objects.create(
                organisation=self.agency, day=(self.now - timedelta(days=days_ago)).date(), figures=figures
            )

    def make_template(self) -> None:
        """Make a template with everything, and a person who has left since."""
        members = {"ann@acme.example": [Role.DEVELOPER], "leo@acme.example": [Role.MEMBER]}
        retention, mfa = Retention.limit(90, locked=True), MfaRule.on()
        values = TemplateValues("Standard", retention, mfa, [Role.MEMBER], members)
        self.template = create_template(self.agency, values, by=self.by, now=self.now)
        left = factories.UserFactory(name="Mo Visser", email="mo@acme.example")
        self.template.members.create(user=left, roles=[Role.MEMBER])

    def make_bulk_changes(self) -> None:
        """Make one whose results are of every kind, one that reverts it, and one that runs."""
        done = self.start_bulk_change(Wanted(Retention.limit(800), mfa=MfaRule.on()))
        going = self.start_bulk_change(Wanted(Retention.limit(300)))
        self.bulk_changes = {"done": done, "running": going}
        run_bulk_change(done, seconds=60)
        for item, state in zip(done.items.order_by("pk"), ("changed", "unchanged", "failed"), strict=False):
            item.state, item.reason = state, BROKEN if state == "failed" else ""
            item.before = {"archival": {"archival": "limit", "days": 365, "locked": False}}
            item.save()
        do_next(going)

    def start_bulk_change(self, wanted: Wanted) -> BulkChange:
        environments = Organisation.objects.below(self.agency).environments().exclude(pk=self.acme.pk)
        return start_bulk_change(self.agency, environments, wanted=wanted, by=self.by, now=self.now)

    def make_deletions(self) -> None:
        going, stopped, gone = (
            factories.environment(parent=self.customer, name=name) for name in ("Going", "Stopped", "Gone")
        )
        factories.conversation(of=gone, now=self.now)
        run = delete_organisation(gone, by=self.by, now=self.now)
        self.deletions = {"done": run.deletion, "running": begin_deletion(going, by=self.by, now=self.now)}
        self.deletions["stopped"] = begin_deletion(stopped, by=self.by, now=self.now)
        stop_deletion(self.deletions["stopped"], by=self.by, now=self.now)

    def make_exports(self) -> None:
        """Make an export in each state; the one that is ready lacks something."""
        a_ready_export(self.strict, key="no file either", now=self.now)
        ready = a_ready_export(self.acme, key="no file", now=self.now)
        of_state = {
            "": ready,
            "running": an_export(self.acme, now=self.now, written=400, tries=1),
            "failed": an_export(self.acme, ExportState.FAILED, reason=ExportEnd.STORAGE, now=self.now),
            "withdrawn": an_export(self.acme, ExportState.WITHDRAWN, reason=ExportEnd.ERASURE, now=self.now),
            "expired": an_export(self.acme, ExportState.EXPIRED, now=self.now),
        }
        EnvironmentExport.objects.filter(pk=ready.pk).update(missing_count=2, too_long_count=1)
        self.exports = of_state

    def write_mail(self, mails: Path) -> None:
        mail = EmailMultiAlternatives("A code for Studio", "Your code is 123456.", to=[self.ada.email])
        mail.attach_alternative("<p>Your code is <b>123456</b>.</p>", "text/html")
        EmailBackend(file_path=str(mails)).send_messages([mail])
        (written,) = mails.iterdir()
        self.mail = f"{written.stem}.0"
