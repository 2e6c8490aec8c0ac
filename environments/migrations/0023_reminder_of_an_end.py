"""When people were reminded that a membership ends."""

from django.db import migrations, models

from web.clock import in_calendar


class Migration(migrations.Migration):
    dependencies = [("environments", "0022_invitation_links")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        migrations.AddField("membership", "end_mailed_at", models.DateTimeField(null=True)),
        migrations.AddConstraint(
            "membership",
            models.CheckConstraint(
                condition=in_calendar("end_mailed_at"), name="reminder_of_an_end_is_in_the_calendar"
            ),
        ),
    ]
