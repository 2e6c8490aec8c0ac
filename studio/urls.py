"""Every address of Studio. A new one is behind the gate unless ``accounts.gate.OPEN_VIEWS`` names it."""

from django.urls import path

from studio import views

urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
]
