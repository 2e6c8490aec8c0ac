"""Form fields for all rooms."""

from typing import Any

from django import forms

from web.addresses import LONGEST, validate_address, validate_known_address


class AddressField(forms.EmailField):
    """An e-mail address as typed; it must have a normal form."""

    default_validators = [validate_address]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=LONGEST, **kwargs)


class KnownAddressField(AddressField):
    """The address of an existing account, to look up."""

    default_validators = [validate_known_address]
