from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0011_items_by_environment")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        migrations.AddField("dailycount", "contacts", models.PositiveIntegerField(db_default=0, default=0)),
        migrations.AddField("dailycountdelta", "contacts", models.PositiveIntegerField(db_default=0, default=0)),
        # The rows that are there get False, and those to come True.
        migrations.AddField("dailycount", "has_all_contacts", models.BooleanField(db_default=False, default=False)),
        migrations.AlterField("dailycount", "has_all_contacts", models.BooleanField(db_default=True, default=True)),
    ]
