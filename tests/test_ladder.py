"""The ladder of danger: every page that takes a form stands on one rung, so that a new one has to choose."""

from collections.abc import Callable, Iterator
from typing import Any

from django.urls import URLResolver, get_resolver

from tests.environments import test_questions

# One click, or a form with a button: it can be undone or done again, or ends nothing that anybody would miss.
CLICK = {
    *("accounts:change-email", "accounts:change-password", "accounts:confirm-email", "accounts:end-session"),
    *("accounts:enrol", "accounts:login", "accounts:logout", "accounts:make-recovery-codes"),
    *("accounts:profile", "accounts:rename-factor", "accounts:reset-password", "accounts:new-recovery-codes"),
    *("accounts:set-password", "accounts:slowed", "accounts:step-up", "accounts:verify"),
    *("archival:cancel-change", "archival:holds"),
    *("environments:answer-access-request", "environments:api-keys"),
    *("environments:ask-access", "environments:check-domain", "environments:impersonate", "environments:invitation"),
    *("environments:join", "environments:member", "environments:members", "environments:organisation"),
    *("environments:organisation-keys", "environments:settings", "environments:stop-impersonation"),
    "environments:take-over-organisation-key",
    "set_language",
    "social:begin",
    "studio:advanced-settings",  # in numbers first; what it deletes waits, and can be cancelled until then
    "studio:theme",
}
# Small and hard to undo: one question, which names what ends. The value is its kind in ``test_questions``.
QUESTION = {
    "accounts:end-other-sessions": "other sessions",
    "accounts:remove-factor": "factor",
    "accounts:unlink-identity": "identity",
    "archival:release-hold": "hold",
    "environments:change-domains": "domain",  # the other buttons of its form add and confirm
    "environments:change-invitation": "invitation",  # the other button sends the link again
    "environments:remove-member": "member",
    "environments:revoke-api-key": "own key",
    "environments:revoke-organisation-key": "organisation key",
}
# Deletes data, or somebody's second factors, for good: what goes is shown first, then a name is typed.
TYPED = {
    "archival:apply-change",
    "archival:confirm-guard",
    "archival:delete-organisation",
    "archival:erase-contact",
    "change-deletion",  # the rest of an organisation; its other buttons stop and reopen
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
    rungs = [CLICK, QUESTION.keys(), TYPED]
    found = {name for name in views_with_forms() if not name.startswith(OTHERS)}
    assert set().union(*rungs) == found
    assert sum(map(len, rungs)) == len(found), "no form stands on two rungs"


def test_every_question_is_asked_in_a_browser():
    assert set(QUESTION.values()) <= set(test_questions.KINDS)
