"""Addresses of retention and deletion on request, below an organisation's short name."""

from django.urls import path

from archival.evidence import receipt_views as receipts
from archival.evidence import views as ledger
from archival.exports import views as exports
from archival.holds import views as holds
from archival.policy import views as changes
from archival.requests import views as on_request

app_name = "archival"
urlpatterns = [
    path("retention/", ledger.show_ledger, name="ledger"),
    path("retention/progress/", ledger.show_progress, name="progress"),
    path("retention/ages/", ledger.show_ages, name="ages"),
    path("retention/runs/<int:number>/", ledger.show_run, name="run"),
    path("retention/receipts.csv", receipts.export_receipts, {"file_type": "csv"}, name="receipts-csv"),
    path("retention/receipts.json", receipts.export_receipts, {"file_type": "json"}, name="receipts-json"),
    path(
        "retention/receipts.signed.json", receipts.export_receipts, {"file_type": "signed.json"}, name="receipts-signed"
    ),
    path("retention/changes/<uuid:uuid>/cancel/", changes.cancel_change, name="cancel-change"),
    path("retention/changes/<uuid:uuid>/apply/", changes.apply_change, name="apply-change"),
    path("retention/holds/", holds.list_holds, name="holds"),
    path("retention/holds/<uuid:uuid>/release/", holds.release_hold, name="release-hold"),
    path("retention/confirm/", ledger.confirm_guard, name="confirm-guard"),
    path("retention/erased/", on_request.list_erased, name="erased"),
    path("retention/erased/<uuid:uuid>/", on_request.show_erasure, name="erasure"),
    path("retention/erased/<uuid:uuid>/signed.json", receipts.export_erasure, name="erasure-signed"),
    path("contacts/<uuid:uuid>/erase/", on_request.erase_contact, name="erase-contact"),
    path("exports/", exports.list_exports, name="exports"),
    path("exports/start/", exports.start_exports, name="start-exports"),
    path("exports/<uuid:uuid>/", exports.show_export, name="export"),
    path("exports/<uuid:uuid>/<int:number>.zip", exports.download_part, name="download-export"),
    path("exports/<uuid:uuid>/delete/", exports.withdraw_export, name="withdraw-export"),
    path("delete/", on_request.delete_organisation, name="delete-organisation"),
]
