"""Find the environment that a command names."""

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from environments.models import Organisation

UNUSABLE = 2  # the exit code where a file or the environment cannot be used


def environment_with_slug(slug: str) -> Organisation:
    """Return the environment with this slug or raise ``CommandError``."""
    environment = Organisation.objects.filter(slug=slug).first()
    if environment is None:
        raise CommandError(_("There is no environment %(slug)r.") % {"slug": slug}, returncode=UNUSABLE)
    if not environment.is_environment:
        text = _("%(slug)r is not an environment; it is of the kind %(kind)s.")
        raise CommandError(text % {"slug": slug, "kind": environment.get_kind_display()}, returncode=UNUSABLE)
    return environment
