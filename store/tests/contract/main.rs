//! The contract of the store: one list of cases, run on SQLite and on PostgreSQL.
//!
//! PostgreSQL is started by the tests where Debian's package `postgresql` is installed. Where it is not, its half says so
//! in one line, and with `CI=true` fails.
#![expect(
    clippy::unwrap_used,
    reason = "the cases are functions of their own, called by the tests of both databases"
)]

mod backup;
mod bans;
mod barrings;
mod cases;
mod database;
mod edits;
mod edrs;
mod fraud;
mod imports;
mod invoices;
mod lanes_and_ledger;
mod leases;
mod long_tables;
mod mails;
mod numbering;
mod opening;
mod people;
mod provisioning;
mod reading;
mod sample;
mod topups;
mod trail;

macro_rules! on_both {
    ($($file:ident: $($case:ident),+ $(,)?;)+) => {
        mod sqlite {$($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::$file::$case(crate::database::sqlite().await).await;
            }
        )+)+}

        mod postgres {$($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(database) = crate::database::postgres().await {
                    crate::$file::$case(database).await;
                }
            }
        )+)+}
    };
}

on_both! {
    backup:
        copy_has_what_was_there_at_its_moment_and_nobody_commits_meanwhile,
        numbers_go_on_behind_all_that_were_given_out_since_the_copy,
        origins_of_a_copy_go_on_behind_those_that_its_original_gave_out,
        restored_house_sends_and_numbers_nothing_until_it_is_released;
    bans:
        source_that_is_shut_out_is_in_the_directory_until_it_is_let_in_or_long_over;
    barrings:
        later_word_on_a_range_counts_and_one_long_over_goes;
    cases:
        later_word_of_an_incident_updates_its_alert_and_an_earlier_one_does_not,
        alert_is_taken_on_noted_and_judged,
        case_is_handed_to_a_person_who_is_written_to,
        limits_of_a_profile_come_back_and_change;
    edits:
        object_is_made_changed_and_deleted_by_edits,
        schedule_that_priced_calls_is_kept,
        account_whose_calls_wait_is_not_deleted,
        currency_of_an_account_with_a_balance_stays,
        file_does_not_undo_what_was_done_at_the_desk,
        secret_that_changed_is_told_beside_other_fields,
        many_new_rows_are_taken_at_once,
        write_with_a_key_is_kept_settled_or_given_free;
    edrs:
        profiles_and_numbers_are_told_once_as_they_change,
        lock_is_told_when_it_changes_and_when_its_time_is_over,
        edr_is_kept_once_and_waits_for_the_files_it_concerns;
    fraud:
        alert_is_queued_for_every_webhook_once_for_each_word,
        calls_that_were_stopped_add_up_in_their_alert,
        calls_that_a_lock_stopped_count_for_the_alert_of_the_lock_of_then,
        newest_version_of_a_saved_rule_is_in_the_directory,
        exceptions_and_orders_to_end_calls_are_in_the_directory;
    imports:
        file_goes_on_where_it_stopped_and_no_key_comes_twice,
        number_of_an_imported_record_is_never_given_again,
        suspended_line_is_taken_in_once;
    leases:
        slow_former_owner_cannot_commit_whatever_its_position,
        lease_goes_to_the_first_who_claims_it,
        process_that_takes_its_leave_frees_its_lanes,
        claim_and_commit_never_overlap;
    long_tables:
        odd_installation_of_many_is_read_as_it_was_written,
        broken_row_of_a_long_table_is_named,
        what_changes_while_it_is_read_is_read_of_one_moment,
        many_who_read_everything_at_once_all_come_to_an_end,
        balances_of_all_kinds_add_up_by_account,
        long_state_of_several_lanes_comes_back_by_key;
    lanes_and_ledger:
        one_refused_posting_undoes_its_whole_batch,
        former_owner_of_a_lane_is_refused,
        lane_comes_back_as_it_was_left,
        replayed_posting_is_counted_once,
        replays_among_many_fresh_postings_are_told_apart,
        payment_that_comes_again_at_another_time_is_refused,
        posting_with_a_taken_id_is_refused_by_name,
        balances_are_the_sums_of_their_postings,
        past_balance_is_the_sum_of_the_postings_before,
        calls_of_a_period_come_to_their_postings_less_the_reversals,
        concurrent_lanes_share_a_balance_without_losing_a_cent,
        suspended_record_comes_back_whole,
        suspended_records_are_sent_in_again_in_order_or_discarded_with_a_reason,
        orders_are_sent_in_behind_what_was_asked_for_before,
        alert_is_kept_once_and_mailed_to_each_address,
        mail_of_an_alert_says_who_what_until_when_and_how_to_unlock,
        last_lock_counts_and_none_lifts_it,
        weaker_lock_of_another_rule_waits_behind_the_stronger;
    mails:
        newest_own_words_come_first_and_those_of_the_language_before_all_others,
        mail_about_an_event_keeps_its_last_words,
        last_mail_about_each_thing_is_found_by_the_beginning_of_its_name,
        of_two_who_queue_the_next_mail_about_a_thing_at_once_one_does,
        question_to_a_running_house_is_seen_once_answered_and_forgotten,
        link_leads_to_its_attachment_until_it_is_revoked,
        webhook_is_told_of_what_it_wants_and_of_each_event_once;
    numbering:
        file_numbers_have_no_gap_when_many_plan_at_once,
        number_of_a_file_without_calls_is_given_back,
        planned_file_survives_a_crash_with_the_same_calls,
        file_keeps_what_its_bytes_depend_on,
        calls_not_chosen_for_a_file_wait_for_a_later_one,
        copies_in_a_written_file_are_dropped_where_the_operator_has_the_call,
        correction_of_a_call_whose_copy_was_dropped_comes_with_it,
        corrected_call_comes_with_the_revision_before_it,
        correction_that_a_format_cannot_tell_waits_for_the_report,
        call_that_was_left_out_is_queued_again_and_the_audit_log_says_who_did_it,
        call_that_a_partner_never_had_is_queued_from_the_operators_own_rows,
        files_of_one_series_are_not_disturbed_by_the_calls_of_others,
        calls_queued_while_files_are_planned_are_each_in_one,
        writers_of_a_queue_and_planners_wait_for_each_other;
    invoices:
        second_billing_run_finds_the_first_ones_invoice,
        invoice_numbers_have_no_gap_when_many_bill_at_once,
        sellers_number_apart_and_without_a_gap_when_both_bill_at_once,
        two_sellers_with_one_prefix_are_refused_and_no_number_is_lost,
        number_of_a_failed_invoice_is_given_back,
        number_is_found_with_every_tenant_that_gave_it_and_open_ones_are_listed,
        pdf_that_left_the_house_is_never_changed,
        credit_notes_take_back_what_is_left_and_the_last_one_voids,
        invoice_that_asks_for_nothing_or_less_is_posted_unless_a_balance_paid_it,
        invoice_paid_before_it_was_mailed_is_mailed_once_and_stays_paid,
        what_was_paid_of_an_invoice_is_given_back_when_it_is_credited,
        what_a_reseller_was_paid_is_taken_from_its_sales_whoever_sells_now,
        invoice_made_from_documents_that_have_changed_is_refused,
        mail_of_an_invoice_is_queued_once;
    people:
        mail_is_claimed_by_one_sender_and_comes_back_after_its_lease,
        mail_given_up_stays_in_the_list_and_is_claimed_no_more,
        expired_session_opens_nothing,
        token_opens_until_it_ends_or_is_taken_back,
        second_user_of_a_name_is_refused,
        user_of_one_tenant_is_one_until_told_otherwise,
        forgotten_number_leaves_the_request_too,
        code_of_a_second_factor_is_used_up_and_a_reset_ends_all_sessions,
        whoever_is_shut_out_has_no_session_and_no_token,
        altered_audit_entry_is_found,
        cut_off_audit_entry_is_found,
        every_table_is_counted,
        console_and_audit_see_the_latest_first;
    provisioning:
        schedules_by_network_and_exchange_rates_come_back_and_begun_ones_stay,
        ported_numbers_are_added_once_and_ended_not_deleted,
        billing_terms_come_back_change_and_are_refused_with_their_owner,
        imported_world_is_read_back,
        calling_rules_are_read_back_and_a_change_of_them_alone_is_a_change,
        same_world_again_changes_nothing,
        changed_price_becomes_a_version_and_the_old_one_stays,
        version_is_never_replaced,
        number_that_changes_hands_keeps_its_history,
        reference_to_nothing_is_named_and_nothing_is_written,
        profile_changes_from_its_date_on,
        change_by_another_process_is_told_when_it_is_committed;
    topups:
        payment_that_waits_is_not_overtaken_by_a_top_up,
        account_gets_a_contract_by_its_profile_or_its_own,
        top_up_is_done_once_and_every_attempt_is_kept,
        package_adds_to_the_schedule_and_leaves_the_locks_of_others_alone,
        voucher_is_used_once_and_guessing_is_throttled;
    trail:
        trail_comes_back_as_it_was_and_is_forgotten_by_age,
        file_waits_for_its_reader_until_somebody_was_told,
        what_a_partner_puts_is_kept_once_and_its_last_word_counts;
    opening:
        second_start_finds_the_schema_up_to_date,
        database_of_a_later_version_is_left_alone,
        processes_that_start_at_once_make_one_schema;
}
