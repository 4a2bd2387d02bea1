//! Walks the hook table: each hook uses the first rung that loads **and** attaches. The errors of earlier rungs are kept. No
//! decision compares kernel versions.

use std::{fmt, io};

use aya::{
    Btf, Ebpf,
    programs::{Program, ProgramError, links::LinkError},
};
use serde::Serialize;
use thiserror::Error;

use crate::kernel::{
    hooks::{Attach, Family, Hook, Rung},
    links::Links,
};

/// Which rungs may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// kprobe, then fentry, then tracepoint, hook by hook.
    #[default]
    Auto,
    /// One family for every hook that has it.
    Only(Family),
}

/// A step of bringing a program into use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// `BPF_PROG_LOAD`: fails if the verifier rejects the program or its attach target does not exist.
    Load,
    /// Attaching.
    Attach,
}

/// Why a rung is not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The rung.
    pub rung: String,
    /// The program that failed.
    pub program: &'static str,
    /// At which step.
    pub step: Step,
    /// The kernel's errno, if it returned one.
    pub errno: Option<i32>,
    /// The message of the kernel or of aya.
    pub reason: String,
    /// The last line of the verifier's log, if there is one.
    pub verifier: Option<String>,
}

/// A program in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadedProgram {
    /// Its name in the object.
    pub name: &'static str,
    /// The id that the kernel gave it.
    pub id: Option<u32>,
    /// Instructions that the verifier processed, where the kernel reports them (5.16 and newer).
    pub verified_instructions: Option<u32>,
}

/// The outcome for one hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookState {
    /// Name in the hook table.
    pub hook: &'static str,
    /// The rung in use, as shown.
    pub rung: Option<String>,
    /// Its family.
    pub family: Option<Family>,
    /// Its programs.
    pub programs: Vec<LoadedProgram>,
    /// Why better rungs are not used.
    pub refused: Vec<Refusal>,
    /// What the rung in use cannot report and a better one could.
    pub lacks: Option<&'static str>,
    /// What is unknown if no rung is in use.
    pub gives: &'static str,
    /// Whether taskscope cannot run without the hook.
    pub required: bool,
}

/// A required hook could not be attached.
#[derive(Debug, Error)]
#[error("{}", describe(.0))]
pub struct LadderError(pub Box<HookState>);

impl HookState {
    /// Returns whether the hook reports everything it can.
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.rung.is_some() && self.lacks.is_none()
    }
}

/// Returns how each hook is attached, in one line: `do_exit by kprobe do_exit, ...`.
pub fn in_words<'a>(hooks: impl IntoIterator<Item = &'a HookState>) -> String {
    let words = hooks
        .into_iter()
        .map(|hook| format!("{} by {}", hook.hook, hook.rung.as_deref().unwrap_or("nothing")));
    words.collect::<Vec<_>>().join(", ")
}

fn describe(state: &HookState) -> String {
    let mut text = format!("no way to attach {}:", state.hook);
    for refusal in &state.refused {
        text.push_str("\n  ");
        text.push_str(&refusal.to_string());
    }
    if state.refused.is_empty() {
        text.push_str(" --attach allows only a kind of hook that it does not have");
    }
    text
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Load => "loading",
            Step::Attach => "attaching",
        };
        write!(f, "{}: {step} {}: {}", self.rung, self.program, self.reason)?;
        if let Some(verifier) = &self.verifier {
            write!(f, " (verifier: {verifier})")?;
        }
        Ok(())
    }
}

/// Attaches every hook of a table by the best rung that works.
///
/// With `strict`, stops at the first required hook that no rung attaches; otherwise leaves that hook out and
/// continues, as `doctor` needs.
pub fn climb(
    hooks: &[Hook],
    ebpf: &mut Ebpf,
    btf: &Btf,
    choice: Choice,
    strict: bool,
    links: &mut Links,
) -> Result<Vec<HookState>, LadderError> {
    let mut states = Vec::with_capacity(hooks.len());
    for hook in hooks {
        let state = climb_one(ebpf, btf, hook, choice, &states, links);
        if strict && hook.required && state.rung.is_none() {
            return Err(LadderError(Box::new(state)));
        }
        states.push(state);
    }
    Ok(states)
}

