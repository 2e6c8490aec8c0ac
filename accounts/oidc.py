"""The backend classes of providers. Sessions store their paths, so do not move the module.

One for each entry of OIDC_PROVIDERS, and one for each kind of organisations' own providers.
"""

from django.conf import settings

from accounts.sso.oidc import BACKENDS, StudioOidc
from accounts.sso.own import OwnProvider

for _id, _kind in ((_entry.get("id"), _entry.get("kind")) for _entry in settings.OIDC_PROVIDERS):
    # The system checks report what is wrong with an entry, and need this module to load.
    _base = BACKENDS.get(str(_kind), StudioOidc)
    globals()[f"Oidc_{_id}"] = type(f"Oidc_{_id}", (_base,), {"name": f"oidc-{_id}", "__module__": __name__})

for _kind, _base in BACKENDS.items():
    _class = type(f"Own_{_kind}", (OwnProvider, _base), {"name": f"own-{_kind}", "__module__": __name__})
    globals()[f"Own_{_kind}"] = _class
