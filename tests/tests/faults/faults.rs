//! The daemon answers while the machine runs out of a resource. There is one test for each row of `taskscope_tests::faults`;
//! `cargo xtask soak --faults` also runs the long ones.

use taskscope_tests::faults;

/// Runs a row of the faults, and fails if the row has a finding.
#[track_caller]
fn check(name: &str) {
    faults::check(name, env!("CARGO_BIN_EXE_scenario"));
}

#[test]
fn with_nothing_amiss_every_question_is_answered() {
    check("none");
}

#[test]
fn without_a_pid_in_its_cgroup_it_answers() {
    check("pids.max");
}

#[test]
fn without_a_process_for_its_user_it_answers() {
    check("RLIMIT_NPROC");
}

#[test]
fn while_no_thread_can_be_made_it_answers() {
    check("threads-max");
}

#[test]
fn while_every_pid_is_in_use_it_answers() {
    check("pid_max");
}

#[test]
fn at_the_limit_of_its_memory_it_drops_the_past_and_answers() {
    check("memory.max");
}

#[test]
fn it_outlives_a_process_that_takes_all_memory() {
    check("host OOM");
}

#[test]
fn with_a_full_disk_it_answers() {
    check("disk full");
}

#[test]
fn with_a_full_disk_that_has_a_journal_it_answers() {
    check("ext4-full");
}

#[test]
fn with_hardly_a_file_descriptor_left_it_answers() {
    check("RLIMIT_NOFILE");
}

#[test]
fn beside_two_hundred_real_time_tasks_it_answers() {
    check("SCHED_FIFO");
}

#[test]
fn while_the_wall_clock_jumps_it_answers_with_right_ages() {
    check("clock jumps");
}

#[test]
fn every_fault_that_is_not_long_has_a_test() {
    let source = include_str!("faults.rs");
    for fault in faults::FAULTS.iter().filter(|fault| !fault.long) {
        assert!(source.contains(&format!("check({:?})", fault.name)), "{} has none", fault.name);
    }
}
