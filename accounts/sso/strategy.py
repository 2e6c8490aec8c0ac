"""The strategy of the SSO library, in a module of its own: the library imports it before the backends."""

from social_django.strategy import DjangoStrategy


class Strategy(DjangoStrategy):
    def partial_load(self, token: str) -> None:
        """Return None: our pipeline never pauses, so a token in a request is not ours."""
