"""How the SSO library works with Django, apart from its backends: the library imports it before it can load them."""

from social_django.strategy import DjangoStrategy


class Strategy(DjangoStrategy):
    def partial_load(self, token: str) -> None:
        """Find no paused pipeline: no step of ours pauses it, and the token is whatever somebody typed."""
