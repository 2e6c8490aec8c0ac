"""Every address of Studio. A new one is behind the gate unless ``accounts.gate.OPEN_VIEWS`` names it."""

from django.urls import include, path
from django.views.i18n import set_language

from archival.evidence import receipt_views as receipts
from archival.requests import views as on_request
from environments import urls as environments
from studio import home, views

handler400 = "studio.errors.bad_request"
handler403 = "studio.errors.permission_denied"
handler404 = "studio.errors.page_not_found"
handler500 = "studio.errors.server_error"

# The namespace of the environments room; its home page composes rooms, so it is made in this one. Slugs come last.
environment_pages = [
    *environments.urlpatterns,
    path("<slug:slug>/", home.home, name="home"),
    *environments.slug_patterns,
]
urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.show_metrics, name="metrics"),
    path("language/", set_language, name="set_language"),
    path("api/v1/", include("studio.api_urls")),
    path("api/v1/environments/<slug:slug>/", include("conversations.api_urls")),
    path("", include("accounts.urls")),
    path("sso/", include("accounts.log_in.sso_urls")),
    path("passkeys/", include("accounts.factors.passkey_urls")),
    path("", home.start, name="start"),
    path("", include("studio.page_urls")),
    path("receipts/public-key.pem", receipts.show_public_key, name="receipts-public-key"),
    path("deletions/<uuid:uuid>/", on_request.show_deletion, name="deletion"),
    path("deletions/<uuid:uuid>/change/", on_request.change_deletion, name="change-deletion"),
    path("", include("agencies.urls")),
    path("", include((environment_pages, "environments"))),
    path("<slug:slug>/", include("conversations.urls")),
    path("<slug:slug>/", include("archival.urls")),
]
