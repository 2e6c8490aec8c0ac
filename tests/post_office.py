"""An SMTP server that stores the mails of a test with their recipients."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import default

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class PostOffice:
    """Every delivered mail with its recipient."""

    delivered: list[tuple[str, Message]] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)  # by recipient, where it is not "250 OK"
    is_hanging: bool = False  # accepts connections, and then sends nothing

    @property
    def recipients(self) -> list[str]:
        return [recipient for recipient, _message in self.delivered]

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        while self.is_hanging:
            await asyncio.sleep(0.02)
        return responses

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        message = message_from_bytes(envelope.content, policy=default)
        self.delivered += [(recipient, message) for recipient in envelope.rcpt_tos]
        return "250 OK"


@pytest.fixture
def post_office(settings) -> Iterator[PostOffice]:
    """Deliver this test's mails to a server on loopback."""
    office = PostOffice()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(office, hostname="127.0.0.1", port=port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", port, 1
    yield office
    office.is_hanging = False
    controller.stop()
