"""The rule for passwords: at least 8 characters with an upper-case letter, a lower-case letter and a digit."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User

LEAST_LENGTH = 8
RULE = gettext_lazy("At least 8 characters with an upper-case letter, a lower-case letter and a digit.")


class MixedCharactersValidator:
    def validate(self, password: str, user: User | None = None) -> None:
        """Raise ``ValidationError`` unless the password follows the rule; letters and digits of any script count."""
        kinds = (str.isupper, str.islower, str.isdigit)
        if len(password) < LEAST_LENGTH or not all(any(is_kind(one) for one in password) for is_kind in kinds):
            raise ValidationError(self.get_help_text(), code="password_too_simple")
        if "\0" in password:
            raise ValidationError(_("A password has no NUL character."), code="password_with_nul")

    def get_help_text(self) -> str:
        return str(RULE)
