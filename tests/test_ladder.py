"""The ladder of danger: every page that takes a form stands on one rung, so that a new one has to choose."""

from collections.abc import Callable, Iterator
from typing import Any

from django.urls import URLResolver, get_resolver

from tests.environments import test_questions

# One click, and Undo in its message: ``test_undo`` has what each of them does.
UNDO = {
    "accounts:profile",
    "agencies:template",
    "accounts:rename-factor",
    "environments:member",
    "environments:organisation",
    "environments:settings",
    "studio:advanced-settings",  # in numbers first; what it deletes waits, or else a name is typed
}
MAILED, SECRET = "somebody has been mailed", "what was replaced is a secret, and was not kept"
ENTERS, ASKS = "nothing of it is stored but who is logged in, and how", "what ends it asks a question, as on any day"
CHOSEN = "the menu with the other choices is on every page"
# One click or a form with a button, and no Undo: the value is why.
NO_UNDO = {
    "accounts:change-email": "nothing is changed until the mailed link is opened",
    "accounts:change-password": SECRET,
    "accounts:confirm-email": "the address before has to be proven anew, by a link of its own",
    "accounts:end-session": "a session begins with a log-in alone",
    "accounts:enrol": ASKS,
    "accounts:login": ENTERS,
    "accounts:logout": ENTERS,
    "accounts:make-recovery-codes": SECRET,
    "accounts:new-recovery-codes": "it says that the codes were saved",
    "accounts:organisation-log-in": ENTERS,
    "accounts:reset-password": MAILED,
    "accounts:set-password": SECRET,
    "accounts:slowed": "it allows a try, which is made or not",
    "accounts:step-up": ENTERS,
    "accounts:verify": ENTERS,
    "agencies:change-digest": "the button for the opposite takes its place",
    "agencies:change-environments": "previewed first; a name is typed where data goes at once; its page reverts it",
    "agencies:create": "what is created is deleted by typing its name",
    "agencies:create-list": "previewed first; what is created is deleted by typing its name",
    "agencies:new-template": ASKS,
    "agencies:resume": ASKS,
    "agencies:roots": "what is created is deleted by typing its name",
    "archival:cancel-change": "asked again, the change is counted and announced again, and waits anew",
    "archival:holds": ASKS,
    "archival:start-exports": ASKS,
    "environments:answer-access-request": MAILED,
    "environments:api-keys": ASKS,
    "environments:ask-access": MAILED,
    "environments:change-slug": "the page says what stops; the short name before stays reserved, to be taken back",
    "environments:check-domain": "it stores what the DNS answered",
    "environments:impersonate": "the button that stops it is on every page",
    "environments:invitation": ASKS,
    "agencies:remind-people": MAILED,
    "environments:invitation-link": MAILED,
    "environments:invitation-links": ASKS,
    "environments:invite-list": MAILED,
    "environments:join": MAILED,
    "environments:members": MAILED,
    "environments:organisation-keys": ASKS,
    "environments:provider": "what it changes has to be tried before it is turned on",
    "environments:providers": "nobody logs in through it until it was tried and turned on",
    "environments:stop-impersonation": "to begin again takes a step-up of its own",
    "environments:take-over-organisation-key": "nobody is made responsible for a key by somebody else",
    "environments:try-provider": "nobody is logged in or linked",
    "environments:turn-on-provider": ASKS,
    "set_language": CHOSEN,
    "social:begin": ENTERS,
    "studio:theme": CHOSEN,
}
# Small and hard to undo: one question, which names what ends. The value is its kind in ``test_questions``.
QUESTION = {
    "accounts:end-other-sessions": "other sessions",
    "accounts:remove-factor": "factor",
    "accounts:unlink-identity": "identity",
    "agencies:delete-template": "template",
    "agencies:move": "move",  # what it deletes waits, and can be cancelled until then
    "agencies:remove-user": "user",
    "agencies:revert-bulk-change": "bulk change",
    "agencies:suspend": "suspension",
    "archival:release-hold": "hold",
    "archival:withdraw-export": "export",
    "environments:change-domains": "domain",  # the other buttons of its form add and confirm
    "environments:change-invitation": "invitation",  # the other button sends the link again
    "environments:leave": "own membership",
    "environments:remove-member": "member",
    "environments:revoke-api-key": "own key",
    "environments:revoke-invitation-link": "invitation link",
    "environments:revoke-organisation-key": "organisation key",
    "environments:turn-off-provider": "identity provider",
}
# Deletes data, or somebody's second factors, for good: what goes is shown first, then a name is typed.
TYPED = {
    "archival:apply-change",
    "archival:confirm-guard",
    "archival:delete-organisation",
    "archival:erase-contact",
    "change-deletion",  # the rest of an organisation; its other buttons stop and reopen
    "environments:delete-provider",
    "environments:reset-factors",
}
# REST, what the scripts of passkeys send, and what a provider answers.
OTHERS = ("api:", "otp_webauthn:", "conversation-", "social:complete")


def methods_of(view: Callable[..., Any] | None) -> set[str] | None:
    """Return the methods that a view's decorators allow, or None if they allow all."""
    while view is not None:
        cells = dict(zip(view.__code__.co_freevars, view.__closure__ or (), strict=True))
        if "request_method_list" in cells:
            return set(cells["request_method_list"].cell_contents)
        view = getattr(view, "__wrapped__", None)
    return None


def views_with_forms(resolver: URLResolver | None = None, space: str = "") -> Iterator[str]:
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            yield from views_with_forms(entry, f"{space}{entry.namespace}:" if entry.namespace else space)
        elif "POST" in (methods_of(entry.callback) or {"POST"}):
            yield f"{space}{entry.name}"


def test_every_form_stands_on_one_rung_of_the_ladder():
    rungs = [UNDO, NO_UNDO.keys(), QUESTION.keys(), TYPED]
    found = {name for name in views_with_forms() if not name.startswith(OTHERS)}
    assert set().union(*rungs) == found
    assert sum(map(len, rungs)) == len(found), "no form stands on two rungs"


def test_every_question_is_asked_in_a_browser():
    assert set(QUESTION.values()) <= set(test_questions.KINDS)
