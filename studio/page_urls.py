"""Addresses of the pages in this room."""

from django.urls import path

from studio import pages, views

app_name = "studio"
urlpatterns = [
    path("switch/", views.switch, name="switch"),
    path("theme/", views.set_theme, name="theme"),
    path("<slug:slug>/settings/advanced/", pages.edit_advanced_settings, name="advanced-settings"),
]
