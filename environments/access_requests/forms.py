"""The form that answers a request for access."""

from typing import Any

from environments.fields import RolesForm


class AnswerForm(RolesForm):
    """An access request's answer; roles count only where it is accepted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["roles"].required = False
