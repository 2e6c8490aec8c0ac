from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("environments", "0023_reminder_of_an_end"),
    ]

    operations = [
        migrations.AddField(
            model_name="mfachange",
            name="awaits_announcement",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
