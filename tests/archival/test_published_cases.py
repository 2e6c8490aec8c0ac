"""``docs/retention.md`` ends with cases that broke other systems and the tests of each; a stale list fails here."""

import os
from pathlib import Path

from tests.accounts.test_statement import sentences

TESTS = Path(__file__).parent.parent
DOCUMENT = TESTS.parent / "docs" / "retention.md"
HEADING = "## Cases that broke other systems"
OPENING = f"""{HEADING}

Each case has tests, whose names are given here as sentences, with their files below `tests/`. This section is written
from them: `STUDIO_WRITE_DOCS=1 make test ARGS="-k statement"`. `tests/archival/test_mutants.py` tests the tests: it
puts some sixty faults into the purge, one at a time, and checks that a test finds each.
"""
CASES = {
    "Boundary": {
        "a microsecond around N days": [
            "exactly_n_days_stays_and_a_microsecond_more_is_deleted",
            "every_edge_is_as_the_oracle_says",
        ],
        "clocks that change": ["a_day_is_24_hours_across_a_change_to_summer_time"],
        "rows written during a run": [
            "what_is_written_during_a_run_is_deleted_or_kept_by_its_own_clock",
            "a_backdated_import_during_a_run_is_deleted_by_it_or_by_the_next",
        ],
        "a message today in an old conversation": [
            "of_a_conversation_begun_200_days_ago_only_the_message_of_today_stays"
        ],
    },
    "Isolation": {
        "other limits side by side": ["environments_with_30_days_100_days_and_no_limit_each_keep_to_their_own"],
        "random data": ["purge_leaves_and_counts_exactly_what_the_oracle_says"],
        "inherit, shorter, longer, off, locked": [
            "every_combination_of_inherit_shorter_longer_off_and_locked_deletes_by_the_effective_limit",
            "effective_values_are_those_of_a_simple_model",
        ],
        "suspended and idle environments": [
            "suspended_and_idle_environments_are_purged_too",
            "an_environment_that_was_idle_for_a_year_is_empty_after_one_run",
        ],
    },
    "Media": {
        "a file that is shared": [
            "a_file_shared_by_three_messages_is_deleted_with_the_third",
            "one_content_is_one_object_for_each_environment_and_is_deleted_with_its_last_reference",
        ],
        "storage down for an hour": [
            "storage_that_is_down_for_an_hour_loses_nothing_and_catches_up",
            "while_storage_is_down_a_task_gives_up_after_a_few_files_and_the_next_tries_others",
        ],
        "404 on delete": [
            "a_bucket_that_is_not_there_deletes_nothing_and_the_files_wait_for_the_right_one",
            "a_file_that_is_not_in_storage_counts_as_deleted",
            "a_404_on_delete_counts_as_deleted",
        ],
        "a crash between row and bytes": ["a_crash_between_row_and_bytes_leaves_the_bytes_for_the_next_try"],
        "a young upload and the sweep": [
            "the_sweep_finds_files_without_rows_and_rows_without_files_and_leaves_young_files",
            "an_upload_in_progress_counts_as_no_orphan_and_the_outbox_keeps_its_blob",
            "the_sweep_of_a_bucket_reads_every_page_of_the_list_and_leaves_young_files",
        ],
        "names like ../../etc/passwd": [
            "a_file_is_stored_read_through_the_gate_and_deleted_with_its_attachment",
            "an_attachment_is_only_ever_a_download",
        ],
    },
    "Crash": {
        "SIGKILL at 50 random points, two workers at once": [
            "killed_at_fifty_random_points_two_workers_converge_on_what_the_oracle_says",
            "four_workers_at_once_delete_everything_once",
        ],
        "the broker restarts": ["a_broker_that_restarts_in_the_middle_of_a_run_stops_neither_it_nor_the_next"],
        "the database restarts": [
            "a_database_that_restarts_in_the_middle_of_a_run_loses_and_counts_nothing_twice",
            "a_database_that_restarts_fails_the_run_and_the_next_one_finishes",
        ],
        "a task delivered twice": ["a_task_delivered_twice_deletes_and_counts_once"],
    },
    "Race": {
        "a message between snapshot and lock": [
            "a_message_committed_between_snapshot_and_lock_stays_with_its_conversation"
        ],
        "a message for what is being deleted": [
            "a_message_for_a_conversation_that_is_being_deleted_begins_a_new_one",
            "a_conversation_that_somebody_writes_to_is_skipped_and_waits_for_the_next_run",
            "a_backdated_message_older_than_all_is_found_by_the_next_run",
            "an_item_that_became_young_while_its_deletion_waited_stays",
        ],
        "two purgers, one with an older snapshot": [
            "two_purgers_delete_and_count_each_row_once",
            "a_second_purger_skips_what_the_first_has_locked",
        ],
        "a conversation for a contact that is being purged": [
            "a_new_conversation_for_a_contact_that_is_being_purged_gets_a_new_contact",
            "a_contact_that_just_got_a_new_conversation_is_skipped",
        ],
        "an erasure beside ingest and purge": [
            "a_message_that_arrives_during_an_erasure_is_kept_with_a_new_contact",
            "an_erasure_waits_for_a_message_that_is_being_written_and_takes_it_too",
            "the_purge_skips_what_is_being_erased",
            "an_erasure_waits_for_the_purge_and_each_row_is_counted_by_one_of_them",
        ],
        "a file's last reference": [
            "a_last_reference_taken_away_while_the_outbox_is_emptied_leaves_no_orphan",
            "a_blob_that_is_being_deleted_is_stored_again",
        ],
    },
    "Policy": {
        "0, -1, 3651, nothing, an unknown word, a parent that is gone": [
            "a_policy_out_of_range_deletes_nothing_and_raises_an_alarm",
            "an_unknown_setting_keeps_everything_and_raises_an_alarm",
            "an_environment_whose_parent_is_gone_keeps_everything_and_raises_an_alarm",
            "malformed_limits_are_refused_and_change_nothing",
        ],
        "raised, lowered and switched off in the middle of a run": [
            "a_change_in_the_middle_of_a_run_counts_from_the_next_batch",
            "a_limit_lowered_in_the_middle_of_a_run_counts_from_the_next_batch",
            "a_longer_limit_waits_for_the_current_batch_and_applies_to_the_next",
        ],
        "a hold in the middle of a run": [
            "a_hold_committed_between_snapshot_and_lock_is_respected",
            "a_hold_placed_during_a_batch_waits_for_it_and_covers_what_is_left",
            "a_hold_that_is_being_placed_makes_an_erasure_wait_and_stops_it",
        ],
        "a stale preview": [
            "saving_is_refused_when_clearly_more_would_be_deleted_than_was_shown",
            "a_preview_of_another_change_or_none_at_all_is_refused",
        ],
    },
    "Shells": {
        "nothing is left of what has gone": [
            "no_empty_conversation_is_left_once_its_last_item_is_deleted",
            "an_empty_conversation_stays_until_its_last_activity_is_past_the_limit",
        ],
        "counters and previews": [
            "counters_and_last_message_previews_show_what_is_left",
            "statistics_of_the_days_survive_the_purge",
        ],
        "an active contact": ["an_active_contact_keeps_its_profile_when_all_its_conversations_are_deleted"],
    },
    "Visibility": {
        "an expired item, before the purge has run": [
            "no_page_shows_what_is_past_its_cutoff_before_the_purge_has_run",
            "old_items_of_a_living_conversation_are_gone_from_its_page",
            "a_conversation_past_its_cutoff_cannot_be_read",
            "an_export_holds_nothing_past_the_cutoff",
            "figures_count_what_can_be_read_and_nothing_past_its_cutoff",
        ]
    },
    "Fairness": {
        "a giant backlog beside small ones": [
            "299_small_environments_are_done_long_before_the_giant_beside_them",
            "after_a_batch_the_purge_pauses_for_a_multiple_of_the_time_it_took",
        ]
    },
}


ROOMS = ("archival", "conversations", "environments", "studio")


def written() -> str:
    """Return the section. Raises ``KeyError`` for a sentence that no test has."""
    files = {
        sentence: path.relative_to(TESTS)
        for room in ROOMS
        for path in sorted((TESTS / room).glob("test_*.py"))
        for sentence in sentences(str(path))
    }
    text = OPENING
    for chapter, cases in CASES.items():
        text += f"\n### {chapter}\n\n"
        for case, tests in cases.items():
            text += f"- **{case}**\n"
            for test in tests:
                sentence = test.replace("_", " ").capitalize()
                text += f"  - {sentence} (`{files[sentence]}`).\n"
    return text


def test_the_statement_of_cases_names_the_tests_that_hold_them():
    before, _, found = DOCUMENT.read_text().partition(HEADING)
    if os.environ.get("STUDIO_WRITE_DOCS") == "1":
        found = written().removeprefix(HEADING)
        DOCUMENT.write_text(f"{before.rstrip()}\n\n{HEADING}{found}")
    assert HEADING + found == written()
