"""Sending the outbox: one delivery at a time, first tries first, with growing delays after failures."""

import logging
import re
import time
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parseaddr
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException, SMTPSenderRefused
from typing import Any

from celery import current_app
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction

from web import sealing
from web.choices import FIRST_DELAY, LONGEST_DELAY, DeliveryKind, DeliveryState
from web.clock import database_now
from web.locks import lock_if_free
from web.models import Delivery

logger = logging.getLogger(__name__)

SENDING_LOCK = 0x4D_41_49_4C  # one process sends at a time, so a mail server that hangs blocks one worker only
WORKS_FOR = 20.0  # seconds; then other tasks have their turn
CLAIMED_FOR = timedelta(minutes=2)  # longer than one try takes: a worker that is killed leaves it to the next
SILENT_FAILURES = 2  # in a row without an answer: the mail server is away
# Not about this recipient: the server wants another log-in or encryption, or relays nothing of ours.
OURS_TO_MEND = {530, 534, 535, 538}
POLICY = "5.7."
ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\S)")  # RFC 3463


class MailServerAway(Exception):
    """The mail server accepts nothing now; what waits is tried again later."""


def send_due() -> bool:
    """Send what is due, and return whether anything due is left for another task.

    Does nothing if another process is sending: that one sends what is due now, too.
    """
    until = time.monotonic() + WORKS_FOR
    while time.monotonic() < until:
        if not Delivery.objects.due(database_now()).exists():
            return False
        with lock_if_free(SENDING_LOCK) as is_alone:
            if not is_alone:
                return False
            try:
                send_until(until)
            except MailServerAway as error:
                logger.error("The mail server takes nothing now: %s", error)
                return False
    return True


def send_until(until: float) -> None:
    """Send until nothing is due, or ``time.monotonic()`` says so. Raises ``MailServerAway``."""
    expire(now=database_now())
    with Post() as post:
        while time.monotonic() < until and (delivery := claim_next(now=database_now())):
            if delivery.kind == DeliveryKind.TASK:
                run_task(delivery)
            else:
                post.send(delivery)


def expire(*, now: datetime) -> None:
    """Expire deliveries whose code or link has expired."""
    if count := Delivery.objects.filter(expires_at__lte=now).end_deliveries(DeliveryState.EXPIRED, now=now):
        logger.warning("%s mails expired before they could leave.", count)


@transaction.atomic
def claim_next(*, now: datetime) -> Delivery | None:
    """Return the next due delivery, reserved for two minutes, or None.

    Those with the fewest failures come first, so that one that always fails delays no other.
    """
    due = Delivery.objects.due(now).exclude(expires_at__lte=now).select_for_update(skip_locked=True)
    delivery = due.order_by("tries", "next_try_at", "pk").first()
    if delivery is not None:
        delivery.tries += 1
        delivery.next_try_at = now + CLAIMED_FOR
        delivery.save(update_fields=["tries", "next_try_at"])
    return delivery


def delay(tries: int) -> timedelta:
    """Return how long to wait after so many tries."""
    return min(FIRST_DELAY * 2 ** min(tries - 1, 20), LONGEST_DELAY)


def run_task(delivery: Delivery) -> None:
    """Run a task and end its delivery in one transaction."""
    try:
        with transaction.atomic():
            arguments = sealing.unseal(bytes(delivery.sealed or b""))["arguments"]
            current_app.tasks[delivery.name].run(*arguments)
            end_delivery(delivery, DeliveryState.DONE)
    except Exception as error:
        logger.exception("The task %s of delivery %s failed.", delivery.name, delivery.pk)
        retry_later(delivery, type(error).__name__)


def end_delivery(delivery: Delivery, state: DeliveryState, *, error: str = "") -> None:
    """End a delivery and delete its body."""
    now = database_now()
    Delivery.objects.filter(pk=delivery.pk, state=DeliveryState.WAITING).update(
        state=state, ended_at=now, sealed=None, error=error[:200]
    )


def retry_later(delivery: Delivery, error: str) -> None:
    """Store when a failed delivery is tried again."""
    next_try_at = database_now() + delay(delivery.tries)
    Delivery.objects.filter(pk=delivery.pk).update(next_try_at=next_try_at, error=error[:200])
    logger.warning("Delivery %s (%s) failed at try %s: %s", delivery.pk, delivery.name, delivery.tries, error)


