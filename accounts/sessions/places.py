"""Where a user usually logs in, so that a log-in from a new place can be mailed to them."""

from datetime import timedelta
from ipaddress import ip_address, ip_network

from django.utils import timezone

from accounts.browsers import browser_name
from accounts.models import User

REMEMBERED = timedelta(days=180)  # after that the record of an ended session is deleted
MOST_LOOKED_AT = 200
# Roughly what one provider gives its customers: a phone that moves through a town should not cause a mail a day.
NETWORK_BITS = {4: 16, 6: 32}


def is_familiar(user: User, *, address: str | None, browser: str) -> bool:
    """Return whether ``user`` has logged in with this browser before, and from this network before.

    The first log-in ever counts as familiar. One query.
    """
    since = timezone.now() - REMEMBERED
    earlier = user.sessions.filter(opened_at__gte=since).order_by("-pk").values_list("address", "browser")
    known = list(earlier[:MOST_LOOKED_AT])
    if not known:
        return user.last_active_at is None
    browsers = {browser_name(seen) for _address, seen in known}
    networks = {network_of(seen) for seen, _browser in known}
    return browser_name(browser) in browsers and network_of(address) in networks


def network_of(address: str | None) -> str:
    """Return the wide network of an address; empty where there is none, as on a unix socket."""
    if not address:
        return ""
    version = ip_address(address).version
    return str(ip_network(f"{address}/{NETWORK_BITS[version]}", strict=False))
