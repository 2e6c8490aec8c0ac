"""Serializers of conversations; every field is listed, so that a new column is never published by accident."""

from datetime import UTC
from typing import Any

from rest_framework import serializers

from conversations.choices import Outcome
from conversations.models import Attachment, Contact, Conversation, ConversationVariable, Message


def utc(**options: Any) -> serializers.DateTimeField:
    """Return a field for an instant in UTC, which no time zone can push out of the calendar."""
    return serializers.DateTimeField(default_timezone=UTC, **options)


class ContactSerializer(serializers.ModelSerializer[Contact]):
    id = serializers.CharField(source="external_id")
    last_activity_at = utc()

    class Meta:
        model = Contact
        fields = ("uuid", "id", "name", "last_activity_at")


class ContactDetailSerializer(ContactSerializer):
    class Meta:
        model = Contact
        fields = (*ContactSerializer.Meta.fields, "variables")


class MessageSerializer(serializers.ModelSerializer[Message]):
    sent_at = utc()
    claimed_at = utc(help_text="what the sender claimed, if that was in the future")

    class Meta:
        model = Message
        fields = ("seq", "role", "author", "text", "sent_at", "claimed_at")


class AttachmentSerializer(serializers.ModelSerializer[Attachment]):
    has_file = serializers.SerializerMethodField()
    seq = serializers.IntegerField(source="message_seq", allow_null=True)
    sent_at = utc()

    class Meta:
        model = Attachment
        fields = ("uuid", "name", "mime", "size", "seq", "sent_at", "has_file")

    def get_has_file(self, attachment: Attachment) -> bool:
        return attachment.blob_id is not None


class ConversationSerializer(serializers.ModelSerializer[Conversation]):
    id = serializers.CharField(source="external_id")
    contact = ContactSerializer()
    created_at = utc()
    latest_at = utc()
    message_count = serializers.IntegerField()

    class Meta:
        model = Conversation
        fields = ("uuid", "id", "channel", "contact", "created_at", "latest_at", "message_count")


class ConversationDetailSerializer(ConversationSerializer):
    contact = ContactDetailSerializer()
    variables = serializers.SerializerMethodField()
    attachments = serializers.SerializerMethodField()

    class Meta:
        model = Conversation
        fields = (*ConversationSerializer.Meta.fields, "variables", "attachments")

    def get_variables(self, conversation: Conversation) -> dict[str, Any]:
        now, environment = self.context["now"], conversation.environment
        found = ConversationVariable.objects.readable(now, environment=environment).filter(conversation=conversation)
        return dict(found.order_by("key").values_list("key", "value"))

    def get_attachments(self, conversation: Conversation) -> list[dict[str, Any]]:
        now, environment = self.context["now"], conversation.environment
        found = Attachment.objects.readable(now, environment=environment).filter(conversation=conversation)
        return list(AttachmentSerializer(found.order_by("pk"), many=True).data)


class IngestResultSerializer(serializers.Serializer[Any]):
    """The result of one conversation, in the order of the request."""

    id = serializers.CharField(allow_null=True)
    outcome = serializers.ChoiceField(choices=Outcome.choices)
    uuid = serializers.UUIDField(allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    nul_count = serializers.IntegerField(help_text="NUL characters replaced by U+FFFD")
    is_past_cutoff = serializers.BooleanField(help_text="stored, but hidden, and deleted by the next purge")


class AppendResultSerializer(serializers.Serializer[Any]):
    uuid = serializers.UUIDField()
    id = serializers.CharField()
    is_past_cutoff = serializers.BooleanField(help_text="stored, but hidden, and deleted by the next purge")
