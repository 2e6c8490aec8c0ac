"""REST addresses of this room, below ``environments/<slug>/``."""

from django.urls import path

from conversations import api

urlpatterns = [
    path("conversations/", api.Conversations.as_view(), name="conversation-list"),
    path("conversations/<uuid:uuid>/", api.OneConversation.as_view(), name="conversation-detail"),
    path("conversations/<uuid:uuid>/messages/", api.Messages.as_view(), name="conversation-messages"),
]
