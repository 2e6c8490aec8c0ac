from importlib import import_module

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        # Their decorators connect what they hold.
        for module in ("checks", "sessions"):
            import_module(f"accounts.{module}")
