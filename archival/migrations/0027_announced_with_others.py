from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("archival", "0026_holds_without_trigger"),
    ]

    operations = [
        migrations.AddField(
            model_name="policychange",
            name="awaits_announcement",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
