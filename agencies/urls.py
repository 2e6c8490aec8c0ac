"""Addresses of pages about many environments at once. Those below a short name come last."""

from django.urls import path

from agencies.environment_table import views as environment_table
from agencies.pending_changes import views as pending_changes
from agencies.usage import views as usage

app_name = "agencies"
urlpatterns = [
    path("pending-changes/", pending_changes.list_pending_changes, name="pending-changes"),
    path("<slug:slug>/environments/", environment_table.list_environments, name="environments"),
    path("<slug:slug>/environments.csv", environment_table.export_environments, name="environments-csv"),
    path("<slug:slug>/usage/", usage.show_usage, name="usage"),
    path("<slug:slug>/usage.csv", usage.export_usage, name="usage-csv"),
]
