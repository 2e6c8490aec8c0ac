"""The page that shows new recovery codes; a reload shows them again for ten minutes."""

import base64
import time
from typing import cast

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.factors.forms import SavedCodesForm
from accounts.models import User
from accounts.pages import go_to
from accounts.requests import LogInRequest
from web.sealing import seal, unseal

KEPT = "studio_new_codes"
SHOWN_FOR = 600  # seconds


def keep_in_session(request: LogInRequest, user: User, codes: list[str], *, after: str, is_first: bool) -> HttpResponse:
    """Keep the codes, encrypted, in the session and redirect to the page that shows them; it continues to ``after``.

    ``is_first``: they are the last step of setting up a first factor.
    """
    latest = user.recovery_codes.order_by("-pk").values_list("pk", flat=True).first()
    sealed = seal({"user": user.pk, "latest": latest, "codes": codes})
    request.session[KEPT] = {"sealed": sealed.decode(), "at": time.time(), "after": after, "is_first": is_first}
    return redirect("accounts:new-recovery-codes")


def kept_codes(request: LogInRequest, user: User) -> list[str]:
    """Return the codes kept in this session; an empty list after ten minutes, or when newer codes were made."""
    kept = request.session.get(KEPT)
    if not kept or time.time() - kept["at"] > SHOWN_FOR:
        return []
    found = unseal(kept["sealed"].encode())
    if found["user"] != user.pk or not user.recovery_codes.filter(pk=found["latest"]).exists():
        return []
    codes: list[str] = found["codes"]
    return codes


@require_http_methods(["GET", "HEAD", "POST"])
def new_recovery_codes(request: LogInRequest) -> HttpResponse:
    """Show new recovery codes until their owner says that they have saved them.

    The file to download is part of the page, a ``data:`` address: it works without script.
    """
    codes = kept_codes(request, cast(User, request.user))
    kept = request.session.get(KEPT)
    if request.method == "POST":
        request.session.pop(KEPT, None)
        return go_to(request, kept["after"] if kept else "")
    if not codes or kept is None:
        request.session.pop(KEPT, None)
        messages.info(
            request, _("New recovery codes are shown for ten minutes. Make new ones if you did not save them.")
        )
        return redirect("accounts:security")
    text = "\r\n".join([f"Studio, {request.get_host()}", *codes, ""])
    download = "data:text/plain;base64," + base64.b64encode(text.encode()).decode()
    context = {"step": "codes", "codes": codes, "download": download, "is_first": kept["is_first"]}
    context |= {"form": SavedCodesForm(auto_id="%s")}
    response = render(request, "accounts/factors/enrol.html", context)
    response.headers["Cache-Control"] = "no-store, private"
    return response
