"""The addresses of passkey ceremonies, under the names that the library's scripts expect."""

from django.urls import path
from django.views.i18n import JavaScriptCatalog

from accounts.factors import passkey_views as passkeys

app_name = "otp_webauthn"
urlpatterns = [
    path("registration/begin/", passkeys.BeginRegistration.as_view(), name="credential-registration-begin"),
    path("registration/complete/", passkeys.CompleteRegistration.as_view(), name="credential-registration-complete"),
    path("authentication/begin/", passkeys.BeginAuthentication.as_view(), name="credential-authentication-begin"),
    path("authentication/offer/", passkeys.OfferAuthentication.as_view(), name="credential-authentication-offer"),
    path(
        "authentication/complete/", passkeys.CompleteAuthentication.as_view(), name="credential-authentication-complete"
    ),
    path("words/", JavaScriptCatalog.as_view(packages=["django_otp_webauthn"]), name="js-i18n-catalog"),
]
