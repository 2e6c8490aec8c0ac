"""Session authentication for the REST framework: the gate has judged the session, so only CSRF is checked."""

from rest_framework.authentication import SessionAuthentication


class GatedSessionAuthentication(SessionAuthentication):
    """Authenticate the user whom the gate accepted.

    With an ``Authorization`` header the gate has made the request anonymous, so this finds nobody.
    """
