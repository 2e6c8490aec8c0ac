"""REST framework and sessions: the gate has judged the session already; what is left is CSRF."""

from rest_framework.authentication import SessionAuthentication


class GatedSessionAuthentication(SessionAuthentication):
    """Take the user whom the gate let in.

    With an ``Authorization`` header the gate has made the request anonymous, so this finds nobody.
    """
