"""The normal form of e-mail addresses and domain names, applied wherever one is entered.

The domain is kept as A-labels of IDNA 2008 (RFC 5891), what the DNS and mail servers know; it is shown decoded. What
is typed is mapped first as UTS 46 says, without its transitional rules: capitals, full-width and decomposed
letters are what keyboards and clipboards give, and are taken for what they mean; "ß" stays a letter of its own.
The local part is a dot-atom of ASCII (RFC 5321): compared in lower case, while mail goes to it as it was typed.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Final

import idna
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

LONGEST: Final = 254  # of an address in SMTP (RFC 5321, erratum 1690)
LONGEST_DOMAIN: Final = 253
DOMAIN: Final = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
LOCAL: Final = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
LOCALHOST: Final = "localhost"  # the one domain without a dot: of development


@dataclass(frozen=True, slots=True)
class Address:
    """An e-mail address in its normal form."""

    local: str  # as typed
    domain: str  # as A-labels

    @property
    def key(self) -> str:
        """What addresses are compared and kept by."""
        return f"{self.local.lower()}@{self.domain}"

    @property
    def mailbox(self) -> str:
        """Where mail goes: the local part as typed, for servers that mind its case."""
        return f"{self.local}@{self.domain}"


def address_of(text: str) -> Address:
    """Return what somebody typed, as an address in its normal form. Raises ``ValidationError`` if it has none."""
    local, _at, domain = text.strip().rpartition("@")
    with suppress(ValueError):
        address = Address(local, LOCALHOST if domain.lower() == LOCALHOST else to_ascii(domain))
        if LOCAL.fullmatch(local) and len(address.key) <= LONGEST:
            return address
    raise ValidationError(
        _("Enter an e-mail address such as ada@example.com, with plain letters, digits and signs before the @."),
        code="invalid",
    )


def key_of(text: str) -> str:
    """Return the key that addresses are compared by; what is no address is returned in lower case."""
    try:
        return address_of(text).key
    except ValidationError:
        return text.strip().lower()


def mailbox_of(text: str) -> str:
    """Return the address for mail to a stored address. Raises ``ValidationError`` if its domain is ambiguous.

    Older rows can hold a domain in another script; ASCII addresses are returned unchanged.
    """
    try:
        return address_of(text).mailbox
    except ValidationError:
        if text.isascii():
            return text
        raise


def validate_address(text: str) -> None:
    """Raise ``ValidationError`` if the address has no normal form."""
    address_of(text)


def validate_known_address(text: str) -> None:
    """Raise ``ValidationError`` if nobody can have this address, not even from before the normal form."""
    try:
        validate_address(text)
    except ValidationError:
        validate_email(text)


def to_ascii(domain: str) -> str:
    """Return a domain name in A-labels, as in the DNS. Raises ``ValueError`` if it is not a domain name."""
    if len(domain) > LONGEST_DOMAIN:
        raise ValueError(domain)
    name = idna.encode(domain, uts46=True, std3_rules=True, transitional=False).decode()
    if len(name) > LONGEST_DOMAIN or not DOMAIN.fullmatch(name):
        raise ValueError(domain)
    return name


def same_domain(domain: str) -> str:
    """Return the key that domain names are compared by; what is no domain name is returned unchanged."""
    try:
        return to_ascii(domain)
    except ValueError:
        return domain


def to_unicode(domain: str) -> str:
    """Return a domain name in Unicode, or unchanged if it cannot be decoded."""
    try:
        return idna.decode(domain)
    except UnicodeError:
        return domain


def readable(email: str) -> str:
    """Return an address as people read it: ``ada@bücher.example`` for ``ada@xn--bcher-kva.example``."""
    local, at, domain = email.rpartition("@")
    return f"{local}{at}{to_unicode(domain)}"


def as_kept(words: str) -> str:
    """Return words of a search as stored addresses spell them: ``bücher`` becomes ``xn--bcher-kva``."""
    if words.isascii():
        return words
    local, at, domain = words.rpartition("@")
    try:
        return f"{local}{at}{idna.encode(domain, uts46=True).decode()}"
    except UnicodeError:
        return words


def sender(text: str) -> str:
    """Return a sender such as ``Studio <studio@bücher.example>`` with its domain in A-labels."""
    email = parseaddr(text)[1]
    with suppress(ValidationError):
        return text.replace(email, address_of(email).mailbox)
    return text
