"""Authenticate REST requests by API key.

The settings name the class, so that the gate, in a lower room, can leave requests with a key to it.
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
from environments.keys import suspension
from environments.keys.services import hash_of, prefix_of
from environments.models import ApiKey
from environments.requests import caller_of

SAVE_LAST_USE_EVERY = timedelta(minutes=1)


class KeyIsSuspended(PermissionDenied):
    default_detail = gettext_lazy("This key is suspended until an Administrator of its organisation takes it over.")
    default_code = "key_rests"  # clients know this code
    keeps_changes = True  # the suspension is stored


class AccountIsClosed(AuthenticationFailed):
    default_detail = gettext_lazy("This API key is not valid.")
    keeps_changes = True  # the revocation is stored


class ApiKeyAuthentication(BaseAuthentication):
    """Authenticates requests with ``Authorization: Bearer <key>``; never by the address, which would end up in logs.

    Sets ``request.caller``, with all limits of the key. ``request.user`` becomes the owner, or an anonymous user for an
    organisation's own key; ``request.auth`` the ``ApiKey``. 401 for a key that is malformed, unknown, revoked, expired
    or of a closed account; 403 with the code ``mfa_required`` while the owner must use a second factor and has none,
    and with the code ``key_rests`` for an organisation's own key that is suspended.
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
            if not suspension.review_key(key, now=timezone.now()):
                raise KeyIsSuspended
        elif not key.owner.is_active or key.rests_since is not None:
            suspension.revoke_keys_of_closed_accounts([key], now=timezone.now())
            raise AccountIsClosed
        elif not complies(key.owner):
            message = _("The owner of this key must set up multi-factor authentication first.")
            raise PermissionDenied(message, code="mfa_required")
        self._save_last_use(key)
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
        key = ApiKey.objects.select_related("owner", "organisation", "created_by").filter(prefix=prefix).first()
        if key is None or not hmac.compare_digest(key.hash, hash_of(raw)):
            return None
        has_expired = key.expires_at is not None and key.expires_at <= timezone.now()
        return None if key.revoked_at is not None or has_expired else key

    @staticmethod
    def _save_last_use(key: ApiKey) -> None:
        """Store when the key was last used, at most once a minute."""
        now = timezone.now()
        if key.last_used_at is None or key.last_used_at < now - SAVE_LAST_USE_EVERY:
            stale = Q(last_used_at=None) | Q(last_used_at__lt=now - SAVE_LAST_USE_EVERY)
            ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)


class HasCaller(BasePermission):
    """Allows requests of people who are logged in and requests with a working key, also an organisation's own."""

    def has_permission(self, request: Request, view: object) -> bool:
        return caller_of(request).is_known


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes in the OpenAPI schema how a key is sent."""

    target_class = ApiKeyAuthentication
    name = "API key"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer studio_…`"}
