"""The theme, light or dark, in a cookie of the browser, so that pages have it from their first byte."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse

THEMES = ("system", "light", "dark")
COOKIE = "studio_theme"
A_YEAR_SECONDS = 365 * 24 * 3600


def theme_of(request: HttpRequest) -> str:
    """Return the theme that this browser chose, light or dark; empty: the system's."""
    chosen = request.COOKIES.get(COOKIE)
    return chosen if chosen in THEMES[1:] else ""


def store_theme(response: HttpResponse, theme: str) -> None:
    """Store one of ``THEMES`` in a cookie for a year; anything else is ignored."""
    if theme in THEMES:
        response.set_cookie(
            COOKIE,
            theme,
            A_YEAR_SECONDS,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
