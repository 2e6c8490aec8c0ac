"""What every address answers to whom: the reviewed table that ``test_matrix.py`` compares Studio with.

It is written by hand, from what the pages are for and what each role is for, and never from the decorators of the
views. A new address needs a line here; without one the suite fails.

A line of ``OF_ORGANISATIONS`` names the permission that each method needs. From it follows, in this order:

- a method that the line does not have: 405 for everybody who is logged in, whoever they are;
- nobody has access by a role beside, below or elsewhere in the tree: 404, as for an address that does not exist;
- an organisation of a kind that the page is not for: 404, also for its own Administrators;
- a role without the permission: 403, or ``low`` where the line has another answer;
- a role with it: 200 for GET, and what was asked for any other method, never a refusal;
- HEAD is answered like GET; OPTIONS says what REST takes, the same to everybody.

Roles count where they were given and below. Super users have every permission everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from environments.choices import Kind, Permission, Role

VIEW = frozenset({Permission.VIEW})
READ = frozenset({Permission.READ_CONVERSATIONS})
INGEST = frozenset({Permission.INGEST})
SETTINGS = frozenset({Permission.CHANGE_SETTINGS})
ADVANCED = frozenset({Permission.CHANGE_ADVANCED_SETTINGS})
MEMBERS = frozenset({Permission.MANAGE_MEMBERS})
REQUESTS = frozenset({Permission.ANSWER_ACCESS_REQUESTS})
AUDIT = frozenset({Permission.READ_AUDIT_LOG})
HOLD = frozenset({Permission.HOLD})
ERASE = frozenset({Permission.ERASE})
EXPORT = frozenset({Permission.EXPORT})
IMPERSONATE = frozenset({Permission.IMPERSONATE})
CREATE = frozenset({Permission.CREATE})
DELETE = frozenset({Permission.DELETE})
KEYS = frozenset({Permission.MANAGE_API_KEYS})
PROVIDERS = frozenset({Permission.MANAGE_PROVIDERS})
EVERYTHING = frozenset(Permission)  # of Administrators alone

# What each role is for (DOMAIN: the tree).
_MEMBER = VIEW | READ
_DEVELOPER = VIEW | INGEST | {Permission.USE_API_KEYS}
_ENVIRONMENT_MANAGER = _MEMBER | SETTINGS | MEMBERS | REQUESTS | AUDIT | {Permission.USE_API_KEYS}
ROLES = {
    Role.ADMINISTRATOR: EVERYTHING,
    Role.ORGANISATION_MANAGER: _ENVIRONMENT_MANAGER | ADVANCED,
    Role.ENVIRONMENT_MANAGER: _ENVIRONMENT_MANAGER,
    Role.DEVELOPER: _DEVELOPER,
    Role.MEMBER: _MEMBER,
}

EVERYWHERE = frozenset(Kind)
ENVIRONMENT = frozenset({Kind.ENVIRONMENT})
ABOVE = EVERYWHERE - ENVIRONMENT

Needed = frozenset[Permission]


@dataclass(frozen=True)
class Line:
    """What an address of an organisation needs: for each method a permission, or one for each act of its form."""

    kinds: frozenset[Kind] = EVERYWHERE
    get: Needed | None = None
    post: Needed | Mapping[str, Needed] | None = None
    patch: Needed | None = None
    low: int = 403  # what a member gets whose role is too low
    is_rest: bool = False
    above: bool = False  # a role counts only if it was given above the organisation; 403 with one of its own
    of_deletion: bool = False  # it names a deletion, and no short name


def page(kinds=EVERYWHERE, **needs) -> Line:
    return Line(kinds, **needs)


def rest(kinds=EVERYWHERE, **needs) -> Line:
    return Line(kinds, is_rest=True, **needs)


OF_ORGANISATIONS: dict[str, Line] = {
    # General
    "environments:home": page(get=VIEW),
    "environments:organisation": page(get=VIEW, post={"rename": SETTINGS}),
    "environments:settings": page(get=SETTINGS, post={"name": SETTINGS, "auto-invite": SETTINGS}),
    "environments:change-slug": page(get=DELETE, post=DELETE),
    "environments:change-domains": page(get=SETTINGS, post={"add": SETTINGS, "remove": SETTINGS, "confirm": SETTINGS}),
    "environments:check-domain": page(post=SETTINGS),
    "studio:advanced-settings": page(get=ADVANCED, post={"mfa": ADVANCED, "archival": ADVANCED}),
    "archival:apply-change": page(get=ADVANCED, post=ADVANCED),
    "archival:cancel-change": page(post=ADVANCED),
    # People
    "environments:members": page(get=MEMBERS, post=MEMBERS),
    "environments:member": page(get=MEMBERS, post=MEMBERS),
    "environments:remove-member": page(get=MEMBERS, post=MEMBERS),
    "environments:change-invitation": page(get=MEMBERS, post={"withdraw": MEMBERS, "again": MEMBERS}),
    "environments:invite-list": page(get=MEMBERS, post=MEMBERS),
    "environments:invitation-links": page(get=MEMBERS, post=MEMBERS),
    "environments:revoke-invitation-link": page(get=MEMBERS, post=MEMBERS),
    "environments:reset-factors": page(get=MEMBERS, post=EVERYTHING),  # to others the page says who can
    "environments:impersonate": page(post=IMPERSONATE),
    "environments:access-requests": page(get=REQUESTS),
    "environments:answer-access-request": page(post={"accept": REQUESTS, "reject": REQUESTS}),
    # API keys of the organisation
    "environments:organisation-keys": page(get=KEYS, post=KEYS),
    "environments:revoke-organisation-key": page(get=KEYS, post=KEYS),
    "environments:take-over-organisation-key": page(post=KEYS),
    # Identity providers of the organisation
    "environments:providers": page(get=PROVIDERS, post=PROVIDERS),
    "environments:provider": page(get=PROVIDERS, post=PROVIDERS),
    "environments:try-provider": page(post=PROVIDERS),
    "environments:turn-on-provider": page(post=PROVIDERS),
    "environments:turn-off-provider": page(get=PROVIDERS, post=PROVIDERS),
    "environments:delete-provider": page(get=PROVIDERS, post=PROVIDERS),
    # What was done
    "environments:audit": page(get=AUDIT),
    "environments:export-audit": page(get=AUDIT),
    "environments:export-audit-ndjson": page(get=AUDIT),
    "archival:ledger": page(get=AUDIT),
    "archival:progress": page(get=AUDIT),
    "archival:ages": page(get=AUDIT),
    "archival:run": page(get=AUDIT),
    "archival:receipts-csv": page(get=AUDIT),
    "archival:receipts-json": page(get=AUDIT),
    "archival:receipts-signed": page(get=AUDIT),
    "archival:erased": page(get=AUDIT),
    "archival:erasure": page(get=AUDIT),
    "archival:erasure-signed": page(get=AUDIT),
    "archival:exports": page(get=EXPORT),
    "archival:start-exports": page(post=EXPORT),
    "archival:export": page(get=EXPORT),
    "archival:download-export": page(get=EXPORT),
    "archival:withdraw-export": page(get=EXPORT, post=EXPORT),
    "archival:confirm-guard": page(ENVIRONMENT, get=ADVANCED, post=ADVANCED),
    # Many environments
    "agencies:environments": page(ABOVE, get=VIEW),
    "agencies:environments-csv": page(ABOVE, get=VIEW),
    "agencies:change-environments": page(ABOVE, get=ADVANCED, post=ADVANCED),
    "agencies:bulk-change": page(ABOVE, get=ADVANCED),
    "agencies:bulk-change-progress": page(ABOVE, get=ADVANCED),
    "agencies:bulk-change-csv": page(ABOVE, get=ADVANCED),
    "agencies:revert-bulk-change": page(ABOVE, get=ADVANCED, post=ADVANCED),
    "agencies:compliance": page(get=AUDIT),
    "agencies:change-digest": page(post=AUDIT),
    "agencies:compliance-csv": page(get=AUDIT),
    "agencies:compliance-trend-csv": page(get=AUDIT),
    "agencies:compliance-people": page(get=MEMBERS),
    "agencies:remind-people": page(get=MEMBERS, post=MEMBERS),
    "agencies:compliance-access": page(get=MEMBERS),
    "agencies:compliance-keys": page(get=KEYS),
    "agencies:compliance-providers": page(get=PROVIDERS),
    "agencies:users": page(ABOVE, get=MEMBERS),
    "agencies:users-csv": page(ABOVE, get=MEMBERS),
    "agencies:user": page(ABOVE, get=MEMBERS),
    "agencies:remove-user": page(ABOVE, get=MEMBERS, post=MEMBERS),
    "agencies:create": page(ABOVE, get=CREATE, post=CREATE),
    "agencies:templates": page(ABOVE, get=CREATE),
    "agencies:new-template": page(ABOVE, get=CREATE, post=CREATE),
    "agencies:template": page(ABOVE, get=CREATE, post=CREATE),
    "agencies:delete-template": page(ABOVE, get=CREATE, post=CREATE),
    "agencies:create-list": page(ABOVE, get=CREATE, post=CREATE),
    "agencies:move": page(get=CREATE, post=CREATE, above=True),
    "agencies:suspend": page(get=DELETE, post=DELETE, above=True),
    "agencies:resume": page(post=DELETE, above=True),  # what it names is the organisation itself here
    "agencies:usage": page(get=AUDIT),
    "agencies:usage-csv": page(get=AUDIT),
    # Conversations and contacts
    "conversations:list": page(ENVIRONMENT, get=READ),
    "conversations:detail": page(ENVIRONMENT, get=READ),
    "conversations:text": page(ENVIRONMENT, get=READ),
    "conversations:contacts": page(ENVIRONMENT, get=READ),
    "conversations:contact": page(ENVIRONMENT, get=READ),
    "conversations:attachment": page(ENVIRONMENT, get=READ),
    "conversations:export-contact": page(ENVIRONMENT, get=EXPORT),
    "archival:erase-contact": page(ENVIRONMENT, get=ERASE, post=ERASE),
    "archival:holds": page(ENVIRONMENT, get=HOLD, post=HOLD),
    "archival:release-hold": page(ENVIRONMENT, get=HOLD, post=HOLD),
    # The end of an organisation. A deletion exists for those alone who can delete what it deletes.
    "archival:delete-organisation": page(get=DELETE, post=DELETE),
    "deletion": page(get=DELETE, low=404, of_deletion=True),
    "change-deletion": page(post={"stop": DELETE, "reopen": DELETE, "continue": DELETE}, low=404, of_deletion=True),
    # REST
    "api:organisation": rest(get=VIEW),
    "api:organisation-settings": rest(get=VIEW, patch=ADVANCED),
    "conversation-list": rest(ENVIRONMENT, get=READ, post=INGEST),
    "conversation-detail": rest(ENVIRONMENT, get=READ),
    "conversation-messages": rest(ENVIRONMENT, get=READ, post=INGEST),
}


@dataclass(frozen=True)
class Own:
    """What an address that is about nobody but its visitor answers to each person who is logged in, by method."""

    get: int = 405
    post: int = 405
    more: Mapping[str, int] = field(default_factory=dict)  # of other methods than these two and HEAD


OPTIONS = {"OPTIONS": 200}  # says what the address takes
REDIRECTS = dict.fromkeys(("OPTIONS", "PUT", "PATCH", "DELETE"), 302)  # whatever the method, and does nothing

# A person's own account, and lists of what they have access to. Nobody but them is in these pages.
OWN: dict[str, Own] = {
    "start": Own(get=302),
    "studio:switch": Own(get=200),
    "environments:organisations": Own(get=200),
    "agencies:pending-changes": Own(get=200),
    "environments:ask-access": Own(post=302),  # the same for every short name
    "environments:access-asked": Own(get=200),
    "environments:api-keys": Own(get=200, post=200),
    "environments:revoke-api-key": Own(get=200, post=302),
    "environments:leave": Own(get=200, post=302),
    "environments:stop-impersonation": Own(post=302),
    "accounts:profile": Own(get=200, post=302),
    "accounts:change-email": Own(get=200, post=302),
    "accounts:confirm-email": Own(get=200, post=302),
    "accounts:security": Own(get=200),
    "accounts:second-factor-soon": Own(get=302),  # nothing is coming for them
    "accounts:step-up": Own(get=200, post=200),  # without a code it asks again
    "accounts:go-on": Own(get=302),
    "accounts:change-password": Own(get=200, post=302),
    "accounts:find-change-password": Own(get=302),
    "accounts:remove-factor": Own(get=200, post=302),
    "accounts:rename-factor": Own(get=200, post=302),
    "accounts:make-recovery-codes": Own(get=200, post=302),
    "accounts:new-recovery-codes": Own(get=302, post=302),
    "accounts:unlink-identity": Own(get=200, post=302),
    "accounts:end-session": Own(post=302),
    "accounts:end-other-sessions": Own(get=200, post=302),
    "api:organisations": Own(get=200, more=OPTIONS),
    "api:schema": Own(get=200, more=OPTIONS),
}
# For people without a role that lets them use keys.
WITHOUT_KEYS = {"environments:api-keys": Own(get=200, post=403)}
# Of another person's thing, by an address of one's own account: nothing is found.
OF_OTHERS = {"environments:leave": 404, "environments:revoke-api-key": 404, "accounts:end-session": 404}

# For super users; 403 for everybody else.
FOR_SUPER_USERS: dict[str, Own] = {
    "accounts:slowed": Own(get=200, post=302),
    "agencies:roots": Own(get=200, post=302),
    "environments:platform-audit": Own(get=200),
    "environments:export-platform-audit": Own(get=200),
    "environments:export-platform-audit-ndjson": Own(get=200),
}

# Open to visitors who have not logged in (``accounts.gate.OPEN_VIEWS`` says why), with nothing of any tenant; what they
# answer to people who have.
OPEN: dict[str, Own] = {
    "healthz": Own(get=200),
    "readyz": Own(get=200),
    "metrics": Own(get=404),  # 200 with the token of the settings
    "receipts-public-key": Own(get=200),
    "set_language": Own(get=302, post=302, more=REDIRECTS),
    "studio:theme": Own(post=302),
    "accounts:login": Own(get=302, post=302),
    "accounts:organisation-log-in": Own(get=302, post=302),
    "accounts:verify": Own(get=302, post=302),
    "accounts:enrol": Own(get=200, post=200),
    "accounts:logout": Own(post=302),
    "accounts:reset-password": Own(get=200, post=302),
    "accounts:reset-password-sent": Own(get=200),
    "accounts:set-password": Own(get=410, post=410),  # for a link that is over
    "accounts:dev-mailbox": Own(get=404),
    "accounts:dev-mail": Own(get=404),
    "accounts:dev-mail-html": Own(get=404),
    "environments:invitation": Own(get=404, post=404),  # for a link that is over
    "environments:invitation-link": Own(get=404, post=404),  # the same
    "environments:invitation-link-sent": Own(get=200),
    "environments:join": Own(get=200, post=302),
    "environments:join-sent": Own(get=200),
    "otp_webauthn:credential-registration-begin": Own(post=200, more=OPTIONS),
    "otp_webauthn:credential-registration-complete": Own(post=400, more=OPTIONS),
    "otp_webauthn:credential-authentication-begin": Own(post=200, more=OPTIONS),
    "otp_webauthn:credential-authentication-offer": Own(post=204, more=OPTIONS),
    "otp_webauthn:credential-authentication-complete": Own(post=400, more=OPTIONS),
    "otp_webauthn:js-i18n-catalog": Own(get=200, more=OPTIONS),
    "social:begin": Own(post=302),
    "social:complete": Own(get=302, post=302, more=REDIRECTS),
}