fn climb_one(
    ebpf: &mut Ebpf,
    btf: &Btf,
    hook: &Hook,
    choice: Choice,
    before: &[HookState],
    links: &mut Links,
) -> HookState {
    let mut state = HookState {
        hook: hook.name,
        rung: None,
        family: None,
        programs: Vec::new(),
        refused: Vec::new(),
        lacks: None,
        gives: hook.gives,
        required: hook.required,
    };
    for rung in hook.rungs.iter().filter(|rung| allowed(hook, rung, choice)) {
        match attach_rung(ebpf, btf, rung, before, links) {
            Ok(programs) => {
                state.rung = Some(rung.label());
                state.family = Some(rung.family);
                state.programs = programs;
                state.lacks = rung.lacks;
                return state;
            }
            Err(refusal) => state.refused.push(refusal),
        }
    }
    state
}

fn allowed(hook: &Hook, rung: &Rung, choice: Choice) -> bool {
    match choice {
        Choice::Auto => true,
        Choice::Only(family) => rung.family == family || !hook.has_family(family),
    }
}

/// Attaches all programs of a rung, or none.
fn attach_rung(
    ebpf: &mut Ebpf,
    btf: &Btf,
    rung: &Rung,
    before: &[HookState],
    links: &mut Links,
) -> Result<Vec<LoadedProgram>, Refusal> {
    let mut done = Vec::with_capacity(rung.programs.len());
    for &(name, attach) in rung.programs {
        let outcome = match attach {
            Attach::By(hook) => by_other(before, hook).map(|()| None),
            _ => attach_program(ebpf, btf, name, rung.point, attach, links).map(Some),
        };
        match outcome {
            Ok(Some(program)) => done.push(program),
            Ok(None) => {}
            Err((step, failure)) => {
                for name in done.iter().map(|program: &LoadedProgram| program.name).chain([name]) {
                    links.cut(name);
                    unload(ebpf, name);
                }
                return Err(Refusal {
                    rung: rung.label(),
                    program: name,
                    step,
                    errno: failure.errno,
                    reason: failure.reason,
                    verifier: failure.verifier,
                });
            }
        }
    }
    Ok(done)
}

fn by_other(before: &[HookState], hook: &str) -> Result<(), (Step, Failure)> {
    if before.iter().any(|state| state.hook == hook && state.rung.is_some()) {
        return Ok(());
    }
    let reason = format!("the hook {hook} that would report it is not attached");
    Err((Step::Attach, Failure { errno: None, reason, verifier: None }))
}

fn attach_program(
    ebpf: &mut Ebpf,
    btf: &Btf,
    name: &'static str,
    point: &str,
    attach: Attach,
    links: &mut Links,
) -> Result<LoadedProgram, (Step, Failure)> {
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| (Step::Load, Failure::plain("the eBPF object has no program of that name")))?;
    load_program(program, btf, point, attach).map_err(|error| (Step::Load, Failure::from(error)))?;
    let info = program.info().ok();
    links.attach(ebpf, name, point).map_err(|error| (Step::Attach, Failure::from(error)))?;
    Ok(LoadedProgram {
        name,
        id: info.as_ref().map(aya::programs::ProgramInfo::id),
        verified_instructions: info.and_then(|i| i.verified_instruction_count()),
    })
}

