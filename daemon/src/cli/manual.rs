//! Man pages and shell completions, from the same source as `--help`.

use std::fmt::Write as _;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, exit::Exit, output};

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Write a page for each subcommand into this directory, instead of the page of taskscope to standard output
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionArgs {
    /// The shell
    shell: Shell,
}

/// Runs `man`.
pub(super) fn man(args: &ManArgs) -> Exit {
    let outcome = match &args.directory {
        None => page(command()).and_then(|page| output::print(&page)),
        Some(directory) => pages(directory),
    };
    let place = args.directory.as_deref().unwrap_or(Path::new("standard output"));
    match outcome {
        Ok(()) => Exit::Success,
        Err(error) => {
            log::error!("writing the manual to {}: {error}", place.display());
            Exit::Failure
        }
    }
}

/// Runs `completions`.
pub(super) fn completions(args: &CompletionArgs) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "taskscope", &mut text);
    output::answer(&String::from_utf8_lossy(&text)).into()
}

/// Returns the command line without hidden options.
fn command() -> Command {
    Cli::command().disable_help_subcommand(true)
}

/// `taskscope.1`, and `taskscope-SUBCOMMAND.1` for each, also for those of `fleet`.
fn pages(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut whole = command();
    // Passes global arguments on to the subcommands.
    whole.build();
    for subcommand in whole.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        let name = format!("taskscope-{}", subcommand.get_name());
        let called = format!("taskscope {}", subcommand.get_name());
        for nested in subcommand.get_subcommands() {
            let (name, called) =
                (format!("{name}-{}", nested.get_name()), format!("{called} {}", nested.get_name()));
            write_page(directory, nested, &name, &called)?;
        }
        write_page(directory, subcommand, &name, &called)?;
    }
    fs::write(directory.join("taskscope.1"), page(whole)?)
}

fn write_page(directory: &Path, of: &Command, name: &str, called: &str) -> io::Result<()> {
    let titled = of.clone().display_name(name).bin_name(called);
    fs::write(directory.join(format!("{name}.1")), page(titled)?)
}

/// Returns a page; examples and exit codes keep their lines.
fn page(command: Command) -> io::Result<String> {
    let examples = command.get_after_help().map(ToString::to_string);
    let mut text = Vec::new();
    let manual = clap_mangen::Man::new(command.after_help(None::<&str>));
    manual.render(&mut text)?;
    let mut page = String::from_utf8_lossy(&text).into_owned();
    for paragraph in examples.iter().flat_map(|examples| examples.split("\n\n")) {
        let (title, lines) = match paragraph.split_once('\n') {
            Some((title, lines)) if title.ends_with(':') && lines.starts_with(' ') => (title, lines),
            _ => ("Notes:", paragraph),
        };
        let _ = writeln!(page, ".SH \"{}\"", title.trim_end_matches(':').to_uppercase());
        let as_it_is = title != "Notes:";
        page.push_str(if as_it_is { ".nf\n" } else { ".PP\n" });
        for line in lines.lines() {
            page.push_str(&roff(line));
            page.push('\n');
        }
        page.push_str(if as_it_is { ".fi\n" } else { "" });
    }
    Ok(page)
}

/// Returns a line that roff takes as text.
fn roff(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All subcommands that are shown, and theirs, with the global arguments.
    fn all() -> Vec<Command> {
        let mut whole = command();
        whole.build();
        let shown: Vec<&Command> = whole.get_subcommands().filter(|it| !it.is_hide_set()).collect();
        shown.iter().copied().chain(shown.iter().flat_map(|it| it.get_subcommands())).cloned().collect()
    }

    #[test]
    fn every_subcommand_has_a_page_with_its_examples() {
        for subcommand in &all() {
            let name = subcommand.get_name().to_owned();
            let page = page(subcommand.clone()).unwrap();
            assert!(page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{name}: {page}");
        }
        let whole = command();
        for subcommand in whole.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
            // The views of `replay` are in its own examples.
            let nested = subcommand.get_subcommands().filter(|_| subcommand.is_subcommand_required_set());
            for with_examples in std::iter::once(subcommand).chain(nested) {
                let page = page(with_examples.clone()).unwrap();
                assert!(page.contains(".SH \"EXAMPLES\""), "{} has no examples", with_examples.get_name());
            }
        }
        assert!(page(command()).unwrap().contains(".SH \"EXIT CODES\""));
    }

    #[test]
    fn every_argument_says_what_it_is() {
        for subcommand in &all() {
            let name = subcommand.get_name().to_owned();
            assert!(subcommand.get_about().is_some(), "{name} says nothing");
            for argument in subcommand.get_arguments() {
                let says = argument.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!says.is_empty(), "{name} {} says nothing", argument.get_id());
                for value in argument.get_possible_values() {
                    let is_plain = argument.get_id() == "shell" || argument.is_hide_possible_values_set();
                    let is_flag = !argument.get_action().takes_values();
                    assert!(
                        is_plain || is_flag || value.get_help().is_some(),
                        "{name} {} {} says nothing",
                        argument.get_id(),
                        value.get_name()
                    );
                }
            }
        }
    }

    #[test]
    fn what_roff_takes_for_a_request_is_escaped() {
        assert_eq!(roff(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(roff("'x' \\n --y"), "\\&'x' \\en \\-\\-y");
    }

    #[test]
    fn completions_name_every_subcommand() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command(), "taskscope", &mut text);
            let text = String::from_utf8_lossy(&text).into_owned();
            for subcommand in command().get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
                assert!(text.contains(subcommand.get_name()), "{shell}: {}", subcommand.get_name());
            }
        }
    }
}
