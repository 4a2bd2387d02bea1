//! `[[output]]` of the configuration file.

use toml::de::DeValue;

use super::value::{Wrong, number, text, texts};
use crate::outputs::OutputDraft;

/// The keys of an output.
pub(super) const OUTPUT_KEYS: [&str; 21] = [
    "type",
    "name",
    "url",
    "headers",
    "protocol",
    "schema",
    "credentials",
    "ca",
    "cert",
    "key",
    "socket",
    "actions",
    "deaths",
    "pids",
    "subtree",
    "comms",
    "units",
    "containers",
    "queue",
    "spill",
    "spill_size",
];

/// An output of the file, and where it is in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputTable {
    pub(super) draft: OutputDraft,
    /// `FILE: line N`.
    pub(super) place: String,
}

/// An error in an output: its key, the line's offset, what is wrong.
pub(super) struct WrongOutput {
    pub(super) key: String,
    pub(super) at: usize,
    pub(super) wrong: Wrong,
}

/// Reads all outputs. `place` returns the place of an offset.
pub(super) fn outputs(
    value: &DeValue<'_>,
    at: usize,
    place: impl Fn(usize) -> String,
) -> Result<Vec<OutputTable>, WrongOutput> {
    let not_tables = |at| WrongOutput {
        key: "output".into(),
        at,
        wrong: Wrong::Value("should be tables, each after a line `[[output]]`".into()),
    };
    let list = value.as_array().ok_or_else(|| not_tables(at))?;
    let mut found = Vec::new();
    for item in list {
        let table = item.get_ref().as_table().ok_or_else(|| not_tables(item.span().start))?;
        let mut draft = OutputDraft::default();
        for (key, value) in table {
            let name: &str = key.get_ref();
            set(&mut draft, name, value.get_ref()).map_err(|wrong| {
                let span = if matches!(wrong, Wrong::Key) { key.span() } else { value.span() };
                WrongOutput { key: name.to_owned(), at: span.start, wrong }
            })?;
        }
        found.push(OutputTable { draft, place: place(item.span().start) });
    }
    Ok(found)
}

fn set(draft: &mut OutputDraft, key: &str, value: &DeValue<'_>) -> Result<(), Wrong> {
    match key {
        "type" => draft.target = Some(text(value)?),
        "name" => draft.name = Some(text(value)?),
        "url" => draft.url = Some(text(value)?),
        "headers" => draft.headers = Some(texts(value)?),
        "protocol" => draft.protocol = Some(text(value)?),
        "schema" => draft.schema = Some(text(value)?),
        "credentials" => draft.credentials = Some(text(value)?),
        "ca" => draft.ca = Some(text(value)?),
        "cert" => draft.cert = Some(text(value)?),
        "key" => draft.key = Some(text(value)?),
        "socket" => draft.socket = Some(text(value)?),
        "actions" => draft.actions = Some(texts(value)?),
        "deaths" => draft.deaths = Some(text(value)?),
        "pids" => draft.pids = Some(numbers(value)?),
        "subtree" => draft.subtree = Some(number(value)?),
        "comms" => draft.comms = Some(texts(value)?),
        "units" => draft.units = Some(texts(value)?),
        "containers" => draft.containers = Some(texts(value)?),
        "queue" => draft.queue = Some(number(value)?),
        "spill" => draft.spill = Some(text(value)?),
        "spill_size" => draft.spill_size = Some(text(value)?),
        _ => return Err(Wrong::Key),
    }
    Ok(())
}

fn numbers(value: &DeValue<'_>) -> Result<Vec<u32>, Wrong> {
    let wrong = || Wrong::Value("should be a list of whole numbers".into());
    let list = value.as_array().ok_or_else(wrong)?;
    list.iter().map(|item| number(item.get_ref()).map_err(|_| wrong())).collect()
}
