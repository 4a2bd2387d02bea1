//! What standard output supports: its width, colours, Unicode lines.

use std::{env, io::IsTerminal as _};

use crate::{answer::text::Style, export::Zone};

/// Returns the style for standard output. There are colours and a width only on a terminal; `NO_COLOR` (no-color.org) turns
/// colours off.
pub(in crate::cli) fn style() -> Style {
    let is_terminal = std::io::stdout().is_terminal();
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
    Style {
        width: width(is_terminal),
        colour: is_terminal && !is_dumb && !is_set("NO_COLOR"),
        unicode: is_utf8(|name| env::var(name).ok()),
        zone: Zone::Local,
    }
}

/// Clears a terminal before it is redrawn; does nothing to other files.
pub(in crate::cli) fn clear() {
    if std::io::stdout().is_terminal() {
        // The next write to the same file reports the error.
        let _ = super::output::print("\x1b[H\x1b[2J\x1b[3J");
    }
}

/// `COLUMNS` is used even if there is no terminal, such as under watch(1).
fn width(is_terminal: bool) -> Option<usize> {
    let columns =
        env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|&width| width > 0);
    let of_terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    columns.or_else(|| if is_terminal { of_terminal() } else { None })
}

/// Whether text is UTF-8, by the first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set (locale(7)).
fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()))
        .is_some_and(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_locale_that_is_set_decides() {
        let of = |all: Option<&str>, lang: Option<&str>| {
            let (all, lang) = (all.map(str::to_owned), lang.map(str::to_owned));
            is_utf8(move |name| match name {
                "LC_ALL" => all.clone(),
                "LANG" => lang.clone(),
                _ => None,
            })
        };
        assert!(of(None, Some("de_DE.UTF-8")));
        assert!(of(Some("C.utf8"), Some("C")));
        assert!(!of(Some("C"), Some("de_DE.UTF-8")));
        assert!(!of(None, None));
    }
}
