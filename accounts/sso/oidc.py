"""One OpenID Connect backend a provider of settings.OIDC_PROVIDERS, each importable: sessions store its path."""

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
from accounts.requests import SignInRequest
from accounts.sso import id_tokens
from accounts.sso.exchange import Busy, Exchange
from web.addresses import Address, same_domain

logger = logging.getLogger(__name__)
MOST_BEGUN = 5  # round trips that one browser has open at a provider
GOOGLES_OWN_MAIL = frozenset({"gmail.com", "googlemail.com"})


class StudioOidc(OpenIdConnectAuth):
    """OpenID Connect with PKCE; keeps no tokens, and a fresh log-in at the provider can be demanded."""

    name = "oidc-base"
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
        self.begun: dict[str, Any] = {}  # what was kept beside the ``state`` that came back, once it is read
        self.is_answered = False  # something that this browser began, once
        self.userinfo: dict[str, Any] = {}  # asked for where the ID token says too little of a newcomer's address
        self._exchange: Exchange | None = None
        self._discovery: dict[str, Any] | None = None

    @property
    def provider(self) -> Provider:
        return named(self.name)

    @property
    def purpose(self) -> SsoPurpose:
        """Return what the round trip that came back was begun for, as kept beside its own ``state``."""
        return SsoPurpose(self.begun.get("purpose", SsoPurpose.LOG_IN))

    def setting(self, name: str, default: Any = None) -> Any:
        if name == "OIDC_ENDPOINT":
            return endpoint_of(self.provider)
        key = self.KEYS.get(name)
        return self.provider[key] if key in self.provider else super().setting(name, default)

    def extra_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Keep of all that came nothing but what the profile tells identities apart by; nothing is decided by it."""
        email = self._address_claims().get("email") or (self.id_token or {}).get("email")
        return {"email": email[:254]} if isinstance(email, str) and is_storable(email) else {}

    # -- On the way out ---------------------------------------------------------------------------

    def get_or_create_state(self) -> str | None:
        """Begin a round trip. Of those that this browser never finished the latest few stay, in rows and session."""
        state = super().get_or_create_state()
        begun = self.strategy.session_get(self._transaction_index_key())
        for old in list(begun)[:-MOST_BEGUN]:
            kept = self.strategy.session_pop(self.transaction_key(old)) or {}
            Nonce.consume(self._nonce_scope(), begun.pop(old), old)
            if nonce := kept.get("oidc_nonce"):  # the provider may have been away before it was made
                Association.objects.filter(server_url=self.authorization_url(), handle=nonce).delete()
        self.strategy.session_set(self._transaction_index_key(), begun)
        return state

    def auth_params(self, state: str | None = None) -> dict[str, Any]:
        """Ask for what the answer is held to: the strength of log-in, and a fresh one where it is to step up."""
        params = super().auth_params(state)  # type: ignore[no-untyped-call]
        purpose = getattr(self._request(), "sso_purpose", SsoPurpose.LOG_IN)
        key, after = self.transaction_key(state or ""), self.strategy.session_get("next")
        self.strategy.session_set(key, {**self.strategy.session_get(key), "purpose": purpose, "next": after})
        if acr := self.provider.get("acr"):
            params["acr_values"] = " ".join(acr)
        if self.oidc_config().get("claims_parameter_supported") is True:
            # Without it, a provider may leave them to userinfo (OpenID Connect Core 1.0, section 5.4).
            params["claims"] = json.dumps({"id_token": dict.fromkeys(("email", "email_verified", "name"))})
        if purpose == SsoPurpose.STEP_UP:
            params.update(max_age=0, prompt="login")
        return params

    # -- On the way back --------------------------------------------------------------------------

    def auth_complete(self, *args: Any, **kwargs: Any) -> Any:
        """Take the provider's answer, ask it what else must be known, and only then begin to write."""
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
        self.strategy.session_set("next", self.begun.get("next"))  # another round trip may have begun since
        return state

    def _check_issuer(self) -> None:
        """Refuse an answer of another issuer, where discovery says that each answer names its own (RFC 9207)."""
        is_named = self.oidc_config().get("authorization_response_iss_parameter_supported") is True
        if is_named and self.data.get("iss") not in self.issuers():
            raise AuthResponseError(self, code="invalid_claim", claim="iss", stage="callback")

    def issuers(self) -> frozenset[str]:
        """Return who may answer for the provider."""
        return frozenset([self.id_token_issuer()])

    def auth_complete_credentials(self) -> tuple[str, str] | None:
        """Return client and secret for HTTP Basic, escaped (RFC 6749, section 2.3.1): a secret may hold anything."""
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
        """Leave them to ``id_tokens``, which grants the provider's clock some leeway."""

    def _keys_for(self, id_token: str) -> list[dict[str, Any]]:
        """Return the provider's keys, asked for anew where the token names one that is not among them."""
        kid, keys = id_tokens.key_id_of(id_token), self.get_jwks_keys()
        if kid is None or any(key.get("kid") == kid for key in keys):
            return keys
        self.get_jwks_keys_for_uri.invalidate(self, self.jwks_uri())
        return self.get_jwks_keys()

    def user_data(self, access_token: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Ask userinfo for the address of somebody who is not known yet; all else stands in the ID token."""
        if not self._address_claims() and not self._is_known():
            self.userinfo = self._ask_userinfo(access_token)
        return {}

    def _is_known(self) -> bool:
        uid = self.uid()
        return uid is None or self.strategy.storage.user.get_social_auth(self.name, uid, self.id_key()) is not None

    def _ask_userinfo(self, access_token: str) -> dict[str, Any]:
        """Return what userinfo says of the very person of the ID token, or nothing."""
        try:
            said = self.get_json(self.userinfo_url(), headers={"Authorization": f"Bearer {access_token}"})
        except SocialAuthBaseException as error:
            logger.warning("The userinfo of %s cannot be used: %s", self.name, error.code)
            return {}
        is_theirs = isinstance(said, dict) and said.get("sub") == (self.id_token or {}).get("sub")
        return said if is_theirs else {}

    def run_authentication(self, *args: Any, **kwargs: Any) -> Any:
        """Run the pipeline, and the log-in after it, in one transaction: every call to the provider is behind us."""
        self._request().sso_work.enter_context(transaction.atomic())
        return super().run_authentication(*args, **kwargs)

    # -- Out again --------------------------------------------------------------------------------

    def log_out_address(self) -> str | None:
        """Return where people log out of the provider itself, if it has such a page and says so now.

        OpenID Connect RP-Initiated Logout 1.0, without a token, for none is kept: the provider asks them.
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
        """Return what the provider says of itself. Raises ``AuthResponseError`` where it calls itself something else.

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
        """Return the answer to a call within the exchange of this request; see ``accounts.sso.exchange``."""
        if self._exchange is None:
            exchange = Exchange(self.name, call_seconds=settings.SOCIAL_AUTH_REQUESTS_TIMEOUT)
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
        """Return what the person is known by; None where the claims do not say, or say what nobody can be called."""
        if self.refusal():
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
        """Return the address that the provider names, confirmed or not; nothing but words to the visitor rest on it."""
        said = (self.id_token or {}).get("email") or self.userinfo.get("email")
        return said if isinstance(said, str) else ""

    def full_name(self) -> str | None:
        name = (self.id_token or {}).get("name") or self.userinfo.get("name")
        return name if isinstance(name, str) else None

    def vouches_for(self, address: Address) -> bool:
        """Tell whether the provider says that this address is its owner's."""
        is_verified = self._address_claims().get("email_verified") is True
        only = only_domains_of(self.provider)
        return (is_verified or self.provider.get("email_is_trusted") is True) and (not only or address.domain in only)

    def is_pinned_to(self, address: Address) -> bool:
        """Tell whether the address is of a domain whose people come by this provider."""
        return address.domain in domains_of(self.provider)

    def _address_claims(self) -> dict[str, Any]:
        """Return the claims that speak of an address: the ID token's, else userinfo's, never some of both."""
        for claims in (self.id_token or {}, self.userinfo):
            says_enough = "email_verified" in claims or self.provider.get("email_is_trusted") is True
            if claims.get("email") and says_enough:
                return claims
        return {}

    def refusal(self) -> str | None:
        """Return the code of why the signed claims are not enough to tell who somebody is."""
        return None


class Google(StudioOidc):
    """Google: only for its own mailboxes and for the domains that it manages (``hd``) is its word on an e-mail good."""

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
    """Microsoft Entra ID: people are keyed on tenant and object, which never change, never on an e-mail address."""

    ID_KEY = "oid"
    _tenant = ""

    def get_user_id(self, details: Any, response: Any) -> str | None:
        claims = self.id_token or {}
        return f"{claims.get('tid')}.{claims.get('oid')}"

    def refusal(self) -> str | None:
        claims = self.id_token or {}
        if not all(isinstance(claims.get(name), str) and claims[name] for name in ("tid", "oid")):
            return "nobody"
        return None if claims["tid"] in tenants_of(self.provider) else "tenant"

    def vouches_for(self, address: Address) -> bool:
        """Believe an address only where the entry says so: what a token says of it, a tenant may have made up."""
        return self.provider.get("email_is_trusted") is True and super().vouches_for(address)

    def decode_and_validate_id_token(self, id_token: str, access_token: str) -> Any:
        """Check the token against the issuer of its own tenant: for several there is a template of issuers."""
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


def backend_of(request: SignInRequest, name: str) -> StudioOidc:
    """Return the backend of this name for a request that does not come by its own addresses."""
    strategy = load_strategy(request)  # type: ignore[no-untyped-call]
    backend: StudioOidc = load_backend(strategy, name, redirect_uri=None)  # type: ignore[no-untyped-call]
    return backend
