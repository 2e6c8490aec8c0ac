"""The strategy of the SSO library, in a module of its own: the library imports it before the backends."""

from typing import Any

from django.utils.module_loading import import_string
from social_core.exceptions import AuthConfigurationError
from social_django.strategy import DjangoStrategy

from accounts.providers import is_own, known, path_of


class Strategy(DjangoStrategy):
    def partial_load(self, token: str) -> None:
        """Return None: our pipeline never pauses, so a token in a request is not ours."""

    def get_backend(self, name: str, redirect_uri: str | None = None, **kwargs: Any) -> Any:
        """Return the backend of this name; that of an organisation's own provider has its entry."""
        if not is_own(name):
            return super().get_backend(name, redirect_uri=redirect_uri, **kwargs)
        try:
            entry = known(name)
        except LookupError:
            raise AuthConfigurationError(None, name, code="backend_missing", parameter="backend") from None
        return import_string(path_of(entry)).of(entry, self, redirect_uri)
