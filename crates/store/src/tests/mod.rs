//! The suite that every backend has to pass. A backend joins with one line at the end of this file.
#![allow(clippy::unwrap_used)]

mod deciding;
mod delivering;
mod durability;
mod fixture;
mod following;
mod intake;
mod isolation;
mod measure;
mod nodes;
mod objects;
mod operating;
mod ownership;
mod postgres;
mod quota;
mod sqlite;
// Shared as files: to depend on the testkit, which depends on this crate, would build both twice.
#[allow(dead_code, unreachable_pub)]
#[path = "../../../testkit/src/postgres.rs"]
mod cluster;
#[allow(unreachable_pub)]
#[path = "../../../testkit/src/port.rs"]
mod port;
mod standing;
mod tokens;
mod undoing;
mod upkeep;
mod watching;

use std::collections::BTreeMap;
use std::sync::Arc;

use usher_model::Mode;

use crate::Store;

/// What the suite needs of a backend beyond the traits: a fresh database, and hands on its disk.
pub(crate) trait Backend: Sized + Send {
    /// An empty store of its own; none if this machine has no such database, which is said aloud.
    async fn start() -> Option<Self>;
    /// The store.
    fn store(&self) -> Arc<dyn Store>;
    /// Drops the store without closing it, and opens what is on disk.
    async fn reopen(self) -> Self;
    /// Lets the disk have no room left, or room again.
    async fn fill_disk(&self, full: bool);
    /// Makes the first stored JSON of that table unreadable: `payload`, `draft`, `effect` or `lead`.
    async fn spoil(&self, table: &'static str);
    /// (entitled, taken) by (pool, rep), summed over the ledger's lines.
    async fn ledger(&self, mode: Mode) -> BTreeMap<(String, String), (f64, f64)>;
}

macro_rules! suite {
    ($name:ident: $backend:ty) => {
        suite! { @cases $name: $backend;
            intake: fm_026_parallel_copies_give_one_record, intake: a_repeat_returns_the_known_id,
            intake: a_pull_moves_rows_and_cursor_together, intake: fm_008_no_step_is_stored_whose_predecessor_was_not,
            intake: pulls_called_one_after_the_other_are_stored_in_that_order, intake: hints_for_one_object_are_one_row,
            intake: a_hint_renewed_after_it_was_read_stays, intake: a_body_is_split_once, intake: what_was_put_off_can_be_hastened_and_nothing_else,
            intake: unreadable_items_are_failed_records, intake: fm_076_bad_text_is_stored_safely,
            intake: a_claim_lapses_and_counts_its_attempts, intake: verdicts_end_or_delay_records,
            intake: accounts_are_found_by_their_keys, intake: accounts_that_a_whole_list_lacks_are_gone, intake: owners_that_vanish_become_inactive,
            deciding: live_records_come_before_sweep_and_backfill, deciding: held_connections_are_left_out,
            deciding: fm_108_a_stale_record_rolls_everything_back, deciding: an_object_of_someone_else_is_stale,
            deciding: a_weak_key_may_name_several_persons,
            deciding: a_lead_that_moved_is_stale, deciding: the_view_shows_what_is_known,
            deciding: the_ledger_sums_equal_the_balances, deciding: waiting_leads_come_back_when_due,
            deciding: a_decision_without_writes_closes_as_written, deciding: an_open_lead_is_completed,
            delivering: a_bound_slot_frees_what_waited_for_it, delivering: a_refusal_cancels_what_needs_it,
            delivering: a_parked_write_fails_the_lead_and_stops_what_waits_for_it, delivering: one_person_is_ensured_once_for_two_leads,
            delivering: a_refused_person_fails_every_lead_behind_it, delivering: an_observed_person_is_ensured_later,
            delivering: the_first_id_of_a_slot_stays, delivering: a_human_who_won_counts_as_written,
            delivering: a_human_who_won_gets_no_task_beside_them,
            delivering: fm_077_a_taken_over_claim_changes_nothing, delivering: fm_079_recovery_never_goes_backwards,
            delivering: unknown_effects_are_looked_up_until_parked, delivering: a_slot_is_awaited_until_its_writer_has_ended, delivering: a_new_episode_supersedes_unsent_effects,
            delivering: our_own_person_is_known_as_an_echo,
            quota: fm_071_fresh_records_go_before_a_backlog_that_still_moves,
            quota: fm_067_a_flood_through_one_connection_leaves_room_for_the_others,
            quota: fm_071_fresh_drafts_are_decided_before_a_backlog, quota: fm_071_fresh_hints_are_answered_before_a_backlog,
            quota: fm_071_fresh_writes_go_before_a_backlog_that_still_moves,
            quota: due_effects_are_counted_by_kind, quota: quotas_and_rests_outlive_the_process,
            isolation: fm_069_an_unreadable_payload_fails_alone, isolation: fm_069_an_unreadable_draft_or_lead_fails_alone,
            isolation: fm_069_an_unreadable_effect_fails_alone, isolation: fm_069_a_write_that_kills_its_sender_is_parked,
            ownership: fm_051_owner_writes_are_counted_by_object, ownership: fm_049_an_owner_write_is_checked_once,
            ownership: fm_049_a_person_is_made_with_the_owner_that_waits_for_it, ownership: an_owner_that_did_not_go_along_is_written_by_itself,
            ownership: of_two_owners_that_wait_for_one_person_none_goes_along,
            ownership: fm_049_only_an_answered_first_create_tells_that_nobody_owns_it,
            ownership: an_object_first_seen_in_a_poll_may_turn_out_to_be_ours, ownership: fm_052_a_person_who_is_gone_is_created_again_once,
            ownership: fm_052_what_was_done_to_a_lost_person_is_done_to_the_new_one, ownership: fm_052_nobody_is_created_again_for_a_lead_that_ended_with_the_deletion, ownership: fm_052_a_lead_goes_with_the_record_that_it_came_from,
            ownership: fm_052_two_leads_of_a_lost_person_make_one_new_one,
            undoing: what_was_done_can_be_undone_once, undoing: an_undone_lead_sends_nothing_more,
            undoing: undo_asks_for_a_span_a_path_or_a_lead, undoing: fm_020_a_person_who_was_merged_is_not_ours_to_archive,
            undoing: failures_are_found_by_what_is_known_of_them, undoing: a_lead_that_could_not_be_decided_is_tried_again,
            undoing: fm_050_what_was_last_read_of_an_object_stays_known,
            operating: a_pause_stops_claims_and_nothing_else, operating: failed_records_get_another_try,
            operating: a_retry_reopens_what_failed, operating: a_parked_effect_is_looked_up_before_it_is_sent,
            operating: a_parked_effect_is_sent_again_if_somebody_looked,
            operating: going_live_closes_observed_leads, operating: a_suppressed_lead_sends_nothing,
            operating: fm_107_counts_add_up, operating: the_story_tells_everything, operating: leads_are_found,
            operating: the_installation_key_is_made_once,
            objects: a_deal_is_bound_to_its_lead_and_tied_to_its_person,
            objects: fm_040_a_deal_that_is_wanted_again_is_the_same_write,
            objects: a_deal_that_is_refused_to_a_later_episode_can_be_tried_again,
            objects: a_company_that_waited_for_who_was_refused_is_made_for_the_next,
            following: fm_020_a_chain_of_merges_leaves_one_lead_of_one_person, following: fm_020_a_merged_object_opens_no_second_lead,
            following: fm_020_a_merged_lead_stays_merged_whatever_was_under_way, following: fm_020_two_persons_who_are_found_as_one_contact_are_one, following: fm_020_what_was_begun_stays,
            following: fm_019_a_deleted_contact_ends_its_open_lead, following: fm_019_what_was_under_way_is_not_sent_again_for_who_is_gone,
            following: fm_019_after_a_deletion_the_person_is_written_anew, following: objects_behind_open_leads_are_listed,
            following: fm_019_a_deleted_deal_is_no_deleted_contact_of_the_same_id, following: fm_020_deals_that_become_one_leave_their_persons_two,
            watching: a_touch_counts_for_the_leads_of_its_person_from_their_arrival_on,
            watching: an_earlier_touch_that_comes_in_late_is_the_first, watching: a_touch_of_a_deal_counts_for_its_lead_alone,
            watching: fm_008_events_and_cursor_are_stored_together_or_not_at_all,
            watching: the_end_of_a_task_that_we_closed_is_no_touch, watching: an_owner_whom_we_wrote_is_no_news,
            watching: an_outcome_belongs_to_its_deal_else_to_the_latest_lead_before_it,
            watching: what_leads_hang_on_is_known_and_asked_about_once, watching: leads_that_nobody_has_touched_are_counted,
            standing: troubles_come_and_go, standing: hook_tallies_add_up, standing: the_last_recount_is_kept,
            tokens: a_grant_is_kept_whole, tokens: fm_058_only_the_version_that_was_read_is_replaced,
            tokens: fm_058_one_holder_at_a_time_renews, tokens: fm_061_trouble_is_noted_and_ends_with_a_new_grant,
            tokens: tokens_can_be_forgotten,
            durability: fm_072_fifty_writers_see_no_busy, durability: fm_074_what_was_answered_is_there_after_a_crash,
            durability: fm_075_a_full_disk_loses_nothing_and_heals, durability: a_failing_command_fails_alone,
            durability: a_closed_store_says_so,
            upkeep: fm_105_what_was_not_done_is_looked_up_after_a_restore,
            upkeep: fm_105_leads_of_the_forgotten_time_are_in_doubt, upkeep: the_tasks_of_a_person_are_known,
            upkeep: fm_083_retention_keeps_what_is_still_needed, upkeep: vital_signs_say_since_when_work_is_due,
            upkeep: fm_081_a_clock_jump_moves_no_deadline, upkeep: alerts_are_kept_until_they_are_told,
        }
    };
    (@cases $name:ident: $backend:ty; $($topic:ident: $case:ident),* $(,)?) => {
        mod $name {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if let Some(backend) = <$backend as Backend>::start().await {
                        $topic::$case(backend).await;
                    }
                }
            )*
        }
    };
}

suite!(on_sqlite: sqlite::SqliteFile);
suite!(on_postgres: postgres::PostgresDatabase);
