"""Tell people how the exports ended that they requested: one mail for each request."""

from itertools import groupby

from django.db import transaction
from django.db.models import Exists, OuterRef

from accounts import mail
from accounts.models import User
from archival.choices import ExportState
from archival.exports.services import place_of
from archival.models import EnvironmentExport

AT_ONCE = 500
MOST_NAMED = 20


@transaction.atomic
def announce_exports() -> None:
    """Mail each person whose exports have all ended, and mark these as announced.

    Any number of calls can run at the same time: each announces other exports.
    """
    running = EnvironmentExport.objects.filter(
        state=ExportState.RUNNING, requested_by=OuterRef("requested_by"), requested_at=OuterRef("requested_at")
    )
    news = EnvironmentExport.objects.filter(~Exists(running), is_announced=False).exclude(state=ExportState.RUNNING)
    locked = news.select_for_update(of=("self",), skip_locked=True)
    exports = list(locked.order_by("requested_by", "requested_at", "pk")[:AT_ONCE])
    EnvironmentExport.objects.filter(pk__in=[export.pk for export in exports]).update(is_announced=True)
    for (user_id, _at), request in groupby(exports, key=lambda export: (export.requested_by_id, export.requested_at)):
        user = User.objects.filter(pk=user_id or 0, is_active=True).first()
        if user is not None:
            mail_exports(user, list(request))


def mail_exports(user: User, exports: list[EnvironmentExport]) -> None:
    """Mail somebody how these exports of one request ended; the mail leads to the page of the first."""
    count = len(exports)
    first, place = exports[0], place_of(exports[0])
    context = {"first": first, "exports": exports[:MOST_NAMED], "count": count, "others": count - 1, "place": place}
    mail.send(user, "exports", context)
