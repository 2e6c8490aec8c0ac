"""Links that are mailed to whoever asks: to reset a password, or to join."""

from collections.abc import Callable

from celery import Task
from django.core.exceptions import ValidationError
from django.forms import Form
from django.utils.translation import get_language

from accounts.throttle.budgets import Budget, current_address, use_up
from web import deliveries


def queue_link(form: Form, *, task: Task, budget_of: Callable[[str], Budget]) -> bool:
    """Queue the task that mails a link to the address of the form; return whether the form was valid.

    The worker looks whether anybody has the address, so that the response takes the same time for all of them. A spent
    budget, of the client's address or of the one in the form, is an error of the form.
    """
    if not form.is_valid():
        return False
    email = form.cleaned_data["email"]
    try:
        if budget := current_address():
            use_up(budget)
        use_up(budget_of(email))
    except ValidationError as error:
        form.add_error(None, error)
        return False
    deliveries.queue_task(task, email, get_language() or "en")
    return True
