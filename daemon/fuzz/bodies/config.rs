//! Bytes as a configuration file. If it is accepted, the settings are shown as a file that has the same meaning; if not, the error
//! names a line that exists.

use taskscope::service::config::Partial;

/// One input.
pub(crate) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Partial::parse("fuzz", &text) {
        Ok(partial) => {
            let Ok(settings) = partial.settle() else { return };
            let shown = settings.to_string();
            let again = Partial::parse("shown", &shown).expect("what is shown is a configuration");
            assert_eq!(again.settle().expect("and it can be settled"), settings, "{shown}");
        }
        Err(error) => {
            let error = error.to_string();
            let line =
                error.strip_prefix("fuzz: line ").and_then(|rest| rest.split(':').next()?.parse().ok());
            let lines = text.matches('\n').count() + 1;
            assert!(line.is_some_and(|line: usize| (1..=lines).contains(&line)), "{error}");
        }
    }
}
