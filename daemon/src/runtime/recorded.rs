//! The lineage of a pipeline, and the recording of its changes.
//!
//! Only the methods here change the lineage. Each writes its arguments to the recording, if there is one. So a replay that makes the
//! same calls has the same tree and the same effects.

use std::{ops::Deref, sync::Arc, time::Duration, vec::Drain};

use crate::{
    kernel::{
        clock::{self, boottime},
        ladder::HookState,
    },
    lineage::{
        Arguments, Brief, Config, Lineage, Outcome, Share, Wanted,
        death::{Stop, Watch},
        effect::Effect,
        figures::TaskFigures,
        id::{GroupKey, Ktime, TaskKey, Tgid},
        leaks::{Leaks, SessionFacts, Thresholds},
        record::Record,
        scope::CgroupName,
    },
    recording::{Entry, FORMAT, Header, Hook, Journal},
};

/// Returns what a recording says about itself.
pub(super) fn header(
    hooks: &[HookState],
    config: &Config,
    watch: Watch,
    watches_scopes: bool,
    command: Vec<Vec<u8>>,
) -> Header {
    let boot_id = clock::boot_id().unwrap_or_else(|error| {
        log::warn!("reading the boot id: {error}; entity ids are not unique across boots");
        "00000000".into()
    });
    let release = clock::kernel_release().unwrap_or_default();
    let hooks = hooks.iter().map(|hook| Hook {
        name: hook.hook.into(),
        rung: hook.rung.clone(),
        lacks: hook.lacks.map(str::to_owned),
    });
    Header {
        format: FORMAT,
        made_by: env!("CARGO_PKG_VERSION").into(),
        boot_id: boot_id.trim_end().into(),
        release: release.trim_end().into(),
        machine: std::env::consts::ARCH.into(),
        begun: boottime(),
        wall_offset_ns: i64::try_from(clock::wall_offset_ns()).unwrap_or_default(),
        config: config.clone(),
        hooks: hooks.collect(),
        watch,
        watches_scopes,
        command,
        redacted: false,
    }
}

/// A lineage whose changes can be recorded.
pub struct RecordedLineage {
    lineage: Lineage,
    /// The settings. Some can change.
    config: Config,
    journal: Option<Journal>,
}

impl Deref for RecordedLineage {
    type Target = Lineage;

    fn deref(&self) -> &Lineage {
        &self.lineage
    }
}

impl RecordedLineage {
    /// Creates a lineage; the caller has written the header of the recording.
    pub(super) fn new(config: Config, journal: Option<Journal>) -> Self {
        Self { lineage: Lineage::new(config.clone()), config, journal }
    }

    /// The recording.
    pub(super) const fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Notes an input that does not change the lineage itself.
    pub(super) fn note(&self, entry: impl FnOnce() -> Entry) {
        if let Some(journal) = &self.journal {
            journal.note(entry());
        }
    }

    pub(super) fn apply(&mut self, record: &Record, now: Ktime, out: &mut Vec<Effect>) -> Outcome {
        if let Some(journal) = &self.journal {
            journal.record(record, now);
        }
        self.lineage.apply(record, now, out)
    }

    pub(super) fn begin_snapshot(&mut self, at: Ktime) {
        self.note(|| Entry::SnapshotBegun(at));
        self.lineage.begin_snapshot(at);
    }

    pub(super) fn end_snapshot(&mut self, at: Ktime, out: &mut Vec<Effect>) {
        self.note(|| Entry::SnapshotEnded(at));
        self.lineage.end_snapshot(at, out);
    }

    pub(super) fn abandon_snapshot(&mut self) {
        self.note(|| Entry::SnapshotAbandoned);
        self.lineage.abandon_snapshot();
    }

    pub(super) fn show_unchanged(&mut self, key: TaskKey) {
        self.note(|| Entry::ShownUnchanged(key));
        self.lineage.show_unchanged(key);
    }

    pub(super) fn tick(&mut self, now: Ktime, out: &mut Vec<Effect>) {
        self.tick_flagging(now, usize::MAX, out);
    }

    pub(super) fn tick_flagging(&mut self, now: Ktime, most: usize, out: &mut Vec<Effect>) {
        let flagged = (most != usize::MAX).then_some(most as u64);
        self.note(|| Entry::Tick { now, flagged });
        if let Some(journal) = &self.journal {
            journal.pass_time(now);
        }
        self.lineage.tick_flagging(now, most, out);
    }

    pub(super) fn doubt_signals(&mut self, lost_until: Ktime) {
        self.note(|| Entry::SignalsDoubted(lost_until));
        self.lineage.doubt_signals(lost_until);
    }

    pub(super) fn doubt_zombies(&mut self, lost_until: Ktime) {
        self.note(|| Entry::ZombiesDoubted(lost_until));
        self.lineage.doubt_zombies(lost_until);
    }

