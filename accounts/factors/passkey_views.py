"""The library's views for passkeys, under the same rules as every other factor."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from django.db import DatabaseError, IntegrityError, transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django_otp.models import Device
from django_otp_webauthn import exceptions, views
from django_otp_webauthn.models import WebAuthnCredential

from accounts.choices import ANONYMOUS_SESSION_LASTS, PASSKEY_BACKEND, Decision, OpenedBy
from accounts.factors import services as factors
from accounts.factors.enrol_views import ENROLMENT, enrolment_key
from accounts.gate import safe_next
from accounts.models import User
from accounts.requirement import has_factor
from accounts.sessions import candidates
from accounts.sessions import services as sessions
from accounts.sessions.candidates import Candidate
from accounts.standing import SessionOver, StepUpOver
from accounts.stepup import is_stepped_up
from accounts.throttle.budgets import TooManyTries, count_visit, current_address, one_try
from web.compression import shows_secret

STATE = "otp_webauthn_authentication_state"  # where the library keeps a challenge in the session


class EnrolNotAllowed(exceptions.OTPWebAuthnApiError):  # type: ignore[misc]
    status_code = 403
    default_code = "enrol_not_allowed"
    default_detail = _("Confirm your identity first.")


class CredentialTaken(exceptions.OTPWebAuthnApiError):  # type: ignore[misc]
    """A passkey with this credential id, which authenticators make at random, exists; the error does not say whose."""

    status_code = 400
    default_code = "credential_taken"
    default_detail = _("This passkey cannot be added. Make a new one.")


class _Visitor:
    """Mixin that says whose passkey it is: a candidate before the gate, a logged-in user, or nobody yet.

    What these views answer is never compressed, as all of it is part of a ceremony.
    """

    request: Any

    @classmethod
    def as_view(cls, **options: Any) -> Callable[..., HttpResponse]:
        view: Callable[..., HttpResponse] = super().as_view(**options)  # type: ignore[misc]  # of the library's view
        return shows_secret(view)

    def candidate(self) -> Candidate | None:
        if not hasattr(self, "_candidate"):
            self._candidate = candidates.find(self.request, now=timezone.now())
        return self._candidate

    def get_user(self) -> User | None:
        if candidate := self.candidate():
            return candidate.user
        return self.request.user if self.request.user.is_authenticated else None

    def handle_exception(self, error: Exception) -> HttpResponse:
        if isinstance(error, TooManyTries):
            return JsonResponse({"detail": " ".join(error.messages), "code": "too_many_tries"}, status=429)
        if isinstance(error, SessionOver | StepUpOver):
            return JsonResponse({"detail": str(error), "code": "session_over"}, status=403)
        if isinstance(error, RecursionError | ValueError):  # JSON that the library does not expect to get
            error = exceptions.MalformedRequest()
        answer: HttpResponse = super().handle_exception(error)  # type: ignore[misc]  # of the library's view
        return answer


class _Registration(_Visitor):
    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        people: list[Any] = [request.user, self.get_user() or request.user]
        for user in people:
            user.is_verified = lambda: False  # the library asks; here the record of the session has the answer
        super().initial(request, *args, **kwargs)  # type: ignore[misc]  # of the library's view

    def user_is_mfa_enrolled(self, user: User) -> bool:
        return False  # the check below is stricter, and knows step-up by SSO

    def check_can_register(self) -> None:
        """Require a confirmed mailbox for a first factor and step-up for a further one, at begin and at complete."""
        user, candidate = self.get_user(), self.candidate()
        if user is None or (candidate and candidate.decision == Decision.VERIFY):
            raise EnrolNotAllowed
        allowed = enrolment_key(self.request, user) is not None if not has_factor(user) else is_stepped_up(self.request)
        if not allowed:
            raise EnrolNotAllowed


class BeginRegistration(_Registration, views.BeginCredentialRegistrationView):  # type: ignore[misc]
    """Return the options with which the browser makes a passkey."""


class CompleteRegistration(_Registration, views.CompleteCredentialRegistrationView):  # type: ignore[misc]
    """Store a passkey and open its owner's session, or keep the open one."""

    def get_state(self) -> Mapping[str, Any]:
        return self.state

    def post(self, *args: Any, **kwargs: Any) -> HttpResponse:
        now, candidate, user = timezone.now(), self.candidate(), self.get_user()
        assert user is not None
        self.state = super().get_state()  # used up, whatever comes
        with transaction.atomic():
            is_first = factors.lock_to_add(user)
            try:
                with transaction.atomic():
                    answer = super().post(*args, **kwargs)
            except IntegrityError:
                raise CredentialTaken from None
            device = WebAuthnCredential.objects.get(pk=json.loads(answer.content)["id"], user=user)
            device.name = factors.free_name(user, str(_("Passkey")))
            device.save(update_fields=["name"])
            factors.record_added(user, device, now=now)
        self.request.session.pop(ENROLMENT, None)
        if candidate:
            candidates.complete_log_in(self.request, candidate, factor=device.persistent_id, now=now)
        else:
            sessions.pass_factor(self.request, self.request.user, factor=device.persistent_id, now=now)
        after = safe_next(self.request, candidate.next if candidate else "")
        address = reverse("accounts:make-recovery-codes" if is_first else "accounts:security")
        return JsonResponse({"id": device.pk, "next": f"{address}?{urlencode({'next': after})}" if after else address})


