//! `taskscope doctor`: what this kernel supports, and which parts of it would be used.

use std::fmt::Write as _;

use super::{Attach, ask::Format, exit::Exit, terminal};
use crate::{
    answer::text::folded,
    cgroup::Cgroups,
    host,
    kernel::{
        ladder::HookState,
        survey::{Finding, Survey, SurveyVerdict, survey},
    },
    pidns,
    procfs::Procfs,
    runtime::{Pipeline, Trust},
    service::sandbox,
    timens,
};

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope doctor                       what this kernel supports, as text
  taskscope doctor --format json | jq .  the same as JSON
  taskscope doctor --attach tracepoint   what could be reported without kprobes and fentry

Exit codes: 0 everything can be reported, 8 observing works but not everything can be reported,
4 nothing can be observed, or not from this pid namespace, 3 a privilege is missing.")]
pub(super) struct Args {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Attach each hook only by this kind of program
    #[arg(long, value_enum, default_value_t)]
    attach: Attach,
}

/// What this process's surroundings allow, besides the kernel.
struct Surroundings {
    /// Whether /proc shows every process.
    proc: Finding,
    /// Whether this process sees the kernel's clock.
    time_namespace: Finding,
    /// The hierarchies that units and containers are taken from.
    cgroups: Finding,
    /// Where there are pods: whether their names can be read.
    pods: Option<Finding>,
}

impl Surroundings {
    fn read() -> Self {
        let finding = |lacks: Option<String>, good: &str| match lacks {
            None => Finding { ok: true, detail: good.into() },
            Some(why) => Finding { ok: false, detail: why },
        };
        let mounts = host::cgroup_mounts();
        let mut known = Cgroups::of_host();
        // Reads the hierarchies.
        known.place(u64::MAX, 1);
        Self {
            pods: known.named_pods().map(|count| finding(known.lacks_pods(), &format!("{count} pods"))),
            cgroups: finding(mounts.lacks().map(str::to_owned), &mounts.sources()),
            proc: finding(Procfs::default().lacks().map(str::to_owned), "all processes are visible"),
            time_namespace: finding(timens::lacks(), "the initial one, or one without an offset"),
        }
    }

    /// The result for the kernel and the surroundings.
    fn verdict(&self, survey: &Survey) -> SurveyVerdict {
        match survey.verdict() {
            SurveyVerdict::Full if !(self.proc.ok && self.time_namespace.ok && self.cgroups.ok) => {
                SurveyVerdict::Degraded
            }
            verdict => verdict,
        }
    }
}

/// Runs `doctor`.
pub(super) fn run(args: &Args) -> Exit {
    if let Err(error) = pidns::check() {
        log::error!("{error}");
        return Exit::Kernel;
    }
    let mut survey = survey(args.attach.into());
    if survey.object.ok && survey.iterator.ok {
        survey.hidden = hidden();
    }
    let host = Surroundings::read();
    let text = match args.format {
        Format::Text => folded(&text(&survey, &host), terminal::style(), value_column),
        Format::Json => match json(&survey, &host) {
            Ok(text) => text,
            Err(error) => return Exit::failed_at("encoding the findings as JSON", error),
        },
    };
    if let Err(exit) = super::output::answer(&text) {
        return exit;
    }
    match host.verdict(&survey) {
        SurveyVerdict::Full => Exit::Success,
        SurveyVerdict::Degraded => Exit::Degraded,
        SurveyVerdict::Nothing => Exit::Kernel,
        SurveyVerdict::Unknown => Exit::Privilege,
    }
}

/// Returns the column of the text after a mark such as `  ok `, or after the indent.
fn value_column(line: &str) -> usize {
    let indent = line.len() - line.trim_start().len();
    let mark = if indent == MARK_INDENT { MARK_WIDTH } else { 0 };
    indent + mark
}

/// Width of the indent before a mark, and of the mark with the blanks after it.
const MARK_INDENT: usize = 2;
const MARK_WIDTH: usize = 3;

/// Reads what /proc shows and the kernel's iterator does not.
fn hidden() -> Option<String> {
    match Pipeline::snapshot_only(None, Trust::default()) {
        Ok(pipeline) => pipeline.hidden.reason(),
        Err(error) => {
            log::debug!("comparing the task iterator with /proc: {error}");
            None
        }
    }
}

fn json(survey: &Survey, host: &Surroundings) -> serde_json::Result<String> {
    let mut value = serde_json::to_value(survey)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("proc".into(), serde_json::to_value(&host.proc)?);
        object.insert("time_namespace".into(), serde_json::to_value(&host.time_namespace)?);
        object.insert("cgroups".into(), serde_json::to_value(&host.cgroups)?);
        if let Some(pods) = &host.pods {
            object.insert("pods".into(), serde_json::to_value(pods)?);
        }
        object.insert("verdict".into(), serde_json::to_value(host.verdict(survey))?);
        object.insert("sandbox".into(), sandbox::offered().into());
    }
    let mut text = serde_json::to_string_pretty(&value)?;
    text.push('\n');
    Ok(text)
}

