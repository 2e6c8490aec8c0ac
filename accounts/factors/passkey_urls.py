"""The addresses of passkey ceremonies, under the names that the library's scripts expect."""

from django.urls import path
from django.views.i18n import JavaScriptCatalog

from accounts.factors import passkey_views as passkeys
from web.compression import shows_secret

app_name = "otp_webauthn"
urlpatterns = [
    path(
        "registration/begin/", shows_secret(passkeys.BeginRegistration.as_view()), name="credential-registration-begin"
    ),
    path(
        "registration/complete/",
        shows_secret(passkeys.CompleteRegistration.as_view()),
        name="credential-registration-complete",
    ),
    path(
        "authentication/begin/",
        shows_secret(passkeys.BeginAuthentication.as_view()),
        name="credential-authentication-begin",
    ),
    path(
        "authentication/offer/",
        shows_secret(passkeys.OfferAuthentication.as_view()),
        name="credential-authentication-offer",
    ),
    path(
        "authentication/complete/",
        shows_secret(passkeys.CompleteAuthentication.as_view()),
        name="credential-authentication-complete",
    ),
    path("words/", JavaScriptCatalog.as_view(packages=["django_otp_webauthn"]), name="js-i18n-catalog"),
]
