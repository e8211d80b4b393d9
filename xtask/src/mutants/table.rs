//! Which mutant is killed by which checks.

use std::fmt;

/// A broken twin: its name in `mutants::active("…")`, its crate, and two or more checks that each fail with it.
#[derive(Debug)]
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
    pub(crate) checks: &'static [Check],
}

/// A test binary of the mutant's crate, and a filter on the names of its tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Check {
    pub(crate) build: Build,
    /// `lib` for the unit tests, or the name of an integration test.
    pub(crate) target: &'static str,
    pub(crate) filter: &'static str,
}

/// How the tests of a check are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Build {
    /// As `cargo test` does.
    Plain,
    /// Against loom.
    Loom,
}

/// Tests in `tests/<target>.rs`, or unit tests if `target` is `lib`.
pub(crate) const fn test(target: &'static str, filter: &'static str) -> Check {
    Check { build: Build::Plain, target, filter }
}

/// Loom models, likewise.
pub(crate) const fn loom(target: &'static str, filter: &'static str) -> Check {
    Check { build: Build::Loom, target, filter }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} {}", if self.build == Build::Loom { "loom " } else { "" }, self.target, self.filter)
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Loom { " against loom" } else { "" })
    }
}

/// All of them, by crate. A quick run makes do with the first check: put the fastest first.
///
/// `cargo xtask mutants --killers` lists the tests that could stand here.
pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "skip_directory_sync",
        package: "fz-file",
        checks: &[
            test("slot_file", "creation::j_the_name_comes_after_the_content_is_durable_and_is_durable_itself"),
            test("slot_file", "faults::j_a_power_cut_at_any_call_leaves_a_file_that_opens_and_never_shrinks"),
            test("slot_file", "reference_mistakes::j_a_new_file_survives_a_power_cut_with_what_was_synced"),
            test("slot_file", "removal::removing_syncs_the_directory_afterwards"),
        ],
    },
    Mutant {
        name: "skip_the_drop_of_clean_pages",
        package: "fz-file",
        checks: &[
            test("slot_file", "creation::j_opening_an_existing_file_syncs_its_length_and_its_directory_and_drops"),
            test("slot_file", "faults::every_branch_for_a_failed_call_is_reached"),
        ],
    },
    Mutant {
        name: "trust_an_aborted_journal",
        package: "fz-file",
        checks: &[
            test("slot_file", "creation::j_opening_an_existing_file_syncs_its_length_and_its_directory_and_drops"),
            test("slot_file", "faults::every_branch_for_a_failed_call_is_reached"),
        ],
    },
    Mutant {
        name: "resume_at_wrong_byte",
        package: "fz-file",
        checks: &[
            test("slot_file", "reference_mistakes::a_write_cut_short_inside_a_slice_is_resumed_at_that_byte"),
            test("slot_file", "faults::interruptions_and_short_transfers_are_no_failures"),
            test("slot_file", "model::a_slot_file_is_a_vector_of_bytes_on_a_disk_that_interrupts_and_shortens"),
        ],
    },
    Mutant {
        name: "retry_failed_sync",
        package: "fz-file",
        checks: &[
            test("slot_file", "latch::c_after_a_failed_sync_every_sync_and_write_is_refused_without_asking_the_kernel"),
            test("slot_file", "latch::c_of_syncs_at_the_same_time_none_succeeds_after_one_failed"),
        ],
    },
    Mutant {
        name: "syncs_overlap",
        package: "fz-file",
        checks: &[
            test("slot_file", "latch::c_of_syncs_at_the_same_time_none_succeeds_after_one_failed"),
            test("slot_file", "latch::c_syncs_run_one_at_a_time"),
        ],
    },
    Mutant {
        name: "grow_truncates",
        package: "fz-file",
        checks: &[
            test("slot_file", "growth::j_a_smaller_growth_after_a_failed_larger_one_does_not_cut_the_file"),
            test("slot_file", "growth::growths_at_the_same_time_each_add_their_own"),
            test("slot_file", "reference_mistakes::j_growths_at_the_same_time_lose_no_synced_data"),
        ],
    },
    Mutant {
        name: "keep_failed_growth",
        package: "fz-file",
        checks: &[
            test("slot_file", "growth::j_a_failed_growth_gives_back_what_it_took_and_is_not_taken_for_slots_later"),
            test("slot_file", "faults::g_a_full_disk_is_an_error_with_its_cause_and_growth_can_be_tried_again"),
        ],
    },
    Mutant {
        name: "skip_the_drop_of_clean_pages",
        package: "fz-file",
        checks: &[
            test("slot_file", "anew::a_a_write_repeated_after_an_open_anew_survives_a_power_cut"),
            test("slot_file", "anew::a_a_write_repeated_after_an_open_that_failed_survives_a_power_cut"),
            test(
                "slot_file",
                "faults::a_a_power_cut_after_a_fault_at_any_call_keeps_what_was_synced_on_a_disk_with_stale_pages",
            ),
            test("slot_file", "anew::a_slots_of_a_growth_whose_sync_failed_take_durable_writes_after_an_open_anew"),
        ],
    },
    Mutant {
        name: "act_in_a_forked_copy",
        package: "fz-file",
        checks: &[
            test("slot_file", "processes::a_a_forked_copy_reads_and_is_refused_every_change"),
            test("slot_file", "processes::a_a_forked_copy_removes_nothing_and_leaves_the_lock"),
        ],
    },
    Mutant {
        name: "keep_low_descriptors",
        package: "fz-file",
        checks: &[
            test("slot_file", "processes::a_no_descriptor_is_a_standard_streams"),
            test("slot_file", "processes::a_a_line_to_a_closed_standard_stream_changes_no_slot"),
        ],
    },
    Mutant {
        name: "eintr_is_failure",
        package: "fz-file",
        checks: &[
            test("slot_file", "latch::an_interrupted_sync_is_run_again_and_is_no_failure"),
            test("slot_file", "faults::interruptions_and_short_transfers_are_no_failures"),
            test("slot_file", "model::a_slot_file_is_a_vector_of_bytes_on_a_disk_that_interrupts_and_shortens"),
        ],
    },
    Mutant {
        name: "epoch_outside_queue_order",
        package: "fz-mpsc",
        checks: &[
            test("order", "b_every_value_lies_at_the_position_its_push_returned"),
            test("order", "b_order_holds_while_pushers_wait_for_room"),
            loom("loom", "two_pushers_never_share_a_position_and_the_drain_follows_it"),
        ],
    },
    Mutant {
        name: "lose_wakeup_between_check_and_sleep",
        package: "fz-mpsc",
        checks: &[
            // Hangs: dearer than a model, but not than compiling the models for a quick run.
            test("sleep", "d_no_wake_up_is_lost_by_a_blocking_consumer"),
            loom("loom", "a_consumer_that_goes_to_sleep_misses_no_push"),
            loom("loom", "a_consumer_that_goes_to_sleep_misses_no_close"),
        ],
    },
    Mutant {
        name: "close_drops_tail",
        package: "fz-mpsc",
        checks: &[
            test("closing", "e_what_was_accepted_before_the_close_is_delivered_to_the_last_value"),
            test("model", "any_calls_do_what_a_bounded_deque_would"),
            loom("loom", "a_wait_for_a_claimed_position_ends_with_its_value"),
        ],
    },
    Mutant {
        name: "a_drain_waits_for_a_stopped_push",
        package: "fz-mpsc",
        checks: &[
            // Hangs, as its consumer would.
            test("lib", "stopped::a_stopped_producer_holds_up_only_its_own_position"),
            loom("lib", "stopped::a_stopped_producer_holds_up_only_its_own_position"),
        ],
    },
    Mutant {
        name: "a_forked_queue_acts",
        package: "fz-mpsc",
        checks: &[
            test("fork", "g_a_forked_copy_refuses_every_push_and_returns_the_value"),
            test("fork", "h_a_forked_copy_that_is_dropped_or_closed_wakes_and_frees_nothing"),
        ],
    },
    Mutant {
        name: "wake_one_pusher_only",
        package: "fz-mpsc",
        checks: &[
            test("room", "f_waiting_tasks_are_served_in_the_order_they_came"),
            loom("loom", "f_room_freed_at_once_wakes_every_waiting_pusher_that_it_is_for"),
        ],
    },
    Mutant {
        name: "release_twice",
        package: "fz-bufpool",
        checks: &[
            test("fairness", "f_the_limit_is_exact"),
            test("drop_order", "h_an_allocation_can_be_used_after_its_pool_is_gone"),
            loom("loom", "a_new_owner_comes_after_the_last"),
            loom("loom", "pool_and_allocations_end_in_any_order"),
        ],
    },
    Mutant {
        name: "overlapping_allocation",
        package: "fz-bufpool",
        checks: &[
            test("fairness", "f_the_limit_is_exact"),
            test("threads", "f_bounded_and_nobody_is_forgotten_by_64_threads_and_cancelled_futures"),
            loom("loom", "a_long_run_is_claimed_whole_or_not_at_all"),
            loom("loom", "two_releases_serve_one_large_request"),
        ],
    },
    Mutant {
        name: "wake_one_waiter_only",
        package: "fz-bufpool",
        checks: &[
            test("fairness", "f_one_release_serves_all_it_can_in_order"),
            test("fairness", "f_a_request_that_leaves_the_head_of_the_line_passes_its_turn_on"),
            loom("loom", "one_release_serves_all_it_can"),
        ],
    },
    Mutant {
        name: "pool_forgets_tracked_words",
        package: "fz-bufpool",
        checks: &[
            test("fairness", "f_the_limit_is_exact"),
            test("fairness", "f_a_run_that_joins_up_across_words_serves_the_head"),
            loom("loom", "a_release_beside_a_search_is_not_forgotten"),
        ],
    },
    Mutant {
        name: "pool_forgets_searches",
        package: "fz-bufpool",
        checks: &[
            test("lib", "f_a_releaser_takes_the_lock_if_a_search_came_between_its_two_looks"),
            loom("loom", "two_releases_beside_a_search_are_not_forgotten"),
        ],
    },
    Mutant {
        name: "pool_loses_wakeup",
        package: "fz-bufpool",
        checks: &[loom("loom", "a_release_wakes_the_waiter"), loom("loom", "two_releases_serve_one_large_request")],
    },
    Mutant {
        name: "sim_dropped_pages_come_back",
        package: "fz-sim",
        checks: &[
            test("faults", "dropped_pages_are_read_but_no_later_sync_makes_them_durable"),
            test("faults", "a_write_back_gives_no_durability_and_its_failure_drops_its_pages"),
            test("canaries", "retrying_or_ignoring_a_failed_sync_is_caught"),
        ],
    },
    Mutant {
        name: "sim_names_need_no_sync",
        package: "fz-sim",
        checks: &[
            test("names", "a_new_file_needs_its_directory_synced_however_often_it_is_synced_itself"),
            test("names", "a_rename_is_atomic_and_needs_the_sync"),
            test("canaries", "every_broken_twin_is_caught"),
        ],
    },
    Mutant {
        name: "sim_sync_covers_in_flight",
        package: "fz-sim",
        checks: &[
            test("power", "a_write_in_flight_is_not_covered_by_a_sync_that_began_before_it_returned"),
            test("power", "a_hung_sync_covers_what_had_returned_when_it_began"),
        ],
    },
    Mutant {
        name: "sim_tears_sectors",
        package: "fz-sim",
        checks: &[
            test("power", "sectors_are_whole_unless_tearing_is_asked_for"),
            test("model", "every_sampled_image_is_legal"),
            test("canaries", "the_right_store_passes_at_every_cut"),
        ],
    },
    Mutant {
        name: "sim_stale_blocks_come_back",
        package: "fz-sim",
        checks: &[
            test("reopened", "a_rewrite_of_a_never_written_block_is_durable_only_after_its_pages_were_dropped"),
            test("reopened", "a_writes_to_a_file_opened_anew_after_a_failure_are_durable_when_acknowledged"),
        ],
    },
    Mutant {
        name: "sim_recovery_is_not_cut",
        package: "fz-sim",
        checks: &[
            test("lives", "the_right_recovery_passes_wherever_it_is_cut"),
            test("lives", "every_broken_recovery_is_caught_and_only_because_it_is_cut"),
        ],
    },
    Mutant {
        name: "sim_cut_loses_nothing",
        package: "fz-sim",
        checks: &[
            test("power", "sectors_are_whole_unless_tearing_is_asked_for"),
            test("canaries", "every_broken_twin_is_caught"),
        ],
    },
    Mutant {
        name: "a_demand_ends_with_the_round",
        package: "fz-commit",
        checks: &[
            loom("lib", "rounds::a_demand_beside_the_end_of_a_round_is_served"),
            loom("lib", "rounds::a_demand_during_a_round_is_served_although_a_gather_follows"),
        ],
    },
    Mutant {
        name: "a_timer_outlives_its_committer",
        package: "fz-commit",
        checks: &[
            test("lib", "i_a_committer_that_ends_takes_its_timer_with_it"),
            test("lib", "d_a_committer_that_ended_holds_no_other_ones_timer_up"),
        ],
    },
    Mutant {
        name: "ack_before_sync",
        package: "fz-commit",
        checks: &[
            test("commit", "durable::a_nothing_is_durable_while_its_sync_runs"),
            test("commit", "watching::a_watch_ends_with_the_failure_once"),
        ],
    },
    Mutant {
        name: "sync_before_last_write",
        package: "fz-commit",
        checks: &[
            test("commit", "durable::a_a_lone_writer_finds_its_work_stable"),
            test("commit", "durable::a_each_sync_begins_after_the_writes_that_it_declares"),
        ],
    },
    Mutant {
        name: "wake_first_waiter_only",
        package: "fz-commit",
        checks: &[
            test("commit", "durable::b_callbacks_are_called_in_the_order_of_their_positions"),
            test("commit", "foreign::d_wakers_and_callbacks_that_panic_keep_no_other_from_being_told"),
        ],
    },
    Mutant {
        name: "forget_waiters_on_poison",
        package: "fz-commit",
        checks: &[
            // Hang, both of them.
            test("commit", "tickets::d_a_callback_hears_of_a_failure"),
            test("commit", "fail_stop::c_all_waiters_hear_of_a_failure"),
            loom("lib", "told::a_task_that_registers_beside_a_failure_is_told_or_woken"),
        ],
    },
    Mutant {
        name: "clear_error_on_success",
        package: "fz-commit",
        checks: &[
            test("commit", "fail_stop::c_a_failed_call_stops_the_committer_for_good"),
            test("commit", "fail_stop::c_no_lost_work_is_ever_declared_durable"),
        ],
    },
    Mutant {
        name: "close_skips_tail",
        package: "fz-commit",
        checks: &[
            test("commit", "closing::e_close_makes_all_accepted_work_durable"),
            test("commit", "closing::e_a_drop_makes_all_accepted_work_durable"),
        ],
    },
    Mutant {
        name: "wake_without_work",
        package: "fz-commit",
        checks: &[
            test("commit", "idle::i_an_idle_committer_does_not_wake"),
            test("commit", "flushers::i_idle_committers_are_not_woken_by_a_busy_one"),
        ],
    },
    Mutant {
        name: "wake_takes_the_count_late",
        package: "fz-commit",
        checks: &[
            loom("lib", "told::a_sleeper_that_the_first_waker_could_not_help_is_woken_by_the_second"),
            loom("lib", "rounds::a_gather_whose_time_is_over_forgets_no_arrival"),
        ],
    },
    Mutant {
        name: "ack_before_sync",
        package: "fz-wpipe",
        checks: &[
            test("a_power_cut", "a_nothing_is_durable_while_its_sync_runs"),
            test("a_power_cut", "a_who_is_woken_finds_the_bytes_durable"),
            test("c_fail_stop", "c_no_lost_write_is_ever_declared_durable"),
            test("c_fail_stop", "c_a_failed_sync_at_any_position_stops_the_pipe_for_good"),
            test("c_fail_stop", "c_the_errors_say_what_failed_and_why"),
            test("d_tickets", "d_all_waiters_hear_of_a_failure"),
        ],
    },
    Mutant {
        name: "write_back_taken_for_sync",
        package: "fz-wpipe",
        checks: &[
            test("large_batches", "a_begun_batch_is_not_durable_before_its_sync"),
            test("k_read", "k_a_read_does_not_wait_for_a_sync"),
            test("a_power_cut", "a_who_is_woken_finds_the_bytes_durable"),
        ],
    },
    Mutant {
        name: "ack_what_was_written_ahead",
        package: "fz-wpipe",
        checks: &[
            test("a_durable", "a_what_is_written_ahead_during_a_sync_is_not_covered_by_it"),
            test("a_durable", "a_a_write_beside_a_sync_needs_the_next_sync"),
        ],
    },
    Mutant {
        name: "joined_tail_is_lost",
        package: "fz-wpipe",
        checks: &[
            test("large_batches", "what_is_joined_survives_short_writes_and_signals"),
            test("large_batches", "many_small_slices_reach_the_kernel_as_one"),
            test("write_back", "many_small_pieces_are_joined_into_calls_of_64_kib"),
        ],
    },
    Mutant {
        name: "read_trusts_a_failed_batch",
        package: "fz-wpipe",
        checks: &[
            test("k_read", "k_after_a_failed_sync_a_read_returns_the_failure"),
            test("k_read", "k_after_a_sync_that_panicked_a_read_returns_the_failure"),
        ],
    },
    Mutant {
        name: "sync_before_last_write",
        package: "fz-wpipe",
        checks: &[
            test("a_durable", "a_each_write_ends_before_the_sync_that_declares_it_begins"),
            test("a_power_cut", "a_what_was_declared_durable_is_the_same_after_every_power_cut"),
            test("a_durable", "a_what_a_ticket_declares_durable_survives_a_power_cut"),
        ],
    },
    Mutant {
        name: "drop_one_write",
        package: "fz-wpipe",
        checks: &[
            test("a_durable", "a_unawaited_writes_become_durable_by_themselves"),
            test("a_durable", "a_what_a_ticket_declares_durable_survives_a_power_cut"),
            test("b_order", "b_the_file_is_as_if_each_write_had_been_made_in_its_turn"),
        ],
    },
    Mutant {
        name: "reverse_batch",
        package: "fz-wpipe",
        checks: &[
            test("b_order", "b_of_overlapping_writes_the_last_one_stays"),
            test("b_order", "b_the_file_is_as_if_each_write_had_been_made_in_its_turn"),
            test("k_read", "k_a_read_sees_every_accepted_write_and_never_half_of_one"),
        ],
    },
    Mutant {
        name: "older_batch_after_newer",
        package: "fz-wpipe",
        checks: &[
            test("b_order", "b_of_two_batches_that_overlap_the_later_one_stays"),
            test("b_order", "b_the_file_is_as_if_each_write_had_been_made_in_its_turn"),
        ],
    },
    Mutant {
        name: "retry_failed_sync",
        package: "fz-wpipe",
        checks: &[
            test("c_fail_stop", "c_a_failed_sync_at_any_position_stops_the_pipe_for_good"),
            test("e_close", "e_close_reports_that_the_tail_was_lost"),
            test("d_tickets", "d_all_waiters_hear_of_a_failure"),
        ],
    },
    Mutant {
        name: "clear_error_on_success",
        package: "fz-wpipe",
        checks: &[
            test("c_fail_stop", "c_no_lost_write_is_ever_declared_durable"),
            test("regressions", "c_no_later_batch_declares_a_failed_one_durable"),
            test("c_fail_stop", "c_a_failed_write_at_any_position_stops_the_pipe_for_good"),
            test("c_fail_stop", "c_a_failed_sync_at_any_position_stops_the_pipe_for_good"),
        ],
    },
    Mutant {
        name: "wake_first_waiter_only",
        package: "fz-wpipe",
        checks: &[
            // Hang, all of them.
            test("d_tickets", "d_a_thousand_tasks_in_one_thread_resolve"),
            test("d_tickets", "d_one_task_is_woken_once_for_all_its_tickets"),
            test("d_tickets", "d_64_blocked_threads_and_64_tasks_that_wait_for_one_sync_all_wake"),
        ],
    },
    Mutant {
        name: "forget_waiters_on_poison",
        package: "fz-wpipe",
        checks: &[
            test("d_tickets", "d_all_waiters_hear_of_a_failure"),
            test("d_tickets", "d_all_waiters_hear_of_a_panic"),
        ],
    },
    Mutant {
        name: "release_before_write",
        package: "fz-wpipe",
        checks: &[
            test("a_durable", "a_unawaited_writes_become_durable_by_themselves"),
            test("b_order", "b_of_overlapping_writes_the_last_one_stays"),
            test("a_power_cut", "a_what_was_declared_durable_is_the_same_after_every_power_cut"),
        ],
    },
    Mutant {
        name: "close_skips_tail",
        package: "fz-wpipe",
        checks: &[
            test("e_close", "e_a_write_that_races_with_close_is_durable_or_given_back"),
            test("b_order", "b_the_file_is_as_if_each_write_had_been_made_in_its_turn"),
        ],
    },
    Mutant {
        name: "accept_out_of_range",
        package: "fz-wpipe",
        checks: &[
            test("g_bad_input", "g_slots_outside_the_file_are_refused"),
            test("regressions", "g_one_bad_request_harms_nobody"),
        ],
    },
    Mutant {
        name: "wake_without_work",
        package: "fz-wpipe",
        checks: &[
            test("i_idle", "i_an_idle_pipe_does_not_wake"),
            test("i_idle", "i_an_unawaited_write_wakes_the_flusher_once"),
        ],
    },
    Mutant {
        name: "a_gather_forgets_its_timer",
        package: "fz-wpipe",
        checks: &[
            // Hang, both.
            test("gather", "d_a_gather_that_a_task_stays_away_from_ends"),
            test("gather", "d_a_gather_that_a_thread_stays_away_from_ends"),
        ],
    },
    Mutant {
        name: "a_forked_committer_acts",
        package: "fz-wpipe",
        checks: &[
            test("fork_drop", "d_e_a_forked_copy_drops_a_pipe_with_queued_writes_at_once"),
            test("fork", "a_b_c_d_e_a_forked_copy_writes_nothing_and_ends"),
        ],
    },
    Mutant {
        name: "read_beside_a_batch",
        package: "fz-wpipe",
        checks: &[
            test("k_read", "k_a_read_that_saw_the_first_slots_of_a_write_reads_again"),
            test("k_read", "k_a_read_that_saw_a_part_of_a_slot_reads_again"),
        ],
    },
    Mutant {
        name: "read_past_the_queue",
        package: "fz-wpipe",
        checks: &[
            test("k_read", "k_a_thread_reads_its_own_writes_at_once"),
            test("e_close", "e_a_reader_beside_close_is_served"),
        ],
    },
];
