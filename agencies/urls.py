"""Addresses of pages about many environments at once. Those below a short name come last."""

from django.urls import path

from agencies.bulk import views as bulk
from agencies.compliance import views as compliance
from agencies.environment_table import views as environment_table
from agencies.new_organisations import views as new_organisations
from agencies.organisation_templates import views as organisation_templates
from agencies.organisations import views as organisations
from agencies.pending_changes import views as pending_changes
from agencies.roots import views as roots
from agencies.usage import views as usage
from agencies.users import views as users

app_name = "agencies"
urlpatterns = [
    path("pending-changes/", pending_changes.list_pending_changes, name="pending-changes"),
    path("organisations/top/", roots.list_roots, name="roots"),
    path("<slug:slug>/compliance/", compliance.show_compliance, name="compliance"),
    path("<slug:slug>/compliance.csv", compliance.export_compliance, name="compliance-csv"),
    path("<slug:slug>/compliance-90-days.csv", compliance.export_trend, name="compliance-trend-csv"),
    path("<slug:slug>/compliance/digest/", compliance.change_digest, name="change-digest"),
    path("<slug:slug>/compliance/people/", compliance.list_people, name="compliance-people"),
    path("<slug:slug>/compliance/people/remind/", compliance.remind_people, name="remind-people"),
    path("<slug:slug>/compliance/access/", compliance.list_expiring_access, name="compliance-access"),
    path("<slug:slug>/compliance/providers/", compliance.list_providers_off, name="compliance-providers"),
    path("<slug:slug>/compliance/keys/", compliance.list_expiring_keys, name="compliance-keys"),
    path("<slug:slug>/environments/", environment_table.list_environments, name="environments"),
    path("<slug:slug>/environments/change/", bulk.change_environments, name="change-environments"),
    path("<slug:slug>/environments/changes/<uuid:uuid>/", bulk.show_bulk_change, name="bulk-change"),
    path("<slug:slug>/environments/changes/<uuid:uuid>/progress/", bulk.show_progress, name="bulk-change-progress"),
    path("<slug:slug>/environments/changes/<uuid:uuid>/revert/", bulk.revert_bulk_change, name="revert-bulk-change"),
    path("<slug:slug>/environments/changes/<uuid:uuid>.csv", bulk.export_results, name="bulk-change-csv"),
    path("<slug:slug>/environments.csv", environment_table.export_environments, name="environments-csv"),
    path("<slug:slug>/usage/", usage.show_usage, name="usage"),
    path("<slug:slug>/usage.csv", usage.export_usage, name="usage-csv"),
    path("<slug:slug>/organisation/new/", new_organisations.create, name="create"),
    path("<slug:slug>/organisation/new/list/", new_organisations.create_list, name="create-list"),
    path("<slug:slug>/templates/", organisation_templates.list_templates, name="templates"),
    path("<slug:slug>/templates/new/", organisation_templates.create_template, name="new-template"),
    path("<slug:slug>/templates/<int:pk>/", organisation_templates.edit_template, name="template"),
    path("<slug:slug>/templates/<int:pk>/delete/", organisation_templates.delete_template, name="delete-template"),
    path("<slug:slug>/move/", organisations.move, name="move"),
    path("<slug:slug>/suspend/", organisations.suspend, name="suspend"),
    path("<slug:slug>/resume/<int:pk>/", organisations.resume, name="resume"),
    path("<slug:slug>/users/", users.list_users, name="users"),
    path("<slug:slug>/users.csv", users.export_users, name="users-csv"),
    path("<slug:slug>/users/<int:pk>/", users.show_user, name="user"),
    path("<slug:slug>/users/<int:pk>/remove/", users.remove_user, name="remove-user"),
]
