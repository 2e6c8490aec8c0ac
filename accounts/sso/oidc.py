"""OpenID Connect backends of providers; ``accounts.sso.own`` adds what holds for organisations' own."""

import json
import logging
from typing import Any
from urllib.parse import quote_plus, urlencode

import jwt
import requests
from django.conf import settings
from django.db import transaction
from social_core.backends.open_id_connect import OpenIdConnectAuth
from social_core.backends.utils import jwt_error
from social_core.exceptions import AuthProviderError, AuthResponseError, SocialAuthBaseException
from social_core.utils import http_error
from social_django.models import Association, Nonce
from social_django.utils import load_backend, load_strategy

from accounts.choices import ProviderKind, SsoPurpose
from accounts.names import is_storable
from accounts.providers import (
    Provider,
    domains_of,
    endpoint_of,
    is_address,
    issuers_of,
    named,
    only_domains_of,
    tenants_of,
)
from accounts.requests import LogInRequest
from accounts.sso import id_tokens
from accounts.sso.exchange import Busy, Exchange, ForbiddenAddress
from web.addresses import Address, same_domain

logger = logging.getLogger(__name__)
MOST_BEGUN = 5  # round trips that one browser has open at a provider
GOOGLES_OWN_MAIL = frozenset({"gmail.com", "googlemail.com"})


