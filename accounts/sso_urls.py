"""The two addresses of SSO, under the names that the library expects; its other views stay shut."""

from django.urls import path
from social_django.views import complete

from accounts.views.doors import begin_sso

app_name = "social"
urlpatterns = [
    path("login/<str:backend>/", begin_sso, name="begin"),
    path("complete/<str:backend>/", complete, name="complete"),
]
