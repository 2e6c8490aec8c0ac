"""The demo's OpenID provider: ``oidc_provider_mock`` with pages of our own, as the library's name other hosts."""

from pathlib import Path

import oidc_provider_mock
from flask import Flask
from jinja2 import ChoiceLoader, FileSystemLoader

PAGES = Path(__file__).parent / "templates"


def provider() -> Flask:
    """Return the provider; a page in ``templates/`` stands in for the library's of the same name."""
    app: Flask = oidc_provider_mock.app()
    app.jinja_loader = ChoiceLoader([FileSystemLoader(PAGES), *filter(None, [app.jinja_loader])])
    return app
