"""Who calls the API with a key.

Named in settings, so that the gate can hand a request with a key over without knowing this room.
"""

import hmac
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import User
from accounts.requirement import complies
from environments.caller import Caller
from environments.keys import resting
from environments.keys.services import hash_of, prefix_of
from environments.models import ApiKey
from environments.requests import caller_of

REMEMBER_USE_EVERY = timedelta(minutes=1)


class KeyRests(PermissionDenied):
    default_detail = gettext_lazy("This key rests until an Administrator of its organisation takes it over.")
    default_code = "key_rests"
    keeps_changes = True  # that the key rests from now on


class AccountIsClosed(AuthenticationFailed):
    default_detail = gettext_lazy("This API key is not valid.")
    keeps_changes = True  # that the key is revoked


class ApiKeyAuthentication(BaseAuthentication):
    """Reads ``Authorization: Bearer <key>``, and nothing else: a key in an address would end up in logs.

    Sets ``request.caller``, which has all that narrows the key. ``request.user`` becomes the owner, or an anonymous
    user for an organisation's own key; ``request.auth`` the ``ApiKey``. 401 for a key that is malformed, unknown,
    revoked, expired or of a closed account; 403 with the code ``mfa_required`` while the owner must use a second factor
    and has none, and with the code ``key_rests`` for an organisation's own key that rests.
    """

    def authenticate(self, request: Request) -> tuple[User | AnonymousUser, ApiKey] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != b"bearer":
            return None
        raw = words[1].decode("ascii", "replace") if len(words) == 2 else ""
        key = self._find(raw)
        if key is None:
            raise AuthenticationFailed(_("This API key is not valid."))
        if key.owner is None:
            if not resting.review(key, now=timezone.now()):
                raise KeyRests
        elif not key.owner.is_active or key.rests_since is not None:
            resting.end_with_account([key], now=timezone.now())
            raise AccountIsClosed
        elif not complies(key.owner):
            message = _("The owner of this key must set up multi-factor authentication first.")
            raise PermissionDenied(message, code="mfa_required")
        self._remember_use(key)
        http_request: Any = request._request
        http_request.caller = Caller.by_key(key)
        return key.owner or AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Studio"'

    @staticmethod
    def _find(raw: str) -> ApiKey | None:
        prefix = prefix_of(raw)
        if prefix is None:
            return None
        found = ApiKey.objects.select_related("owner", "organisation", "created_by").filter(prefix=prefix).first()
        if found is None or not hmac.compare_digest(found.hash, hash_of(raw)):
            return None
        is_over = found.expires_at is not None and found.expires_at <= timezone.now()
        return None if found.revoked_at is not None or is_over else found

    @staticmethod
    def _remember_use(key: ApiKey) -> None:
        """Write when the key was last used, at most once a minute."""
        now = timezone.now()
        if key.last_used_at is None or key.last_used_at < now - REMEMBER_USE_EVERY:
            stale = Q(last_used_at=None) | Q(last_used_at__lt=now - REMEMBER_USE_EVERY)
            ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)


class HasCaller(BasePermission):
    """Lets in whoever logged in or sent a key that works; an organisation's own key is no user."""

    def has_permission(self, request: Request, view: object) -> bool:
        return caller_of(request).is_known


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Tells the OpenAPI schema how a key is sent."""

    target_class = ApiKeyAuthentication
    name = "API key"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer studio_…`"}
