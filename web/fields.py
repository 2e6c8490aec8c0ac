"""Fields that forms of every room share."""

from typing import Any

from django import forms

from web.addresses import LONGEST, validate_address, validate_known_address


class AddressField(forms.EmailField):
    """An e-mail address as it was typed, which has a normal form."""

    default_validators = [validate_address]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=LONGEST, **kwargs)


class KnownAddressField(AddressField):
    """The address that somebody has here already, to be looked up."""

    default_validators = [validate_known_address]