class Post:
    """A connection to the mail server, used for as many mails as it accepts."""

    def __init__(self) -> None:
        self.backend: BaseEmailBackend | None = None
        self.silent_failures = 0

    def __enter__(self) -> "Post":
        return self

    def __exit__(self, *_error: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        if self.backend is not None:
            with suppress(OSError, SMTPException):
                self.backend.close()
            self.backend = None

    def send(self, delivery: Delivery) -> None:
        """Try to send a mail once, and store the result. Raises ``MailServerAway``."""
        try:
            message = message_of(delivery)
            self.deliver(message, delivery)
        except InvalidToken:
            retry_later(delivery, "No key of TOTP_KEYS opens it.")
        except (SMTPException, OSError) as error:
            self.store_failure(delivery, error)
        except ValueError as error:  # an address or a header that no mail can have
            refuse_delivery(delivery, type(error).__name__)
        else:
            end_delivery(delivery, DeliveryState.DONE)
            self.silent_failures = 0

    def deliver(self, message: EmailMultiAlternatives, delivery: Delivery) -> None:
        if self.backend is None:
            self.backend = get_connection()
            try:
                self.backend.open()
            except (SMTPException, OSError) as error:
                self.backend = None
                delay_all(delivery, loggable_reason(error))
                raise MailServerAway(loggable_reason(error)) from error
        self.backend.send_messages([message])

    def store_failure(self, delivery: Delivery, error: SMTPException | OSError) -> None:
        code, answer = answer_of(error)
        if is_final(error, code, answer):
            refuse_delivery(delivery, loggable_reason(error))
            return
        retry_later(delivery, loggable_reason(error))
        if code is None or isinstance(error, SMTPSenderRefused):
            self.hang_up()
            self.silent_failures += 1
            if self.silent_failures >= SILENT_FAILURES:
                delay_all(delivery, loggable_reason(error))
                raise MailServerAway(loggable_reason(error)) from error


def message_of(delivery: Delivery) -> EmailMultiAlternatives:
    """Return the mail to send. Every try has the same Message-ID, so that mail programs show it once.

    Raises ``InvalidToken`` for a body that was sealed for another row's recipient.
    """
    body = sealing.unseal(bytes(delivery.sealed or b""))
    if body["recipient"] != delivery.recipient:
        raise InvalidToken
    host = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    headers = {"Auto-Submitted": "auto-generated", "Message-ID": f"<{delivery.uuid}@{host}>"}
    message = EmailMultiAlternatives(body["subject"], body["text"], to=[delivery.recipient], headers=headers)
    message.attach_alternative(body["html"], "text/html")
    return message


def refuse_delivery(delivery: Delivery, error: str) -> None:
    """End a mail that the server refuses permanently."""
    end_delivery(delivery, DeliveryState.REFUSED, error=error)
    logger.error("Delivery %s (%s) was refused for good: %s", delivery.pk, delivery.name, error)


def delay_all(delivery: Delivery, error: str) -> None:
    """Delay everything that is due as long as the failed mail: the server accepts nothing now."""
    retry_later(delivery, error)
    now = database_now()
    Delivery.objects.due(now).filter(kind=DeliveryKind.MAIL).update(next_try_at=now + delay(delivery.tries))


def answer_of(error: Exception) -> tuple[int | None, str]:
    """Return the mail server's reply about this mail, or None."""
    if isinstance(error, SMTPRecipientsRefused):
        code, answer = next(iter(error.recipients.values()))
        return code, text_of(answer)
    if isinstance(error, SMTPResponseException):
        return error.smtp_code, text_of(error.smtp_error)
    return None, ""


def text_of(answer: Any) -> str:
    return answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)


def is_final(error: Exception, code: int | None, answer: str) -> bool:
    """Return whether the server will never accept this mail; problems with us or our sender are tried again."""
    if code is None or isinstance(error, SMTPSenderRefused):
        return False
    return 500 <= code < 600 and code not in OURS_TO_MEND and not answer.startswith(POLICY)


def loggable_reason(error: Exception) -> str:
    """Return the text to log about a failure: codes only, since replies quote the recipient."""
    code, answer = answer_of(error)
    if code is None:
        return f"{type(error).__name__}: {error}"
    enhanced = ENHANCED.match(answer)
    return f"{code} {enhanced[0]}" if enhanced else str(code)
