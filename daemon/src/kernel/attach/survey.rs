//! What this kernel supports, found by trying: the facts that `taskscope doctor` shows.

use std::{fs, path::Path};

use serde::Serialize;

use crate::kernel::{
    btf::{Types, VMLINUX},
    fields::{self, Missing},
    figures,
    hooks::{Family, HOOKS, SCHED_HOOKS},
    ladder::{self, Choice, HookState},
    links::Links,
    object::{self, EMBEDDED, ObjectError, Options},
    privilege,
    sched::{self, Sched},
    snapshot::{self, SnapshotError},
};

/// The findings.
#[derive(Debug, Serialize)]
pub struct Survey {
    /// `uname -r`.
    pub release: String,
    /// Whether the kernel shows its types.
    pub btf: Finding,
    /// Whether this process has the capabilities to observe.
    pub privilege: Finding,
    /// Whether the programs and maps can be loaded.
    pub object: Finding,
    /// Whether the task iterator can read all tasks.
    pub iterator: Finding,
    /// Tasks that the kernel hides from programs and from its iterator. The caller fills this in: it takes a comparison with
    /// /proc.
    pub hidden: Option<String>,
    /// Whether the state of tasks can be read, which finds those that stay in uninterruptible sleep.
    pub figures: Finding,
    /// The kernel functions of the hooks, and whether the kernel has symbols for them.
    pub symbols: Vec<Symbol>,
    /// Whether the symbols could be read at all.
    pub symbols_readable: Finding,
    /// The hooks, each with the rung that it would use; empty if that could not be tried.
    pub hooks: Vec<HookState>,
    /// The hooks of `run --sched`.
    pub sched_hooks: Vec<HookState>,
    /// Kernel memory that `--sched` takes, bytes.
    pub sched_bytes: u64,
    /// Fields without an offset.
    pub missing_fields: Vec<Missing>,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
}

/// An answer with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it works.
    pub ok: bool,
    /// Why not, or what was found.
    pub detail: String,
}

/// A kernel function that a rung attaches to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Symbol {
    /// Its name.
    pub name: &'static str,
    /// Whether /proc/kallsyms has it under its plain name.
    pub in_kallsyms: bool,
    /// Whether BTF has it: what fentry and fexit need.
    pub in_btf: bool,
}

/// The overall result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SurveyVerdict {
    /// Every hook is attached and every field is known.
    Full,
    /// taskscope can observe, with gaps.
    Degraded,
    /// taskscope cannot observe.
    Nothing,
    /// This could not be tried.
    Unknown,
}

impl Finding {
    fn yes(detail: impl Into<String>) -> Self {
        Self { ok: true, detail: detail.into() }
    }

    fn no(detail: impl Into<String>) -> Self {
        Self { ok: false, detail: detail.into() }
    }
}

/// Tries every hook of this kernel, and detaches everything again.
#[must_use]
pub fn survey(choice: Choice) -> Survey {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |s| s.trim().into());
    let mut unchecked = Vec::new();
    let types = Types::from_file(Path::new(VMLINUX));
    let btf = match &types {
        Ok(_) => Finding::yes(VMLINUX),
        Err(error) => Finding::no(error.to_string()),
    };
    let missing_fields = types.as_ref().map(|types| fields::resolve(types).1).unwrap_or_default();
    let (symbols, symbols_readable) = symbols(types.as_ref().ok());
    let lacking = privilege::missing();
    let privilege = if lacking.is_empty() {
        Finding::yes(privilege::NEEDED.map(|c| c.name).join(", "))
    } else {
        let names =
            lacking.iter().map(|c| format!("{} ({})", c.name, c.reason)).collect::<Vec<_>>().join(", ");
        Finding::no(format!("missing: {names}"))
    };
    let Tried { object, iterator, figures, hooks, sched_hooks } = try_hooks(choice, &mut unchecked);
    Survey {
        release,
        btf,
        privilege,
        object,
        iterator,
        hidden: None,
        figures,
        symbols,
        symbols_readable,
        hooks,
        sched_hooks,
        sched_bytes: sched::memory(),
        missing_fields,
        unchecked,
    }
}

