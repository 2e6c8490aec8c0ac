import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agencies", "0003_bulk_changes"),
        ("environments", "0025_reserved_slugs"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="OrganisationTemplate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                (
                    "require_mfa",
                    models.CharField(
                        choices=[("inherit", "Inherit"), ("on", "On"), ("off", "Off")], default="inherit", max_length=7
                    ),
                ),
                ("require_mfa_locked", models.BooleanField(db_default=False, default=False)),
                (
                    "archival",
                    models.CharField(
                        choices=[("inherit", "Inherit"), ("keep", "Keep"), ("limit", "Limit")],
                        default="inherit",
                        max_length=7,
                    ),
                ),
                ("archive_after_days", models.PositiveSmallIntegerField(null=True)),
                ("archival_locked", models.BooleanField(db_default=False, default=False)),
                (
                    "auto_invite_roles",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("administrator", "Administrator"),
                                ("organisation_manager", "Organisation manager"),
                                ("environment_manager", "Environment manager"),
                                ("developer", "Developer"),
                                ("member", "Member"),
                            ],
                            max_length=24,
                        ),
                        default=list,
                        size=None,
                    ),
                ),
                (
                    "changed_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="templates",
                        to="environments.organisation",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TemplateMember",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "roles",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("administrator", "Administrator"),
                                ("organisation_manager", "Organisation manager"),
                                ("environment_manager", "Environment manager"),
                                ("developer", "Developer"),
                                ("member", "Member"),
                            ],
                            max_length=24,
                        ),
                        size=None,
                    ),
                ),
                (
                    "template",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="members",
                        to="agencies.organisationtemplate",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="organisationtemplate",
            constraint=models.UniqueConstraint(fields=("organisation", "name"), name="one_template_of_a_name"),
        ),
        migrations.AddConstraint(
            model_name="organisationtemplate",
            constraint=models.CheckConstraint(
                condition=models.Q(("require_mfa__in", ["inherit", "on", "off"])), name="template_mfa_is_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="organisationtemplate",
            constraint=models.CheckConstraint(
                condition=models.Q(("require_mfa_locked", False), ("require_mfa", "on"), _connector="OR"),
                name="template_locks_only_on",
            ),
        ),
        migrations.AddConstraint(
            model_name="organisationtemplate",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("archival", "limit"), ("archive_after_days__range", (1, 3650))),
                    models.Q(
                        ("archival__in", ["inherit", "keep"]), ("archival_locked", False), ("archive_after_days", None)
                    ),
                    _connector="OR",
                ),
                name="template_days_go_with_a_limit",
            ),
        ),
        migrations.AddConstraint(
            model_name="templatemember",
            constraint=models.UniqueConstraint(fields=("template", "user"), name="one_line_of_a_person_in_a_template"),
        ),
    ]