class StudioOidc(OpenIdConnectAuth):
    """OpenID Connect with PKCE. Stores no tokens, and can demand a fresh log-in at the provider."""

    name = "oidc-base"
    is_guarded = False  # whether calls go to public addresses alone
    DEFAULT_SCOPE = ["openid", "email", "profile"]
    DEFAULT_USE_PKCE = True
    KEYS = {
        "KEY": "client_id",
        "SECRET": "secret",
        "SCOPE": "scope",
        "TOKEN_ENDPOINT_AUTH_METHOD": "token_auth",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.begun: dict[str, Any] = {}  # what was stored with the returned ``state``, once read
        self.is_answered = False  # the answer is to a round trip of this browser
        self.userinfo: dict[str, Any] = {}  # asked for when the ID token says too little about a new user's address
        self._exchange: Exchange | None = None
        self._discovery: dict[str, Any] | None = None

    @property
    def provider(self) -> Provider:
        return named(self.name)

    @property
    def purpose(self) -> SsoPurpose:
        """Return the purpose of the round trip, as stored with its ``state``."""
        return SsoPurpose(self.begun.get("purpose", SsoPurpose.LOG_IN))

    def setting(self, name: str, default: Any = None) -> Any:
        if name == "OIDC_ENDPOINT":
            return endpoint_of(self.provider)
        key = self.KEYS.get(name)
        return self.provider[key] if key in self.provider else super().setting(name, default)

    def extra_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return what is stored of an identity: only what the profile shows; nothing is decided by it."""
        email = self._address_claims().get("email") or (self.id_token or {}).get("email")
        return {"email": email[:254]} if isinstance(email, str) and is_storable(email) else {}

    # -- On the way out ---------------------------------------------------------------------------

    def get_or_create_state(self) -> str | None:
        """Start a round trip, and delete all but the latest few that this browser did not finish."""
        state = super().get_or_create_state()
        begun = self.strategy.session_get(self._transaction_index_key())
        for old in list(begun)[:-MOST_BEGUN]:
            kept = self.strategy.session_pop(self.transaction_key(old)) or {}
            Nonce.consume(self._nonce_scope(), begun.pop(old), old)
            if nonce := kept.get("oidc_nonce"):  # absent if the provider did not answer
                Association.objects.filter(server_url=self.authorization_url(), handle=nonce).delete()
        self.strategy.session_set(self._transaction_index_key(), begun)
        return state

    def auth_params(self, state: str | None = None) -> dict[str, Any]:
        """Return the request's parameters: the required strength of log-in, and a fresh log-in for step-up."""
        params = super().auth_params(state)  # type: ignore[no-untyped-call]
        purpose = getattr(self._request(), "sso_purpose", SsoPurpose.LOG_IN)
        key, after = self.transaction_key(state or ""), self.strategy.session_get("next")
        self.strategy.session_set(key, {**self.strategy.session_get(key), "purpose": purpose, "next": after})
        if acr := self.provider.get("acr"):
            params["acr_values"] = " ".join(acr)
        if self.oidc_config().get("claims_parameter_supported") is True:
            # Without it, a provider can leave them to userinfo (OpenID Connect Core 1.0, section 5.4).
            params["claims"] = json.dumps({"id_token": dict.fromkeys(("email", "email_verified", "name"))})
        if purpose == SsoPurpose.STEP_UP:
            params.update(max_age=0, prompt="login")
        return params

    # -- On the way back --------------------------------------------------------------------------

    def auth_complete(self, *args: Any, **kwargs: Any) -> Any:
        """Process the provider's answer: make all calls to the provider first, then write."""
        state = self.validate_state()
        self._check_issuer()
        self.process_error(self.data)
        tokens = self.request_access_token(
            self.access_token_url(),
            method="POST",
            data=self.auth_complete_params(state),  # type: ignore[no-untyped-call]
            headers=self.auth_headers(),
            auth=self.auth_complete_credentials(),
        )
        return self.do_auth(tokens["access_token"], *args, response=tokens, **kwargs)

    def validate_state(self) -> str | None:
        state = self.get_request_state()  # type: ignore[no-untyped-call]
        kept = self.strategy.session_get(self.transaction_key(state)) if isinstance(state, str) else None
        self.begun = kept if isinstance(kept, dict) else {}
        state = super().validate_state()
        self.is_answered = True
        self.strategy.session_set("next", self.begun.get("next"))  # another round trip can have begun since
        return state

    def _check_issuer(self) -> None:
        """Refuse an answer from another issuer, if discovery says that answers name theirs (RFC 9207)."""
        is_named = self.oidc_config().get("authorization_response_iss_parameter_supported") is True
        if is_named and self.data.get("iss") not in self.issuers():
            raise AuthResponseError(self, code="invalid_claim", claim="iss", stage="callback")

    def issuers(self) -> frozenset[str]:
        """Return the issuers whose answers are accepted."""
        return frozenset([self.id_token_issuer()])

    def auth_complete_credentials(self) -> tuple[str, str] | None:
        """Return client and secret for HTTP Basic, escaped (RFC 6749, section 2.3.1)."""
        client_id, secret = self.get_key_and_secret()
        return (quote_plus(client_id), quote_plus(secret)) if self.use_basic_auth() else None

    def decode_and_validate_id_token(self, id_token: str, access_token: str) -> dict[str, Any]:
        client_id, _secret = self.get_key_and_secret()
        try:
            claims = id_tokens.verified(
                id_token,
                self._keys_for(id_token),
                signatures=id_tokens.signatures_of(self.oidc_config()),
                audience=client_id,
                issuer=self.id_token_issuer(),
                access_token=access_token,
            )
        except SocialAuthBaseException:
            raise  # a ``ValueError`` too, of a call for the keys
        except jwt.PyJWTError as error:
            raise jwt_error(self, error) from error
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise AuthResponseError(self, code="malformed_response", stage="token_validation") from error
        self.validate_authorized_party(claims, client_id)
        return claims

    def validate_temporal_claims(self, id_token: dict[str, Any]) -> None:
        """Do nothing: ``id_tokens`` checks times, with leeway for the provider's clock."""

    def _keys_for(self, id_token: str) -> list[dict[str, Any]]:
        """Return the provider's keys, fetched again if the token names an unknown one."""
        kid, keys = id_tokens.key_id_of(id_token), self.get_jwks_keys()
        if kid is None or any(key.get("kid") == kid for key in keys):
            return keys
        self.get_jwks_keys_for_uri.invalidate(self, self.jwks_uri())
        return self.get_jwks_keys()

    def user_data(self, access_token: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Ask userinfo for a new user's address; everything else is in the ID token."""
        if not self._address_claims() and not self._is_known():
            self.userinfo = self._ask_userinfo(access_token)
        return {}

    def _is_known(self) -> bool:
        uid = self.uid()
        return uid is None or self.strategy.storage.user.get_social_auth(self.name, uid, self.id_key()) is not None

    def _ask_userinfo(self, access_token: str) -> dict[str, Any]:
        """Return the userinfo claims if they are about the subject of the ID token, else nothing."""
        try:
            said = self.get_json(self.userinfo_url(), headers={"Authorization": f"Bearer {access_token}"})
        except SocialAuthBaseException as error:
            logger.warning("The userinfo of %s cannot be used: %s", self.name, error.code)
            return {}
        is_theirs = isinstance(said, dict) and said.get("sub") == (self.id_token or {}).get("sub")
        return said if is_theirs else {}

    def run_authentication(self, *args: Any, **kwargs: Any) -> Any:
        """Run the pipeline and the log-in in one transaction; no call to the provider follows."""
        self._request().sso_work.enter_context(transaction.atomic())
        return super().run_authentication(*args, **kwargs)

    # -- Out again --------------------------------------------------------------------------------

    def log_out_address(self) -> str | None:
        """Return the provider's log-out page, or None if it has none or does not answer.

        OpenID Connect RP-Initiated Logout 1.0, without a token (none is stored), so the provider asks for confirmation.
        """
        try:
            page = self.oidc_config().get("end_session_endpoint")
        except SocialAuthBaseException:
            return None
        if not (isinstance(page, str) and is_address(page)):
            return None
        return f"{page}{'&' if '?' in page else '?'}{urlencode({'client_id': self.setting('KEY')})}"

    # -- Calls to the provider --------------------------------------------------------------------

    def oidc_config(self) -> dict[str, Any]:
        """Return the provider's discovery document. Raises ``AuthResponseError`` if it names another issuer.

        Its issuer is the address below which this was asked for (OpenID Connect Discovery 1.0, section 4.3): another
        one would let whoever answers here speak for somebody else.
        """
        if self._discovery is None:
            said = super().oidc_config()
            issuer = said.get("issuer") if isinstance(said, dict) else None
            if not isinstance(issuer, str) or issuer.removesuffix("/") not in issuers_of(self.provider):
                self.get_openid_configuration.invalidate(self, self.oidc_config_url())
                logger.error(
                    "The discovery of %s at %s names the issuer %.200r: set the endpoint of its entry to its issuer.",
                    self.name,
                    endpoint_of(self.provider),
                    issuer,
                )
                raise AuthResponseError(self, code="other_issuer", stage="begin")
            self._discovery = said
        return self._discovery

    def request(self, url: str, *, method: str = "GET", stage: Any = "user_info", **options: Any) -> requests.Response:
        """Return the response to a call in this request's exchange; see ``accounts.sso.exchange``."""
        if self._exchange is None:
            seconds = settings.SOCIAL_AUTH_REQUESTS_TIMEOUT
            exchange = Exchange(self.name, call_seconds=seconds, is_guarded=self.is_guarded)
            self._exchange = self._request().sso_work.enter_context(exchange)
        options.pop("timeout", None)
        try:
            answer = self._exchange.call(method, url, **options)
            answer.raise_for_status()
        except requests.HTTPError as error:
            raise http_error(self, error, stage=stage) from None
        except requests.Timeout:
            raise AuthProviderError(self, code="timeout", stage=stage) from None
        except Busy:
            raise AuthProviderError(self, code="busy", stage=stage) from None
        except ForbiddenAddress:
            raise AuthProviderError(self, code="forbidden_address", stage=stage) from None
        except requests.exceptions.ContentDecodingError:
            raise AuthResponseError(self, code="malformed_response", stage=stage) from None
        except (requests.RequestException, ValueError):
            raise AuthProviderError(self, code="connection_failed", stage=stage) from None
        if answer.is_redirect:
            raise AuthProviderError(self, code="http_error", stage=stage, status_code=answer.status_code)
        return answer

    def _request(self) -> Any:
        strategy: Any = self.strategy  # Django's, which carries the request
        return strategy.request

    # -- What the claims say ----------------------------------------------------------------------

    def uid(self) -> str | None:
        """Return the subject of the claims; None if it is missing or not a valid one."""
        if self.refusal_code():
            return None
        try:
            uid = self.get_user_id({}, {})  # type: ignore[no-untyped-call]
        except SocialAuthBaseException:
            return None
        return uid if isinstance(uid, str) and 0 < len(uid) <= 255 and is_storable(uid) else None

    def email(self) -> str | None:
        email = self._address_claims().get("email")
        return email if isinstance(email, str) else None

    def claimed_email(self) -> str:
        """Return the address that the provider names, confirmed or not; only for messages to the visitor."""
        said = (self.id_token or {}).get("email") or self.userinfo.get("email")
        return said if isinstance(said, str) else ""

    def full_name(self) -> str | None:
        name = (self.id_token or {}).get("name") or self.userinfo.get("name")
        return name if isinstance(name, str) else None

    def vouches_for(self, address: Address) -> bool:
        """Return whether the provider vouches that the user owns this address."""
        is_verified = self._address_claims().get("email_verified") is True
        only = only_domains_of(self.provider)
        return (is_verified or self.provider.get("email_is_trusted") is True) and (not only or address.domain in only)

    def is_pinned_to(self, address: Address) -> bool:
        """Return whether the address is in a domain whose people log in through this provider."""
        return address.domain in domains_of(self.provider)

    def _address_claims(self) -> dict[str, Any]:
        """Return the claims about an address: all from the ID token, or all from userinfo."""
        for claims in (self.id_token or {}, self.userinfo):
            says_enough = "email_verified" in claims or self.provider.get("email_is_trusted") is True
            if claims.get("email") and says_enough:
                return claims
        return {}

    def refusal_code(self) -> str | None:
        """Return the code of why the signed claims do not identify a user, or None."""
        return None


class Google(StudioOidc):
    """Google: vouches only for its own mailboxes and for domains that it manages (``hd``)."""

    def auth_params(self, state: str | None = None) -> dict[str, Any]:
        params = super().auth_params(state)
        only = only_domains_of(self.provider)
        if only:
            params["hd"] = only[0] if len(only) == 1 else "*"  # spares a wrong choice; the claim is what counts
        return params

    def vouches_for(self, address: Address) -> bool:
        managed_by, only = (self.id_token or {}).get("hd"), only_domains_of(self.provider)
        if only:
            return super().vouches_for(address) and same_domain(str(managed_by)) in only
        return super().vouches_for(address) and (bool(managed_by) or address.domain in GOOGLES_OWN_MAIL)


class EntraId(StudioOidc):
    """Microsoft Entra ID: users are identified by tenant and object id, which never change, not by e-mail address."""

    ID_KEY = "oid"
    _tenant = ""

    def get_user_id(self, details: Any, response: Any) -> str | None:
        claims = self.id_token or {}
        return f"{claims.get('tid')}.{claims.get('oid')}"

    def refusal_code(self) -> str | None:
        claims = self.id_token or {}
        if not all(isinstance(claims.get(name), str) and claims[name] for name in ("tid", "oid")):
            return "nobody"
        return None if claims["tid"] in tenants_of(self.provider) else "tenant"

    def vouches_for(self, address: Address) -> bool:
        """Accept an address only if the entry says so: a tenant can put any address into its tokens."""
        return self.provider.get("email_is_trusted") is True and super().vouches_for(address)

    def decode_and_validate_id_token(self, id_token: str, access_token: str) -> Any:
        """Check the token against the issuer of its tenant; for several tenants the issuer is a template."""
        try:
            claimed = jwt.decode(id_token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            claimed = {}
        self._tenant = str(claimed.get("tid", ""))
        return super().decode_and_validate_id_token(id_token, access_token)

    def id_token_issuer(self) -> str:
        return self._issuer_of(self._tenant)

    def issuers(self) -> frozenset[str]:
        return frozenset(map(self._issuer_of, tenants_of(self.provider)))

    def _issuer_of(self, tenant: str) -> str:
        issuer = self.provider.get("issuer") or super().id_token_issuer()
        return str(issuer).replace("{tenantid}", tenant)


BACKENDS: dict[str, type[StudioOidc]] = {
    ProviderKind.OIDC: StudioOidc,
    ProviderKind.GOOGLE: Google,
    ProviderKind.ENTRA: EntraId,
}


def backend_of(request: LogInRequest, name: str) -> StudioOidc:
    """Return the backend of this name, for requests outside the SSO addresses."""
    strategy = load_strategy(request)  # type: ignore[no-untyped-call]
    backend: StudioOidc = load_backend(strategy, name, redirect_uri=None)  # type: ignore[no-untyped-call]
    return backend
