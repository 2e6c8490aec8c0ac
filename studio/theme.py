"""Light or dark: chosen per browser, kept in a cookie, so that a page shows it from its first byte."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse

THEMES = ("system", "light", "dark")
COOKIE = "studio_theme"
A_YEAR_SECONDS = 365 * 24 * 3600


def theme_of(request: HttpRequest) -> str:
    """Return light or dark as this browser chose; empty: as the system."""
    chosen = request.COOKIES.get(COOKIE)
    return chosen if chosen in THEMES[1:] else ""


def keep_theme(response: HttpResponse, theme: str) -> None:
    """Keep one of ``THEMES`` for a year; anything else changes nothing."""
    if theme in THEMES:
        response.set_cookie(
            COOKIE,
            theme,
            A_YEAR_SECONDS,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