/// The outcome of loading and attaching.
struct Tried {
    object: Finding,
    iterator: Finding,
    figures: Finding,
    hooks: Vec<HookState>,
    sched_hooks: Vec<HookState>,
}

impl Tried {
    fn nothing(why: String) -> Self {
        let not = || Finding::no("not tried");
        Self {
            object: Finding::no(why),
            iterator: not(),
            figures: not(),
            hooks: Vec::new(),
            sched_hooks: Vec::new(),
        }
    }
}

fn try_hooks(choice: Choice, unchecked: &mut Vec<String>) -> Tried {
    let options = Options { ring_bytes: 4096, args: false, sched: Sched::No };
    let mut loaded = match object::load("embedded", EMBEDDED, options) {
        Ok(loaded) => loaded,
        // The finding about BTF has the reason.
        Err(ObjectError::Btf(_)) => return Tried::nothing("not tried: it needs BTF".into()),
        Err(error) => {
            if matches!(error, ObjectError::Privilege { .. }) {
                unchecked.push("which hooks load and attach: needs root".into());
            }
            return Tried::nothing(error.to_string());
        }
    };
    // Not strict: a hook without a rung is what the user wants to see.
    let mut links = Links::default();
    let mut climb = |hooks| ladder::climb(hooks, &mut loaded.ebpf, &loaded.btf, choice, false, &mut links);
    match climb(HOOKS).and_then(|hooks| Ok((hooks, climb(SCHED_HOOKS)?))) {
        Ok((hooks, sched_hooks)) => {
            let found = |outcome: Result<(), SnapshotError>| match outcome {
                Ok(()) => Finding::yes("iter/task loads"),
                Err(error) => Finding::no(error.to_string()),
            };
            Tried {
                object: Finding::yes("the embedded eBPF object fits"),
                iterator: found(snapshot::prepare(&mut loaded.ebpf, &loaded.btf)),
                figures: found(figures::prepare(&mut loaded.ebpf, &loaded.btf)),
                hooks,
                sched_hooks,
            }
        }
        Err(error) => Tried::nothing(error.to_string()),
    }
}

fn symbols(types: Option<&Types>) -> (Vec<Symbol>, Finding) {
    let text = fs::read_to_string("/proc/kallsyms");
    let finding = match &text {
        Ok(_) => Finding::yes("/proc/kallsyms"),
        Err(error) => Finding::no(format!("/proc/kallsyms: {error}")),
    };
    let text = text.unwrap_or_default();
    let known: std::collections::HashSet<_> =
        text.lines().filter_map(|line| line.split_ascii_whitespace().nth(2)).collect();
    let mut names: Vec<_> = HOOKS
        .iter()
        .flat_map(|hook| hook.rungs)
        .filter(|rung| rung.family != Family::Tracepoint)
        .map(|rung| rung.point)
        .collect();
    names.sort_unstable();
    names.dedup();
    let symbols = names
        .into_iter()
        .map(|name| Symbol {
            name,
            in_kallsyms: known.contains(name),
            in_btf: types.is_some_and(|types| types.has_function(name)),
        })
        .collect();
    (symbols, finding)
}

impl Survey {
    /// The verdict, from the findings.
    #[must_use]
    pub fn verdict(&self) -> SurveyVerdict {
        if !self.privilege.ok {
            return if self.btf.ok { SurveyVerdict::Unknown } else { SurveyVerdict::Nothing };
        }
        if !self.object.ok || self.hooks.iter().any(|hook| hook.required && hook.rung.is_none()) {
            return SurveyVerdict::Nothing;
        }
        let has_iterators = self.iterator.ok && self.figures.ok && self.hidden.is_none();
        if has_iterators && self.missing_fields.is_empty() && self.hooks.iter().all(HookState::complete) {
            SurveyVerdict::Full
        } else {
            SurveyVerdict::Degraded
        }
    }
}
