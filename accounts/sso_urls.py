"""The two addresses of SSO, under the names that the library expects; its other views stay shut."""

from django.db import transaction
from django.urls import path
from social_django.views import complete

from accounts.views.doors import begin_sso

app_name = "social"
urlpatterns = [
    path("login/<str:backend>/", begin_sso, name="begin"),
    # Whoever the pipeline's last steps refuse leaves nothing behind of the earlier ones: no account and no identity.
    path("complete/<str:backend>/", transaction.atomic(complete), name="complete"),
]
