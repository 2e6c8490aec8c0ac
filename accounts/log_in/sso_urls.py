"""The two addresses of SSO, under the names that the library expects; its other views have none."""

from django.urls import path

from accounts.log_in.sso_views import begin_sso, complete_sso

app_name = "social"
urlpatterns = [
    path("login/<str:backend>/", begin_sso, name="begin"),
    path("complete/<str:backend>/", complete_sso, name="complete"),
]
