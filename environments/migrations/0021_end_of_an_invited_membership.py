"""When the membership ends of somebody who accepts an invitation."""

from django.db import migrations, models

from web.clock import in_calendar


class Migration(migrations.Migration):
    dependencies = [("environments", "0020_what_ends_a_request_withdraws_its_mails")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        migrations.AddField("invitation", "membership_expires_at", models.DateTimeField(null=True)),
        migrations.AddConstraint(
            "invitation",
            models.CheckConstraint(
                condition=in_calendar("membership_expires_at"), name="invited_membership_is_in_the_calendar"
            ),
        ),
    ]
