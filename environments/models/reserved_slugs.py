"""Short names that organisations had before."""

from django.db import models
from django.utils import timezone

from environments.models.organisations import Organisation
from web.clock import in_calendar


class ReservedSlug(models.Model):
    """A short name that an organisation had, until it got another one or was deleted.

    No other organisation ever gets it: a bot with the old address must not store data of one tenant at another.
    """

    slug = models.SlugField(max_length=63, unique=True)
    organisation = models.ForeignKey(
        Organisation, models.SET_NULL, null=True, related_name="reserved_slugs"
    )  # which can take it back; None: deleted
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=in_calendar("created_at"), name="reserved_slug_is_in_the_calendar")
        ]

    def __str__(self) -> str:
        return self.slug
