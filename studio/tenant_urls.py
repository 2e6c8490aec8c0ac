"""The namespace ``environments``: pages of that room, and the home page, which composes rooms. Slugs come last."""

from django.urls import path

from environments.views import organisations
from studio import home

app_name = "environments"
urlpatterns = [
    path("organisations/", organisations.list_organisations, name="organisations"),
    path("<slug:slug>/", home.home, name="home"),
]
