from importlib import import_module

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        # Checks and signals register themselves when they are imported. The backends are made once, from the settings
        # at start.
        for module in ("checks", "oidc", "sessions.services"):
            import_module(f"accounts.{module}")
