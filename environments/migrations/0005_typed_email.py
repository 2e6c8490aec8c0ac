from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("environments", "0004_roles_have_somebody_who_answers")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        migrations.AddField(
            model_name="invitation",
            name="typed_email",
            field=models.CharField(blank=True, db_default="", default="", max_length=254),
        ),
    ]
