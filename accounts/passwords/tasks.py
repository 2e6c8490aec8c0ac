"""Tasks that send mails about passwords."""

from celery import shared_task

from accounts.passwords import services as passwords


@shared_task(name="accounts.tasks.send_password_reset")
def send_password_reset(email: str, language: str) -> None:
    """Mail a link to set a new password, if somebody has this address.

    A task, so that the page takes the same time for every address.
    """
    passwords.send_reset(email, language=language)
