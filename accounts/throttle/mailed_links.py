"""Links that are mailed to whoever asks: to reset a password, or to join."""

from collections.abc import Callable, Iterable

from celery import Task
from django.core.exceptions import ValidationError
from django.forms import Form
from django.utils.translation import get_language

from accounts.throttle.budgets import Budget, current_address, use_up
from web import deliveries


def queue_link(
    form: Form,
    *,
    task: Task,
    budget_of: Callable[[str], Budget],
    more_budgets: Iterable[Budget] = (),
    arguments: Iterable[object] = (),
) -> bool:
    """Queue the task that mails a link to the address of the form; return whether the form was valid.

    The task gets the address, the language of the page, and ``arguments``.

    The worker looks whether anybody has the address, so that the response takes the same time for all of them. A spent
    budget is an error of the form.
    """
    if not form.is_valid():
        return False
    email = form.cleaned_data["email"]
    try:
        if budget := current_address():
            use_up(budget)
        for budget in (*more_budgets, budget_of(email)):
            use_up(budget)
    except ValidationError as error:
        form.add_error(None, error)
        return False
    deliveries.queue_task(task, email, get_language() or "en", *arguments)
    return True
