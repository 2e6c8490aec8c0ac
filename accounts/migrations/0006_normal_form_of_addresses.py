"""Gives accounts the one normal form of their address; lists those that would collide, and merges none."""

import sys
from collections import Counter

from django.core.exceptions import ValidationError
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from web.addresses import address_of

OF_ANOTHER_SCRIPT = r"[^\x01-\x7f]"  # the others are in their normal form: in ASCII, and in lower case by constraint


def normalise(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    people, changes = apps.get_model("accounts", "User"), apps.get_model("accounts", "EmailChange")
    rows = list(people.objects.filter(email__regex=OF_ANOTHER_SCRIPT).order_by("pk"))
    forms = {user.pk: normal_form(user.email) for user in rows}
    wanted = Counter(form for form in forms.values() if form)
    taken = set(people.objects.filter(email__in=wanted).values_list("email", flat=True))
    for user in rows:
        form = forms[user.pk]
        if form is None:
            say(f"Account {user.pk}, {user.email}: its domain has no normal form, so no mail is sent to it.")
        elif form in taken or wanted[form] > 1:
            say(f"Account {user.pk}, {user.email}: is {form} like another account. Nothing was merged.")
        else:
            people.objects.filter(pk=user.pk).update(email=form)
    for change in changes.objects.filter(email__regex=OF_ANOTHER_SCRIPT):
        if form := normal_form(change.email):
            changes.objects.filter(pk=change.pk).update(email=form)
        else:
            change.delete()


def normal_form(email: str) -> str | None:
    try:
        return address_of(email).key
    except ValidationError:
        return None


def say(line: str) -> None:
    sys.stdout.write(f"\n    {line}")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_typed_email")]

    operations = [migrations.RunPython(normalise, migrations.RunPython.noop)]