    pub(super) fn confirm_zombie(&mut self, key: GroupKey) {
        self.note(|| Entry::ZombieConfirmed(key));
        self.lineage.confirm_zombie(key);
    }

    pub(super) fn end_unconfirmed_zombie(&mut self, key: GroupKey, at: Ktime, out: &mut Vec<Effect>) {
        self.note(|| Entry::UnconfirmedEnded(key, at));
        self.lineage.end_unconfirmed_zombie(key, at, out);
    }

    pub(super) fn end_reaped_zombie(&mut self, key: GroupKey, at: Ktime, out: &mut Vec<Effect>) {
        self.note(|| Entry::ReapedEnded(key, at));
        self.lineage.end_reaped_zombie(key, at, out);
    }

    pub(super) fn learn_executable(&mut self, key: GroupKey, path: &[u8]) {
        self.note(|| Entry::Executable(key, path.to_vec()));
        self.lineage.learn_executable(key, path);
    }

    pub(super) fn learn_arguments(&mut self, key: GroupKey, arguments: Arguments) {
        self.note(|| Entry::Arguments(key, arguments.clone()));
        self.lineage.learn_arguments(key, arguments);
    }

    pub(super) fn set_hidden(&mut self, groups: impl IntoIterator<Item = Tgid>) {
        let groups: Vec<Tgid> = groups.into_iter().collect();
        self.note(|| Entry::Hidden(groups.clone()));
        self.lineage.set_hidden(groups);
    }

    /// Tells the lineage what the hooks report. It is not noted as an entry, because the header of the recording has it.
    pub(super) fn watch(&mut self, signals: Watch, scopes: bool) {
        self.lineage.watch_signals(signals);
        self.lineage.watch_scopes(scopes);
    }

    /// Checks the groups that may leak.
    pub(super) fn poll_leaks(&mut self, leaks: &mut Leaks, now: Ktime, out: &mut Vec<Effect>) {
        self.note(|| Entry::LeaksPolled(now));
        leaks.poll(&mut self.lineage, now, out);
    }

    /// Notes what was read of the session of a process.
    pub(super) fn note_session(&self, key: GroupKey, facts: Option<SessionFacts>) {
        self.note(|| Entry::Session(key, facts));
    }

    /// Notes a poll for tasks in uninterruptible sleep.
    pub(super) fn note_asleep(&self, now: Ktime, asleep: &[TaskFigures]) {
        self.note(|| Entry::Asleep(now, asleep.to_vec()));
    }

    /// Sets the age at which a zombie is flagged.
    pub fn set_zombie_after(&mut self, after: Duration) {
        self.config.zombie_after = after;
        self.lineage.set_zombie_after(after);
        self.note_config();
    }

    /// Sets the length at which an uninterruptible sleep is flagged; zero flags none.
    pub fn set_blocked_after(&mut self, after: Duration) {
        self.config.blocked_after = after;
        self.lineage.set_blocked_after(after);
        self.note_config();
    }

    /// Sets what is a leak.
    pub fn set_leaks(&mut self, leaks: Thresholds) {
        self.config.leaks = leaks;
        self.lineage.set_leaks(leaks);
        self.note_config();
    }

    /// Sets how many ended processes are remembered.
    pub fn set_dead_lives(&mut self, most: usize) {
        self.config.dead_lives = most;
        self.lineage.set_dead_lives(most);
        self.note_config();
    }

    /// Sets whether `Released` of a leader carries the whole life.
    pub fn set_reports_lives(&mut self, reports: bool) {
        self.config.reports_lives = reports;
        self.lineage.set_reports_lives(reports);
        self.note_config();
    }

    fn note_config(&self) {
        self.note(|| Entry::Config(Box::new(self.config.clone())));
    }

    /// Forgets ended processes until `keep` are left; returns how many it forgot. This is not recorded, because it depends on the
    /// memory of the host.
    pub fn shed_lives(&mut self, keep: usize) -> usize {
        self.lineage.shed_lives(keep)
    }

    // The following take out what was collected for a reader, or prepare for speed. The tree does not depend on them.

    pub(super) fn prefetch(&self, records: &[Record]) {
        self.lineage.prefetch(records);
    }

    pub(super) const fn set_wanted(&mut self, wanted: Wanted) {
        self.lineage.set_wanted(wanted);
    }

    pub(super) fn take_briefs(&mut self) -> Drain<'_, Brief> {
        self.lineage.take_briefs()
    }

    pub(super) fn trim_briefs(&mut self, most: usize) {
        self.lineage.trim_briefs(most);
    }

    pub(super) fn take_cgroup_names(&mut self) -> impl Iterator<Item = CgroupName> {
        self.lineage.take_cgroup_names()
    }

    pub(super) fn take_shares(&mut self) -> impl Iterator<Item = (Option<u64>, Share)> {
        self.lineage.take_shares()
    }

    pub(super) fn take_ended_stops(&mut self) -> impl Iterator<Item = Arc<Stop>> {
        self.lineage.take_ended_stops()
    }
}
