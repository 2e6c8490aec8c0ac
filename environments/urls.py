"""Addresses of this room. Those below a slug come last, and ``studio/urls.py`` adds the home page."""

from django.urls import path

from environments.access_requests import views as access_request_views
from environments.audit_log import views as audit
from environments.domains import views as settings
from environments.impersonation import views as impersonation
from environments.invitation_links import views as invitation_links
from environments.invitation_lists import views as invitation_lists
from environments.invitations import views as access
from environments.joining import views as joining
from environments.keys import organisation_views as organisation_keys
from environments.keys import views as keys
from environments.lost_device import views as lost_device
from environments.members import views as members
from environments.providers import views as providers
from environments.tree import settings_views
from environments.tree import views as organisations

app_name = "environments"
urlpatterns = [
    path("invitation/<str:token>/", access.open_invitation, name="invitation"),
    path("invite/sent/", invitation_links.link_opened, name="invitation-link-sent"),
    path("invite/<str:token>/", invitation_links.open_link, name="invitation-link"),
    path("join/", joining.join, name="join"),
    path("join/sent/", joining.join_sent, name="join-sent"),
    path("access/", access_request_views.access_asked, name="access-asked"),
    path("access/<slug:slug>/", access_request_views.ask_for_access, name="ask-access"),
    path("profile/memberships/<int:pk>/leave/", members.leave, name="leave"),
    path("profile/api-keys/", keys.list_keys, name="api-keys"),
    path("profile/api-keys/<uuid:uuid>/revoke/", keys.revoke_key, name="revoke-api-key"),
    path("impersonate/stop/", impersonation.stop_impersonation, name="stop-impersonation"),
    path("organisations/", organisations.list_organisations, name="organisations"),
    path("audit/", audit.platform_audit_log, name="platform-audit"),
    path("audit/export/", audit.export_platform_audit_log, {"file_type": "csv"}, name="export-platform-audit"),
    path(
        "audit/export.ndjson",
        audit.export_platform_audit_log,
        {"file_type": "ndjson"},
        name="export-platform-audit-ndjson",
    ),
]
slug_patterns = [
    path("<slug:slug>/members/", members.list_members, name="members"),
    path("<slug:slug>/members/invite/", invitation_lists.invite_list, name="invite-list"),
    path("<slug:slug>/members/links/", invitation_links.list_links, name="invitation-links"),
    path("<slug:slug>/members/links/<int:pk>/", invitation_links.revoke_link, name="revoke-invitation-link"),
    path("<slug:slug>/members/<int:pk>/", members.edit_member, name="member"),
    path("<slug:slug>/members/<int:pk>/impersonate/", impersonation.impersonate, name="impersonate"),
    path("<slug:slug>/members/<int:pk>/remove/", members.remove_member, name="remove-member"),
    path("<slug:slug>/members/<int:pk>/reset-factors/", lost_device.reset_factors, name="reset-factors"),
    path("<slug:slug>/api-keys/", organisation_keys.list_organisation_keys, name="organisation-keys"),
    path(
        "<slug:slug>/api-keys/<uuid:uuid>/revoke/",
        organisation_keys.revoke_organisation_key,
        name="revoke-organisation-key",
    ),
    path(
        "<slug:slug>/api-keys/<uuid:uuid>/take-over/",
        organisation_keys.take_over_organisation_key,
        name="take-over-organisation-key",
    ),
    path("<slug:slug>/providers/", providers.list_providers, name="providers"),
    path("<slug:slug>/providers/<slug:key>/", providers.show_provider, name="provider"),
    path("<slug:slug>/providers/<slug:key>/try/", providers.try_provider, name="try-provider"),
    path("<slug:slug>/providers/<slug:key>/turn-on/", providers.turn_on_provider, name="turn-on-provider"),
    path("<slug:slug>/providers/<slug:key>/turn-off/", providers.turn_off_provider, name="turn-off-provider"),
    path("<slug:slug>/providers/<slug:key>/delete/", providers.delete_provider, name="delete-provider"),
    path("<slug:slug>/invitations/<int:pk>/", members.change_invitation, name="change-invitation"),
    path("<slug:slug>/access-requests/", access_request_views.list_access_requests, name="access-requests"),
    path(
        "<slug:slug>/access-requests/<uuid:uuid>/",
        access_request_views.answer_access_request,
        name="answer-access-request",
    ),
    path("<slug:slug>/settings/", settings_views.edit_settings, name="settings"),
    path("<slug:slug>/settings/short-name/", settings_views.change_slug, name="change-slug"),
    path("<slug:slug>/settings/domains/", settings.change_domains, name="change-domains"),
    path("<slug:slug>/settings/domains/check/", settings.check_domain, name="check-domain"),
    path("<slug:slug>/audit/", audit.audit_log, name="audit"),
    path("<slug:slug>/audit/export/", audit.export_audit_log, {"file_type": "csv"}, name="export-audit"),
    path(
        "<slug:slug>/audit/export.ndjson", audit.export_audit_log, {"file_type": "ndjson"}, name="export-audit-ndjson"
    ),
    path("<slug:slug>/organisation/", organisations.organisation_page, name="organisation"),
]
