"""Every mail with the facts that it is sent with, and names as long as people can type them."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import cycle
from typing import Any

from django.urls import reverse

from accounts import mail
from accounts.choices import MailPurpose
from accounts.models import SessionRecord, User
from agencies.compliance.digests import DigestFigure
from agencies.compliance.figures import FIGURES
from agencies.models import BulkChange
from archival.choices import DeletionNews, StopReason
from archival.models import Deletion, EnvironmentExport, PolicyChange, Proof
from environments.choices import DomainNews, KeySuspension, Role
from environments.models import ApiKey, Invitation, Membership, Organisation, OrganisationDomain
from tests.factories import NOW, environment, member

WORD = "Donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunterbeamtengesellschaft"
TOKEN = "u4Xq-pT1" * 6
LATER = NOW + timedelta(days=8)
COUNTS = {"conversations": 1371, "messages": 18_500, "contacts": 1, "attachments": 12, "bytes": 1_234_567}


class Mails:
    """Facts of every mail, by its template: one dictionary for each thing that it can say."""

    def __init__(self) -> None:
        self.acme: Organisation = environment(name=f"{WORD} {WORD}", slug="a" * 63)
        address = f"{'l' * 64}@{'d' * 63}.{'e' * 63}.test"
        self.ada: User = member(self.acme, Role.ADMINISTRATOR, email=address, name=WORD)
        domain = f"{'d' * 63}.{'e' * 63}.test"
        self.domain = OrganisationDomain(organisation=self.acme, domain=domain, missing_since=NOW)
        self.keys = [
            ApiKey(name=WORD, prefix="abcdefgh", organisation=self.acme, rests_because=why) for why in KeySuspension
        ]
        self.path = reverse("environments:invitation", args=[TOKEN])

    def all(self) -> dict[str, list[dict[str, Any]]]:
        return {
            **(self.of_accounts() | self.of_organisations() | self.of_keys()),
            **(self.of_retention() | self.of_bulk_changes() | self.of_deletion() | self.of_exports()),
        }

    def of_accounts(self) -> dict[str, list[dict[str, Any]]]:
        event = {"at": NOW}
        confirm = reverse("accounts:confirm-email", args=[TOKEN])
        session = SessionRecord(browser="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0", opened_by="password")
        return {
            "email_change": [event | {"new": self.ada.email, "path": confirm}],
            "email_changed": [event | {"old": self.ada.email, "new": self.ada.email}],
            "email_taken": [event],
            "factor_added": [event | {"name": WORD}],
            "factor_removed": [event | {"name": WORD}],
            "factors_reset": [event | {"by": self.ada.label}],
            "identity_linked": [event | {"provider": WORD}],
            "identity_unlinked": [event | {"provider": WORD}],
            "mailbox_code": [event | {"code": "012345", "minutes": 10, "purpose": purpose} for purpose in MailPurpose],
            "new_browser": [event | {"session": session}],
            "password_changed": [event],
            "password_reset": [event | {"path": reverse("accounts:set-password", args=["MQ", TOKEN])}],
            "recovery_code_used": [event | {"left": left, "of": 10} for left in (1, 9)],
            "recovery_codes_made": [event],
        }

    def of_organisations(self) -> dict[str, list[dict[str, Any]]]:
        here = {"organisation": self.acme, "at": NOW}
        invitation = Invitation(
            organisation=self.acme, invited_by=self.ada, by_domain=self.domain, created_at=NOW, expires_at=LATER
        )
        setting = {**here, "who": self.ada.label, "acts_at": LATER, "value": "inherit", "locked": True}
        return {
            "access_accepted": [here | {"roles": [role.label for role in Role]}],
            "access_rejected": [{"slug": self.acme.slug, "at": NOW}],
            "access_removed": [here | {"by": self.ada.label, "places": [self.acme] * n} for n in (1, 21, 500)],
            "access_requested": [here | {"asker": self.ada, "path": "/acme/access-requests/#request-1"}],
            "compliance_digest": [self.digest(changes=[0, 1, -1, 1200, None], since=NOW.date()), self.digest()],
            "domain": [here | {"domain": self.domain, "news": news} for news in DomainNews],
            "factor_reminder": [here | {"who": self.ada.label}],
            "impersonated": [here | {"by": self.ada.label, "until": LATER}],
            "invitation": [{"invitation": invitation, "path": self.path}],
            "join_link": [{"invitation": invitation, "path": self.path}],
            "link_invitation": [{"invitation": invitation, "path": self.path}],
            "membership_ends": [{"organisation": self.acme, "until": LATER}],
            "memberships_end": [
                {"organisation": self.acme, "until": LATER, "memberships": each, "count": len(each)}
                for each in (
                    [Membership(user=self.ada, expires_at=LATER)],
                    [Membership(user=self.ada, expires_at=LATER)] * 3,
                )
            ],
            "mfa_reminder": [{"names": names, "count": len(names), "acts_at": LATER} for names in self.some_names()],
            "mfa_setting": [setting | {"what": what} for what in ("scheduled", "cancelled", "on", "off", "value")],
        }

    def digest(self, *, changes: Sequence[int | None] = (None,), since: date | None = None) -> dict[str, Any]:
        figures = [
            DigestFigure(figure.label, number * 411, change, figure.address(self.acme))
            for number, (figure, change) in enumerate(zip(FIGURES, cycle(changes), strict=False))
            if not figure.group.is_chart
        ]
        return {"organisation": self.acme, "figures": figures, "since": since}

    def of_keys(self) -> dict[str, list[dict[str, Any]]]:
        key = {"name": WORD, "prefix": "abcdefgh", "at": NOW}
        return {
            "api_key_created": [
                key | {"organisation": "", "expires_at": None, "is_own": True},
                key | {"organisation": self.acme.name, "expires_at": LATER, "is_own": False},
            ],
            "api_key_revoked": [key | {"by": by} for by in (self.ada, None)],
            "api_keys_rest": [
                {"keys": keys, "organisation": self.acme, "at": NOW} for keys in (self.keys[:1], self.keys)
            ],
        }

    def of_retention(self) -> dict[str, list[dict[str, Any]]]:
        here = {"organisation": self.acme, "since": NOW, "at": NOW}
        below = [
            {"names": names, "count": len(names) + 50, "acts_at": LATER, "ended_at": NOW} for names in self.some_names()
        ]
        below[0]["count"] = 1
        findings = [{"kind": "messages", "state": "late", "oldest": None, "late_by_seconds": 7200}]
        proof = Proof(environment=self.acme, checked_at=NOW, is_late=True, findings=findings)
        late = [{"proofs": [proof] * n, "count": n + more, "more": more, "at": NOW} for n, more in ((1, 0), (3, 2))]
        pending = self.change(state="pending"), self.change(state="pending", preview={}), self.moved()
        return {
            "retention_pending": [here | {"change": change} for change in pending],
            "retention_ended": [
                here | {"change": self.change(state=state)} for state in ("applied", "cancelled", "refused")
            ],
            "retention_unsent": [here | {"change": pending[0]}],
            "retention_pending_above": below,
            "retention_kept_above": below,
            "retention_late": late,
            "retention_on_time": late,
            "purge_silent": [{"since": since, "is_paused": not since, "at": NOW} for since in (NOW, None)],
            "purge_heard": [{"since": NOW, "at": NOW}],
        }

    def of_bulk_changes(self) -> dict[str, list[dict[str, Any]]]:
        job, reversal = (BulkChange(requested_label=self.ada.label, reverts=of) for of in (None, BulkChange(pk=1)))
        waiting = {"first": [self.change(state="pending")], "count": 1}
        kept = {"first": [self.change(state=state) for state in ("applied", "replaced")], "count": 50}
        facts = [{"name": WORD, "value": "On", "acts_at": acts_at} for acts_at in (LATER, None)]
        none = {"first": [], "count": 0}
        everything = {"names": [self.acme.name], "count": 53, "deletes": COUNTS, "acts_at": LATER}
        everything |= {"waiting": waiting, "kept": kept, "mfa": {"first": facts, "count": 2}}
        harmless = everything | {"count": 1, "deletes": {}, "waiting": none, "mfa": none}
        return {"bulk_change": [everything | {"job": job}, harmless | {"job": reversal}]}

    def change(self, **fields: Any) -> PolicyChange:
        return PolicyChange(
            organisation=self.acme,
            organisation_label=self.acme.name,
            acts_at=LATER,
            ended_at=LATER,
            requested_at=NOW,
            requested_label=self.ada.label,
            ended_label=self.ada.label,
            reason="Its count failed.",
            counted_at=LATER,
            **{"archival": "limit", "days": 30, "preview": COUNTS} | fields,
        )

    def moved(self) -> PolicyChange:
        return self.change(archival="inherit", days=None, new_parent=self.acme, new_parent_label=WORD)

    def of_deletion(self) -> dict[str, list[dict[str, Any]]]:
        deletion = Deletion(
            organisation=self.acme,
            organisation_label=self.acme.name,
            requested_at=NOW,
            requested_label=self.ada.label,
            reason=StopReason.values[0],
            ended_at=LATER,
            ended_label=self.ada.label,
        )
        facts = {"deletion": deletion, "counts": COUNTS}
        return {"deletion": [facts | {"news": news, "can_see": can} for news in DeletionNews for can in (True, False)]}

    def of_exports(self) -> dict[str, list[dict[str, Any]]]:
        said = []
        for state, reason in (("ready", ""), ("failed", "storage"), ("withdrawn", "erasure")):
            export = EnvironmentExport(environment_label=self.acme.name, state=state, reason=reason, expires_at=LATER)
            said += [
                {"first": export, "exports": [export] * shown, "count": count, "others": count - 1, "place": place}
                for shown, count, place in ((1, 1, self.acme), (1, 1, None), (20, 1_234, self.acme))
            ]
        return {"exports": said}

    def some_names(self) -> list[list[str]]:
        return [[self.acme.name], [self.acme.name, "Acme", "Maasborg"]]

    def send(self) -> Iterator[str]:
        """Queue every mail to Ada, in the order of the templates, and yield the template of each."""
        for template, said in sorted(self.all().items()):
            for facts in said:
                mail.send(self.ada, template, facts)
                yield template
