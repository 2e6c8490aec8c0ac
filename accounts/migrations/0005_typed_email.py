from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Lower


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_impersonation")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        migrations.AddField(
            model_name="user",
            name="typed_email",
            field=models.CharField(blank=True, db_default="", default="", max_length=254),
        ),
        migrations.AddField(
            model_name="emailchange",
            name="typed_email",
            field=models.CharField(blank=True, db_default="", default="", max_length=254),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=Q(typed_email="") | Q(email=Lower("typed_email")),
                name="typed_email_is_the_same_address",
            ),
        ),
    ]