fn load_program(program: &mut Program, btf: &Btf, point: &str, attach: Attach) -> Result<(), ProgramError> {
    match (attach, program) {
        (Attach::Kprobe | Attach::Kretprobe, Program::KProbe(p)) => p.load(),
        (Attach::Fentry, Program::FEntry(p)) => p.load(point, btf),
        (Attach::Fexit, Program::FExit(p)) => p.load(point, btf),
        (Attach::BtfTracepoint, Program::BtfTracePoint(p)) => p.load(point, btf),
        (Attach::RawTracepoint, Program::RawTracePoint(p)) => p.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Unloads a program, whose links must be cut already.
pub fn unload(ebpf: &mut Ebpf, name: &str) {
    let Some(program) = ebpf.program_mut(name) else { return };
    // Unloading fails only for a program that was never loaded.
    let _ = match program {
        Program::KProbe(p) => p.unload(),
        Program::FEntry(p) => p.unload(),
        Program::FExit(p) => p.unload(),
        Program::BtfTracePoint(p) => p.unload(),
        Program::RawTracePoint(p) => p.unload(),
        _ => Ok(()),
    };
}

/// Why a step failed: the kernel's errno, the text of the error, and the verifier's last line.
struct Failure {
    errno: Option<i32>,
    reason: String,
    verifier: Option<String>,
}

impl Failure {
    fn plain(reason: &str) -> Self {
        Self { errno: None, reason: reason.to_owned(), verifier: None }
    }
}

impl From<ProgramError> for Failure {
    fn from(error: ProgramError) -> Self {
        let io_error = root_io_error(&error);
        let errno = io_error.as_ref().and_then(|e| e.0);
        let (reason, verifier) = match &error {
            ProgramError::LoadError { io_error, verifier_log } => {
                (io_error.to_string(), last_line(&verifier_log.to_string()))
            }
            other => (io_error.map_or_else(|| other.to_string(), |e| format!("{other}: {}", e.1)), None),
        };
        Self { errno, reason, verifier }
    }
}

/// Returns the errno at the bottom of an error's causes, and the text of the error.
fn root_io_error(error: &(dyn std::error::Error + 'static)) -> Option<(Option<i32>, String)> {
    let mut current = Some(error);
    while let Some(cause) = current {
        if let Some(io_error) = cause.downcast_ref::<io::Error>() {
            return Some((io_error.raw_os_error(), io_error.to_string()));
        }
        if let Some(LinkError::SyscallError(call)) = cause.downcast_ref::<LinkError>() {
            return Some((call.io_error.raw_os_error(), call.io_error.to_string()));
        }
        current = cause.source();
    }
    None
}

/// Returns the verifier's verdict: the last line of its log that is not a statistic.
fn last_line(log: &str) -> Option<String> {
    log.lines()
        .map(str::trim)
        .rfind(|line| {
            !line.is_empty()
                && !line.starts_with("processed ")
                && !line.starts_with("verification time")
                && !line.starts_with("stack depth")
        })
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::hooks::{HOOKS, SCHED_HOOKS, SCHED_TRACE_HOOKS};

    #[test]
    fn the_verifiers_verdict_is_the_last_line_before_its_statistics() {
        let log = "0: (79) r6 = *(u64 *)(r1 +0)\nR6 invalid mem access 'scalar'\nverification time 12 usec\nstack depth 8\n\
                   processed 3 insns (limit 1000000)\n";
        assert_eq!(last_line(log).as_deref(), Some("R6 invalid mem access 'scalar'"));
        assert_eq!(last_line("processed 3 insns\n"), None);
    }

    #[test]
    fn auto_allows_every_rung_and_a_forced_family_only_its_own() {
        for hook in HOOKS {
            assert!(hook.rungs.iter().all(|rung| allowed(hook, rung, Choice::Auto)));
            for family in [Family::Kprobe, Family::Fentry, Family::Tracepoint] {
                let forced: Vec<_> =
                    hook.rungs.iter().filter(|rung| allowed(hook, rung, Choice::Only(family))).collect();
                assert!(!forced.is_empty(), "{} has no rung under {family:?}", hook.name);
                if hook.has_family(family) {
                    assert!(forced.iter().all(|rung| rung.family == family));
                }
            }
        }
    }

    #[test]
    fn program_names_fit_the_object_and_are_used_once() {
        let mut names: Vec<_> = HOOKS
            .iter()
            .chain(SCHED_HOOKS)
            .chain(SCHED_TRACE_HOOKS)
            .flat_map(|hook| hook.rungs)
            .flat_map(|rung| rung.programs)
            .map(|(name, _)| *name)
            .collect();
        names.retain(|name| !name.is_empty());
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
