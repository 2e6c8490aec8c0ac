"""Addresses of pages about many environments at once, below an organisation's short name."""

from django.urls import path

from agencies.environment_table import views as environment_table

app_name = "agencies"
urlpatterns = [
    path("environments/", environment_table.list_environments, name="environments"),
    path("environments.csv", environment_table.export_environments, name="environments-csv"),
]