/// The findings as text. Writing to a `String` does not fail.
fn text(survey: &Survey, host: &Surroundings) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "kernel {}", survey.release);
    finding(&mut out, "type information (BTF)", &survey.btf);
    finding(&mut out, "privileges", &survey.privilege);
    finding(&mut out, "eBPF object", &survey.object);
    finding(&mut out, "reading all tasks (or /proc alone)", &survey.iterator);
    if let Some(hidden) = &survey.hidden {
        let _ = writeln!(out, "  ~  {hidden}");
    }
    finding(&mut out, "current state of tasks, tasks that stay in state D", &survey.figures);
    finding(&mut out, "processes in /proc", &host.proc);
    finding(&mut out, "time namespace", &host.time_namespace);
    finding(&mut out, "units and containers, by cgroup", &host.cgroups);
    if let Some(pods) = &host.pods {
        // Everything but these names is reported without them.
        let mark = if pods.ok { "ok" } else { "~" };
        let _ = writeln!(out, "  {mark:<3}names of pods and containers: {}", pods.detail);
    }
    let _ = writeln!(
        out,
        "     restrictions that the daemon sets for itself after it has attached: {}",
        sandbox::offered()
    );
    if !survey.hooks.is_empty() {
        out.push_str("\nhooks\n");
        let width = survey.hooks.iter().map(|hook| hook.hook.len()).max().unwrap_or(0);
        for hook in &survey.hooks {
            hook_line(&mut out, hook, width);
        }
    }
    sched(&mut out, survey);
    out.push_str("\nfunctions for kprobe and fentry\n");
    for symbol in &survey.symbols {
        let has = |yes: bool, name: &str| if yes { format!("in {name}") } else { format!("not in {name}") };
        let kallsyms = if survey.symbols_readable.ok {
            has(symbol.in_kallsyms, "kallsyms")
        } else {
            "kallsyms unreadable".into()
        };
        let _ = writeln!(out, "  {:<20} {kallsyms}, {}", symbol.name, has(symbol.in_btf, "BTF"));
    }
    if !survey.missing_fields.is_empty() {
        out.push_str("\nfields not found\n");
        for field in &survey.missing_fields {
            let _ = writeln!(
                out,
                "  {}: {}; unknown without it: {}",
                field.field, field.reason, field.switches_off
            );
        }
    }
    for unchecked in &survey.unchecked {
        let _ = writeln!(out, "\nnot checked: {unchecked}");
    }
    let verdict = match host.verdict(survey) {
        SurveyVerdict::Full => "full: everything can be reported",
        SurveyVerdict::Degraded => {
            "degraded: observing works, but not everything can be reported (see above)"
        }
        SurveyVerdict::Nothing => "nothing can be observed on this kernel (see above)",
        SurveyVerdict::Unknown => "unknown: run as root to find out",
    };
    let _ = writeln!(out, "\n{verdict}");
    out
}

/// Whether `run --sched` can be used, and how much memory it takes.
fn sched(out: &mut String, survey: &Survey) {
    if survey.sched_hooks.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\nscheduling, only with run --sched: {}.{} MiB in the kernel, and three programs at every switch and wakeup",
        survey.sched_bytes >> 20,
        ((survey.sched_bytes & 0xf_ffff) * 10) >> 20
    );
    let width = survey.sched_hooks.iter().map(|hook| hook.hook.len()).max().unwrap_or(0);
    for hook in &survey.sched_hooks {
        hook_line(out, hook, width);
    }
}

fn finding(out: &mut String, what: &str, finding: &Finding) {
    let mark = if finding.ok { "ok" } else { "NO" };
    let _ = writeln!(out, "  {mark:<3}{what}: {}", finding.detail);
}

fn hook_line(out: &mut String, hook: &HookState, width: usize) {
    let mark = match (&hook.rung, hook.lacks) {
        (Some(_), None) => "ok",
        (Some(_), Some(_)) => "~",
        (None, _) => "NO",
    };
    let rung = hook.rung.as_deref().unwrap_or("none");
    let _ = writeln!(out, "  {mark:<3}{:<width$}  {rung}", hook.hook);
    if let Some(lacks) = hook.lacks {
        let _ = writeln!(out, "     {:width$}  not reported: {lacks}", "");
    } else if hook.rung.is_none() {
        let _ = writeln!(out, "     {:width$}  not reported: {}", "", hook.gives);
    }
    for refusal in &hook.refused {
        let _ = writeln!(out, "     {:width$}  not {refusal}", "");
    }
}
