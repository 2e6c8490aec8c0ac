"""Addresses of log-in, factors, passwords, profile and the development mailbox."""

from django.urls import path

from accounts import dev_mailbox as mailbox
from accounts.factors import enrol_views as enrol
from accounts.factors import recovery_code_views as new_codes
from accounts.log_in import sso_views
from accounts.log_in import step_up_views as stepup
from accounts.log_in import views as log_in_views
from accounts.passwords import views as password
from accounts.profile import security_views as security
from accounts.profile import views as profile
from accounts.throttle import views as slowed

app_name = "accounts"
urlpatterns = [
    path("login/", log_in_views.log_in, name="login"),
    path("login/organisation/", sso_views.log_in_at_organisation, name="organisation-log-in"),
    path("verify/", log_in_views.verify, name="verify"),
    path("enrol/", enrol.enrol, name="enrol"),
    path("logout/", log_in_views.log_out, name="logout"),
    path("password/reset/", password.reset_password, name="reset-password"),
    path("password/reset/sent/", password.reset_password_sent, name="reset-password-sent"),
    path("password/set/<str:key>/<str:token>/", password.set_password, name="set-password"),
    path("profile/", profile.profile, name="profile"),
    path("profile/email/", profile.change_email, name="change-email"),
    path("profile/email/confirm/<str:token>/", profile.confirm_email, name="confirm-email"),
    path("profile/security/", security.security, name="security"),
    path("profile/security/soon/", log_in_views.second_factor_soon, name="second-factor-soon"),
    path("profile/security/confirm/", stepup.step_up, name="step-up"),
    path("profile/security/confirm/go-on/<str:key>/", stepup.go_on, name="go-on"),
    path("profile/security/password/", security.change_password, name="change-password"),
    path(".well-known/change-password", security.find_change_password, name="find-change-password"),
    path("profile/security/factors/remove/", security.remove_factor, name="remove-factor"),
    path("profile/security/factors/rename/", security.rename_factor, name="rename-factor"),
    path("profile/security/recovery-codes/", security.make_recovery_codes, name="make-recovery-codes"),
    path("profile/security/recovery-codes/new/", new_codes.new_recovery_codes, name="new-recovery-codes"),
    path("profile/security/identities/unlink/", security.unlink_identity, name="unlink-identity"),
    path("profile/security/sessions/end/", security.end_session, name="end-session"),
    path("profile/security/sessions/end-others/", security.end_other_sessions, name="end-other-sessions"),
    path("sign-in/slowed/", slowed.list_slowed, name="slowed"),
    path("dev/mail/", mailbox.dev_mailbox, name="dev-mailbox"),
    path("dev/mail/<str:key>/", mailbox.dev_mail, name="dev-mail"),
    path("dev/mail/<str:key>/html/", mailbox.dev_mail_html, name="dev-mail-html"),
]
