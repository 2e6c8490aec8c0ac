"""Pages of an environment's conversations, below its short name."""

from django.urls import path

from conversations.reading import views

app_name = "conversations"
urlpatterns = [
    path("conversations/", views.list_conversations, name="list"),
    path("conversations/<uuid:uuid>/", views.show_conversation, name="detail"),
    path("conversations/<uuid:uuid>/messages/<int:seq>/", views.show_text, name="text"),
    path("contacts/", views.list_contacts, name="contacts"),
    path("contacts/<uuid:uuid>/", views.show_contact, name="contact"),
    path("contacts/<uuid:uuid>/export/", views.export_contact, name="export-contact"),
    path("attachments/<uuid:uuid>/", views.download_attachment, name="attachment"),
]
