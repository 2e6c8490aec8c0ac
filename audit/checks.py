"""System checks of the signing keys; ``manage.py check`` and every start run them."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from audit.signing import WrongKey, public_keys
from web.checks import AT_START

HINT = (
    "32 random bytes in base64: "
    'python3 -c "import base64, secrets; print(base64.b64encode(secrets.token_bytes(32)).decode())"'
)


@register(AT_START)
def check_signing_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        public_keys()
    except WrongKey as error:
        return [Error(str(error), hint=HINT, id="audit.E001")]
    return []
