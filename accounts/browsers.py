"""The name of a browser, for people who look at their sessions."""

from django.utils.translation import gettext as _

# The first word that occurs names it: most browsers also claim to be those below them.
BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "Firefox/": "Firefox",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
    "curl/": "curl",
}
SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


def browser_name(agent: str) -> str:
    """Return "Firefox on Linux", or as much of it as a User-Agent header tells."""
    browser = next((name for word, name in BROWSERS.items() if word in agent), None)
    system = next((name for word, name in SYSTEMS.items() if word in agent), None)
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("Unknown browser")