class BeginAuthentication(_Visitor, views.BeginCredentialAuthenticationView):  # type: ignore[misc]
    """Return a challenge to the browser; where no user is known yet, it demands user verification.

    Every visitor of the log-in page gets one, so its session is short and each address has a limit a minute.
    """

    def post(self, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.request.session.session_key is None:
            count_visit()
        if self.get_user() is None:
            self.request.session.set_expiry(ANONYMOUS_SESSION_LASTS)
        answer: HttpResponse = super().post(*args, **kwargs)
        return answer


class OfferAuthentication(_Visitor, views.BeginCredentialAuthenticationView):  # type: ignore[misc]
    """Return the challenge for passkeys that the browser offers in the e-mail field of the log-in page, or 204.

    It is for a complete log-in, so there is none where a user is known. Every view of the page asks for it: a session
    has one challenge until it is used, for all its tabs, and new sessions have a limit a minute of their own.
    """

    def post(self, *args: Any, **kwargs: Any) -> HttpResponse:
        session = self.request.session
        if self.get_user() is not None:
            return HttpResponse(status=204)
        if session.session_key is None:
            try:
                count_visit("offers")
            except TooManyTries:
                return HttpResponse(status=204)
            session.set_expiry(ANONYMOUS_SESSION_LASTS)
        options, state = self.get_helper().authenticate_begin(user=None, require_user_verification=True)
        unused = session.get(STATE)
        if unused and unused["require_user_verification"]:
            options["challenge"] = unused["challenge"]
        else:
            session[STATE] = state
        return JsonResponse(options)


class CompleteAuthentication(_Visitor, views.CompleteCredentialAuthenticationView):  # type: ignore[misc]
    """Check the answer to a challenge: as a second factor, as step-up, or as a complete log-in."""

    def post(self, *args: Any, **kwargs: Any) -> HttpResponse:
        with one_try(current_address()):
            try:
                answer: HttpResponse = super().post(*args, **kwargs)
            except DatabaseError as error:
                if type(error) is not DatabaseError:
                    raise
                raise exceptions.CredentialNotFound from None  # removed meanwhile: there was no row to save
        return answer

    def get_state(self) -> Mapping[str, Any]:
        state: Mapping[str, Any] = super().get_state()
        if self.get_user() is None and not state["require_user_verification"]:
            # Begun as a second factor, it must not end as a complete log-in: the key alone is not enough.
            raise exceptions.InvalidState
        return state

    def complete_auth(self, device: Device) -> None:
        now, candidate, factor = timezone.now(), self.candidate(), device.persistent_id
        if candidate:
            candidates.complete_log_in(self.request, candidate, factor=factor, now=now)
        elif self.request.user.is_authenticated:
            sessions.pass_factor(self.request, self.request.user, factor=factor, now=now)
        else:
            sessions.open_session(
                self.request,
                device.user,
                opened_by=OpenedBy.PASSKEY,
                backend=PASSKEY_BACKEND,
                factor=factor,
                factor_at=now,
            )

    def get_success_url(self) -> str:
        candidate = self.candidate()
        after = (candidate and candidate.next) or self.request.GET.get("next", "")
        return safe_next(self.request, after) or resolve_url("/")
