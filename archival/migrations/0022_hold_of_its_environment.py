from django.db import migrations

# A key to the rows would be in the way: a hold stays as history when what it covered is gone.
ADD = [
    """
CREATE FUNCTION archival_hold_is_of_its_environment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM conversations_conversation c
               WHERE c.id = NEW.conversation_id AND c.environment_id <> NEW.environment_id)
        OR EXISTS (SELECT FROM conversations_contact t
                   WHERE t.id = NEW.contact_id AND t.environment_id <> NEW.environment_id)
    THEN
        RAISE EXCEPTION 'a hold covers what is in its own environment'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'hold_is_of_its_environment';
    END IF;
    RETURN NEW;
END $$
""",
    """
CREATE TRIGGER archival_hold_is_of_its_environment
    BEFORE INSERT OR UPDATE OF environment_id, contact_id, conversation_id ON archival_hold
    FOR EACH ROW EXECUTE FUNCTION archival_hold_is_of_its_environment()
""",
]
REMOVE = [
    "DROP TRIGGER archival_hold_is_of_its_environment ON archival_hold",
    "DROP FUNCTION archival_hold_is_of_its_environment()",
]


class Migration(migrations.Migration):
    dependencies = [("archival", "0021_journal_of_batches"), ("conversations", "0005_calendar_validated")]

    operations = [migrations.RunSQL(ADD, REMOVE)]
