"""Addresses below /api/v1/."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.renderers import JSONRenderer

from studio import api

app_name = "api"
urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(renderer_classes=[JSONRenderer]), name="schema"),
    path("organisations/", api.OrganisationList.as_view(), name="organisations"),
    path("organisations/<slug:slug>/", api.OrganisationDetail.as_view(), name="organisation"),
    path("organisations/<slug:slug>/settings/", api.OrganisationSettings.as_view(), name="organisation-settings"),
]
