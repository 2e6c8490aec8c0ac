"""Addresses below /api/v1/."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView

from studio import api

app_name = "api"
urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("organisations/", api.OrganisationList.as_view(), name="organisations"),
    path("organisations/<slug:slug>/", api.OrganisationDetail.as_view(), name="organisation"),
    path("organisations/<slug:slug>/settings/", api.OrganisationSettings.as_view(), name="organisation-settings"),
]
