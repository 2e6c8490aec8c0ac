"""The page of the organisations at the top of the tree, on which a super user creates one."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Page
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from agencies.roots import services
from agencies.roots.forms import FindRootForm, NewRootForm
from agencies.roots.queries import roots
from environments.audit_log.views import require_super_user
from environments.models import Organisation
from environments.requests import StudioRequest
from web.clock import database_now
from web.methods import require_safe_or_post
from web.paging import page_of

PAGE_SIZE = 50


@require_safe_or_post
def list_roots(request: StudioRequest) -> HttpResponse:
    """List the organisations at the top with how much is below each; on POST create one."""
    require_super_user(request)
    find, new = FindRootForm(request.GET), NewRootForm(request.POST or None, auto_id="id_new_%s")
    if new.is_valid():
        try:
            made = services.create_root(by=request.caller, now=database_now(), **new.cleaned_data)
        except ValidationError as error:
            new.add_error(None, error)
        else:
            text = _("%(name)s was created. Invite its first Administrator here.")
            messages.success(request, text % {"name": made.name})
            return redirect("environments:members", made.slug)
    page: Page[Organisation] = page_of(roots(find.asked.get("q", "")), request.GET.get("page"), size=PAGE_SIZE)
    return render(request, "agencies/roots/roots.html", {"page": page, "find": find, "new": new})
