"""One backend class for each entry of OIDC_PROVIDERS. Sessions store these paths, so do not move the module."""

from django.conf import settings

from accounts.sso.oidc import BACKENDS, StudioOidc

for _id, _kind in ((_entry.get("id"), _entry.get("kind")) for _entry in settings.OIDC_PROVIDERS):
    # The system checks report what is wrong with an entry, and need this module to load.
    _base = BACKENDS.get(str(_kind), StudioOidc)
    globals()[f"Oidc_{_id}"] = type(f"Oidc_{_id}", (_base,), {"name": f"oidc-{_id}", "__module__": __name__})
