"""The audit log in words: the name of each action, and its changes."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from audit.models import Event
from environments.access import reachable
from environments.caller import Caller
from environments.choices import Archival, DomainProof, KeySuspension, Kind, MfaSetting, Role

MOVED = "organisation.moved"  # the one event that names organisations above
ACTIONS: dict[str, str | Promise] = {
    "organisation.created": gettext_lazy("created the organisation"),
    "organisation.renamed": gettext_lazy("changed the display name"),
    MOVED: gettext_lazy("moved the organisation"),
    "organisation.slug_changed": gettext_lazy("changed the short name"),
    "organisation.data_deleted": gettext_lazy("deleted all data of the organisation"),
    "purge.reapplied": gettext_lazy("deleted again what a restored backup had brought back"),
    "organisation.suspended": gettext_lazy("suspended the organisation"),
    "organisation.resumed": gettext_lazy("resumed the organisation"),
    "organisation.deletion_begun": gettext_lazy("began to delete the organisation"),
    "organisation.deletion_stopped": gettext_lazy("stopped the deletion of the organisation"),
    "organisation.deletion_given_up": gettext_lazy("reopened the organisation after its deletion stopped"),
    "organisation.deleted": gettext_lazy("deleted the organisation"),
    "mfa_requirement.changed": gettext_lazy("changed required MFA"),
    "mfa_requirement.change_requested": gettext_lazy("scheduled required MFA"),
    "mfa_requirement.change_cancelled": gettext_lazy("cancelled the schedule for required MFA"),
    "mfa_requirement.change_replaced": gettext_lazy("replaced the schedule for required MFA"),
    "mfa_requirement.change_applied": gettext_lazy("applied the schedule for required MFA"),
    "retention.changed": gettext_lazy("changed the retention"),
    "retention.change_requested": gettext_lazy("requested a retention change"),
    "retention.change_cancelled": gettext_lazy("cancelled the pending retention change"),
    "retention.change_replaced": gettext_lazy("replaced the pending retention change"),
    "retention.change_applied": gettext_lazy("applied the pending retention change"),
    "retention.change_postponed": gettext_lazy("postponed the retention change and announced it again"),
    "retention.announcement_unsent": gettext_lazy("could not send the announcement of a retention change for 72 hours"),
    "retention.change_refused": gettext_lazy("refused the pending retention change"),
    "bulk_change.started": gettext_lazy("started a bulk change"),
    "bulk_change.reverted": gettext_lazy("started to revert a bulk change"),
    "bulk_change.finished": gettext_lazy("finished a bulk change"),
    "template.created": gettext_lazy("created a template"),
    "template.changed": gettext_lazy("changed a template"),
    "template.deleted": gettext_lazy("deleted a template"),
    "template.applied": gettext_lazy("applied a template"),
    "auto_invite.changed": gettext_lazy("changed the auto-invite roles"),
    "domain.added": gettext_lazy("added a domain"),
    "domain.proven": gettext_lazy("verified a domain"),
    "domain.missing": gettext_lazy("did not find the DNS record of a domain"),
    "domain.found_again": gettext_lazy("found the DNS record of a domain again"),
    "domain.lapsed": gettext_lazy("ended the verification of a domain"),
    "domain.removed": gettext_lazy("removed a domain"),
    "domain.unconfirmed": gettext_lazy("limited people who join by a domain to the role Member"),
    "domain.confirmed": gettext_lazy("confirmed a domain"),
    "identity_provider.added": gettext_lazy("added the identity provider"),
    "identity_provider.changed": gettext_lazy("changed the identity provider"),
    "identity_provider.tried": gettext_lazy("tried the identity provider"),
    "identity_provider.turned_on": gettext_lazy("turned on the identity provider"),
    "identity_provider.turned_off": gettext_lazy("turned off the identity provider"),
    "identity_provider.deleted": gettext_lazy("deleted the identity provider"),
    "membership.granted": gettext_lazy("added %(subject)s as a member"),
    "membership.changed": gettext_lazy("changed the roles of"),
    "membership.end_changed": gettext_lazy("changed the end date of"),
    "membership.removed": gettext_lazy("removed the member"),
    "membership.left": gettext_lazy("left the organisation"),
    "membership.expired": gettext_lazy("ended the membership, at its end date, of"),
    "invitation.sent": gettext_lazy("invited"),
    "invitation.asked_for": gettext_lazy("mailed a link to join to %(subject)s"),
    "invitation.withdrawn": gettext_lazy("withdrew the invitation of"),
    "invitation_link.created": gettext_lazy("created an invitation link"),
    "invitation_link.revoked": gettext_lazy("revoked an invitation link"),
    "access_request.made": gettext_lazy("requested access"),
    "access_request.accepted": gettext_lazy("accepted the access request of"),
    "access_request.rejected": gettext_lazy("rejected the access request of"),
    "api_key.created": gettext_lazy("created the API key"),
    "api_key.revoked": gettext_lazy("revoked the API key"),
    "api_key.rested": gettext_lazy("suspended the API key"),
    "api_key.taken_over": gettext_lazy("took over the API key"),
    "conversations.imported": gettext_lazy("imported conversations"),
    "conversation.read": gettext_lazy("read the conversation"),
    "attachment.downloaded": gettext_lazy("downloaded the file"),
    "audit_log.downloaded": gettext_lazy("downloaded the audit log"),
    "receipts.downloaded": gettext_lazy("downloaded receipts"),
    "environments.downloaded": gettext_lazy("downloaded the list of environments"),
    "users.downloaded": gettext_lazy("downloaded the list of users"),
    "compliance.downloaded": gettext_lazy("downloaded figures of compliance"),
    "usage.downloaded": gettext_lazy("downloaded figures of usage"),
    "bulk_change.downloaded": gettext_lazy("downloaded the result of a bulk change"),
    "contact.exported": gettext_lazy("exported a contact"),
    "environment.export_requested": gettext_lazy("requested an export of the environment"),
    "environment.exported": gettext_lazy("exported the conversations of the environment"),
    "environment.export_failed": gettext_lazy("could not export the environment"),
    "environment.export_withdrawn": gettext_lazy("deleted an export of the environment"),
    "environment.export_expired": gettext_lazy("deleted an export of the environment that had expired"),
    "environment_export.downloaded": gettext_lazy("downloaded an export of an environment"),
    "contact.erased": gettext_lazy("erased a contact"),
    "hold.placed": gettext_lazy("placed the hold"),
    "hold.released": gettext_lazy("released the hold"),
    "impersonation.begun": gettext_lazy("began to impersonate"),
    "impersonation.ended": gettext_lazy("stopped impersonating"),
    "identity.linked": gettext_lazy("linked an identity"),
    "email.changed": gettext_lazy("changed the e-mail address of"),
    "factors.reset": gettext_lazy("reset the second factors of"),
    "identity.unlinked": gettext_lazy("unlinked an identity"),
    "session.opened": gettext_lazy("logged in"),
    "session.ended": gettext_lazy("ended a session"),
    "sign_in.slowed": gettext_lazy("slowed the log-ins of"),
    "sign_in.cleared": gettext_lazy("allowed the next log-in of"),
    "sign_in.refused": gettext_lazy("was refused by a provider"),
    "code.refused": gettext_lazy("entered a wrong code"),
    "password.reset_asked": gettext_lazy("mailed a link for a new password to %(subject)s"),
    "password.changed": gettext_lazy("changed the password"),
    "email.change_asked": gettext_lazy("requested another e-mail address"),
    "factor.added": gettext_lazy("added a second factor"),
    "digest.turned_on": gettext_lazy("turned on the weekly mail of compliance"),
    "digest.turned_off": gettext_lazy("turned off the weekly mail of compliance"),
    "factor.reminded": gettext_lazy("reminded somebody to set up a second factor"),
    "factor.renamed": gettext_lazy("renamed a second factor"),
    "factor.removed": gettext_lazy("removed a second factor"),
    "recovery_code.used": gettext_lazy("used a recovery code"),
    "recovery_codes.made": gettext_lazy("made recovery codes"),
    "user.created": gettext_lazy("created the account"),
    "super_user.granted": gettext_lazy("made %(subject)s a super user"),
    "blobs.swept": gettext_lazy("deleted stored files without a row"),
    "purge.finished": gettext_lazy("finished the run of the purge"),
    "purge.gap_confirmed": gettext_lazy("resumed the purge after more than a day without a run"),
    "purge.guard_confirmed": gettext_lazy("confirmed an unusually large deletion"),
    "purge.confirmed_ahead": gettext_lazy("confirmed in advance what a new limit deletes"),
}
FIELDS: dict[str, str | Promise] = {
    "require_mfa": gettext_lazy("Own value"),
    "archival": gettext_lazy("Own value"),
    "archive_after_days": gettext_lazy("Days"),
    "locked": gettext_lazy("Lock"),
    "archival_locked": gettext_lazy("Lock of the archival"),
    "require_mfa_locked": gettext_lazy("Lock of the MFA"),
    "auto_invite_roles": gettext_lazy("Auto-invite role(s)"),
    "members": gettext_lazy("People who get roles"),
    "effective": gettext_lazy("Effective"),
    "effective_days": gettext_lazy("Effective"),
    "environments": gettext_lazy("Environments"),
    "changed": gettext_lazy("Changed"),
    "pending": gettext_lazy("Pending"),
    "unchanged": gettext_lazy("Unchanged"),
    "refused": gettext_lazy("Refused"),
    "failed": gettext_lazy("Failed"),
    "acts_at": gettext_lazy("Takes effect"),
    "would_delete": gettext_lazy("Permanently deletes"),
    "roles": gettext_lazy("Roles"),
    "name": gettext_lazy("Name"),
    "slug": gettext_lazy("Short name"),
    "kind": gettext_lazy("Kind"),
    "parent": gettext_lazy("Organisation above"),
    "domain": gettext_lazy("Domain"),
    "domains": gettext_lazy("Domains"),
    "title": gettext_lazy("Name"),
    "issuer": gettext_lazy("Issuer"),
    "client_id": gettext_lazy("Client ID"),
    "secret": gettext_lazy("Client secret"),
    "email_is_trusted": gettext_lazy("Trust its addresses"),
    "outcome": gettext_lazy("Result"),
    "identities": gettext_lazy("Linked identities"),
    "how": gettext_lazy("Verified by"),
    "email": gettext_lazy("E-mail"),
    "factors": gettext_lazy("Second factors"),
    "sessions": gettext_lazy("Sessions"),
    "api_keys": gettext_lazy("API keys"),
    "expires_at": gettext_lazy("Expires"),
    "membership_ends": gettext_lazy("Membership ends"),
    "answers": gettext_lazy("Responsible person"),
    "why": gettext_lazy("Reason"),
}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")  # as events store them
CHOICES = {"require_mfa": MfaSetting, "archival": Archival, "kind": Kind, "how": DomainProof, "why": KeySuspension}


@dataclass(frozen=True, slots=True)
class Change:
    """One field that an event changed; None if there was no value before, or is none after."""

    label: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Line:
    event: Event
    text: str
    changes: list[Change]


def audit_lines(events: Iterable[Event], *, viewer: Caller) -> list[Line]:
    """Return events in words for ``viewer``, without names of organisations that they cannot see; at most one query.

    Instants are in the current time zone.
    """
    events = list(events)
    hide_unknown_parents(events, viewer=viewer)
    return [Line(event, sentence_of(event), changes_of(event)) for event in events]


def sentence_of(event: Event) -> str:
    """Return a sentence of what the actor did; for an action that is not in ``ACTIONS``, made from its name."""
    if event.action == "retention.change_requested" and (wanted := _wanted_retention(event.after)):
        return _("requested a retention change to %(wanted)s") % {"wanted": wanted}
    action = str(ACTIONS.get(event.action, event.action.replace(".", " ").replace("_", " ")))
    if "%(subject)s" in action:
        return action % {"subject": event.subject_label}
    return action if event.subject_label in ("", event.actor_label) else f"{action} {event.subject_label}"


def _wanted_retention(after: Any) -> str:
    """Return the requested retention in words; empty for a move, which sets none."""
    values = after if isinstance(after, dict) else {}
    if days := values.get("archive_after_days"):
        return ngettext("%(days)s day", "%(days)s days", days) % {"days": days}
    return str(Archival(values["archival"]).label) if values.get("archival") in Archival.values else ""


def hide_unknown_parents(events: Sequence[Event], *, viewer: Caller) -> None:
    """Hide, in memory, the parents of moved organisations that ``viewer`` has no access to."""
    pairs = [(event.before, event.after) for event in events if event.action == MOVED]
    moves = [(before, after) for before, after in pairs if before and after]
    slugs = {side["parent"] for move in moves for side in move if side["parent"]}
    known = set(reachable(viewer).filter(slug__in=slugs).values_list("slug", flat=True)) if slugs else set()
    for before, after in moves:
        if before["parent"] in slugs - known:
            before["parent"] = _("an organisation above")
        if after["parent"] in slugs - known:
            after["parent"] = _("another organisation above")


def changes_of(event: Event) -> list[Change]:
    """Return the fields that differ between before and after, in the order of ``FIELDS``, without empty ones."""
    before = event.before if isinstance(event.before, dict) else {}
    after = event.after if isinstance(event.after, dict) else {}
    names = dict.fromkeys([*FIELDS, *sorted({*before, *after})])  # the database keeps no order of keys
    changes = [
        Change(
            str(FIELDS.get(name, name.replace("_", " "))), _value_in_words(name, before), _value_in_words(name, after)
        )
        for name in names
        if name not in before or name not in after or before[name] != after[name]
    ]
    return [change for change in changes if change.before or change.after]


def _label(name: str) -> str:
    return str(FIELDS.get(name, name.replace("_", " ")))


def _value_in_words(name: str, values: dict[str, Any]) -> str | None:
    """Return the value of ``name`` in words, or None if there is none."""
    value = values.get(name)
    if name == "effective_days" and name in values:
        days = ngettext("%(days)s day", "%(days)s days", value or 0)
        return days % {"days": value} if value else _("kept forever")
    if value is None:
        return None
    if isinstance(value, bool):
        return _("on") if value else _("off")
    if isinstance(value, dict):
        return (
            ", ".join(f"{_in_words(count)} {what.replace('_', ' ')}" for what, count in sorted(value.items())) or None
        )
    if isinstance(value, list):
        return ", ".join(str(Role(item).label) if item in Role.values else str(item) for item in value) or None
    if name in CHOICES and value in CHOICES[name].values:
        return str(CHOICES[name](value).label)
    return _in_words(value)


def _in_words(value: Any) -> str:
    if isinstance(value, int):
        return number_format(value, force_grouping=True)
    if isinstance(value, str) and INSTANT.fullmatch(value):
        return date_format(timezone.localtime(datetime.fromisoformat(value)), _("j M Y, H:i"))
    return str(value)
