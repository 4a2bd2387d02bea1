//! Creates the manual page taskscope.toml(5) from the configuration file of the packages, which has each key with its default and its
//! description.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};

/// A key, or several that belong together, with a description.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    keys: Vec<String>,
    text: String,
}

/// Creates the page of the file `config`; `version` is shown at its foot.
pub(super) fn page(config: &str, version: &str) -> Result<String> {
    let (about, rest) =
        config.split_once("\n\n").context("a comment on the whole file, then an empty line")?;
    let about = text_of(about);
    let (file, about) = about.split_once(": ").context("the name of the file and a colon")?;
    let mut page = format!(".TH TASKSCOPE.TOML 5 \"\" \"taskscope {version}\"\n");
    let _ = write!(
        page,
        ".SH NAME\ntaskscope.toml \\- settings of the daemon\n.SH SYNOPSIS\n.B {}\n",
        roff(file)
    );
    let _ = write!(page, ".SH DESCRIPTION\nThis file, in TOML, has the {}\n", roff(about));
    page.push_str(".SH KEYS\n");
    for entry in entries(rest)? {
        for (n, key) in entry.keys.iter().enumerate() {
            let _ = writeln!(page, "{}\n.B {}", if n == 0 { ".TP" } else { ".TQ" }, roff(key));
        }
        let _ = writeln!(page, "{}", roff(&entry.text));
    }
    page.push_str(".SH SEE ALSO\n.BR taskscope\\-run (1),\n.BR systemd.service (5)\n");
    Ok(page)
}

/// Parses the keys of the file. Each block is a comment followed by keys; empty lines separate blocks.
fn entries(text: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        // A comment has a blank after `#`; a key that is not set has none.
        let (comment, keys): (Vec<_>, Vec<_>) = block.lines().partition(|line| line.starts_with("# "));
        let keys: Vec<_> = keys.iter().map(|key| key.trim_start_matches('#').trim().to_owned()).collect();
        ensure!(!comment.is_empty(), "keys without a comment: {block}");
        ensure!(
            !keys.is_empty() && keys.iter().all(|key| key.contains(" = ")),
            "a comment without keys: {block}"
        );
        entries.push(Entry { keys, text: text_of(&comment.join("\n")) });
    }
    Ok(entries)
}

/// Returns the words of a comment.
fn text_of(comment: &str) -> String {
    comment.lines().map(|line| line.trim_start_matches('#').trim()).collect::<Vec<_>>().join(" ")
}

/// Escapes text for roff.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_with_its_default_and_what_it_does() {
        let entries =
            entries("# What it is,\n# in two lines.\n#key = \"x\"\n\n# Both.\n#a = 1\n#b = 2\n").unwrap();
        let expected =
            Entry { keys: vec!["key = \"x\"".to_owned()], text: "What it is, in two lines.".to_owned() };
        assert_eq!(entries[0], expected);
        assert_eq!(entries[1].keys, ["a = 1", "b = 2"]);
    }

    #[test]
    fn a_key_without_a_comment_is_an_error() {
        assert!(entries("#key = 1\n").is_err());
        assert!(entries("# A comment alone.\n").is_err());
    }

    #[test]
    fn the_page_of_the_shipped_file_has_every_key() {
        let config = include_str!("../../../packaging/taskscope.toml");
        let page = page(config, "1.2.3").unwrap();
        for key in
            config.lines().filter_map(|line| line.strip_prefix('#')?.split_once(" = ")).map(|(key, _)| key)
        {
            if !key.starts_with(' ') {
                assert!(page.contains(&format!("\n.B {key} = ")), "{key} is missing: {page}");
            }
        }
        assert!(page.contains(".SH NAME\ntaskscope.toml \\- "), "{page}");
    }
}
