"""The page that shows new recovery codes; a reload shows them again for ten minutes."""

import base64
from typing import cast

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.factors.forms import SavedCodesForm
from accounts.models import User
from accounts.pages import go_to, next_of
from accounts.requests import LogInRequest
from web.compression import shows_secret
from web.kept import keep_value, kept_value
from web.methods import require_safe_or_post

KEPT = "studio_new_codes"


def keep_in_session(request: LogInRequest, user: User, codes: list[str], *, after: str, is_first: bool) -> HttpResponse:
    """Keep the codes, encrypted, in the session and redirect to the page that shows them; it continues to ``after``.

    ``is_first``: they are the last step of setting up a first factor.
    """
    latest = user.recovery_codes.order_by("-pk").values_list("pk", flat=True).first()
    value = {"latest": latest, "codes": codes, "after": after, "is_first": is_first}
    keep_value(request.session, KEPT, value, user_id=user.pk)
    return redirect("accounts:new-recovery-codes")


@shows_secret
@require_safe_or_post
def new_recovery_codes(request: LogInRequest) -> HttpResponse:
    """Show new recovery codes until their owner says that they have saved them.

    The file to download is part of the page, a ``data:`` address: it works without script.
    """
    user = cast(User, request.user)
    kept = kept_value(request.session, KEPT, user_id=user.pk)
    if request.method == "POST":
        request.session.pop(KEPT, None)
        return go_to(request, kept["after"] if kept else next_of(request))
    if kept is None or not user.recovery_codes.filter(pk=kept["latest"]).exists():  # or newer ones were made
        request.session.pop(KEPT, None)
        messages.info(
            request, _("New recovery codes are shown for ten minutes. Make new ones if you did not save them.")
        )
        return redirect("accounts:security")
    text = "\r\n".join([f"Studio, {request.get_host()}", *kept["codes"], ""])
    download = "data:text/plain;base64," + base64.b64encode(text.encode()).decode()
    context = {"step": "codes", "download": download, "next": kept["after"], "form": SavedCodesForm(auto_id="%s")}
    context |= {"codes": kept["codes"], "is_first": kept["is_first"]}
    return render(request, "accounts/factors/enrol.html", context)
