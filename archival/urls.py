"""Pages about what was and will be deleted, below an organisation's short name."""

from django.urls import path

from archival import views

app_name = "archival"
urlpatterns = [
    path("retention/", views.show_ledger, name="ledger"),
    path("retention/progress/", views.show_progress, name="progress"),
    path("retention/ages/", views.show_ages, name="ages"),
    path("retention/runs/<int:number>/", views.show_run, name="run"),
    path("retention/receipts.csv", views.export_receipts, {"form": "csv"}, name="receipts-csv"),
    path("retention/receipts.json", views.export_receipts, {"form": "json"}, name="receipts-json"),
    path("retention/receipts.signed.json", views.export_receipts, {"form": "signed.json"}, name="receipts-signed"),
    path("retention/changes/<uuid:uuid>/cancel/", views.cancel_change, name="cancel-change"),
    path("retention/changes/<uuid:uuid>/apply/", views.apply_change, name="apply-change"),
    path("retention/holds/", views.list_holds, name="holds"),
    path("retention/holds/<uuid:uuid>/release/", views.release_hold, name="release-hold"),
    path("retention/confirm/", views.confirm_guard, name="confirm-guard"),
    path("retention/erased/", views.list_erased, name="erased"),
    path("retention/erased/<uuid:uuid>/", views.show_erasure, name="erasure"),
    path("retention/erased/<uuid:uuid>/signed.json", views.export_erasure, name="erasure-signed"),
    path("contacts/<uuid:uuid>/erase/", views.erase_contact, name="erase-contact"),
    path("delete/", views.delete_organisation, name="delete-organisation"),
    path("compliance/", views.show_compliance, name="compliance"),
]
