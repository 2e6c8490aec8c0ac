"""Gives open invitations the one normal form of their address; one that cannot have it is listed and stays closed."""

import sys

from django.core.exceptions import ValidationError
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from web.addresses import address_of


def normalise(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    invitations = apps.get_model("environments", "Invitation")
    for invitation in invitations.objects.filter(used_at=None, email__regex=r"[^\x01-\x7f]").order_by("pk"):
        try:
            form = address_of(invitation.email).key
        except ValidationError:
            form = None
        others = invitations.objects.filter(organisation_id=invitation.organisation_id, used_at=None)
        if form and not others.filter(email=form).exists():
            invitations.objects.filter(pk=invitation.pk).update(email=form)
        else:
            sys.stdout.write(f"\n    Invitation {invitation.pk}, {invitation.email}: cannot be accepted; invite again.")


class Migration(migrations.Migration):
    dependencies = [("environments", "0005_typed_email")]

    operations = [migrations.RunPython(normalise, migrations.RunPython.noop)]
