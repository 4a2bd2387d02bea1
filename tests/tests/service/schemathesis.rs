//! schemathesis, a program of another project, makes requests from the description of the API and checks each answer against it.

use std::{env, process::Command};

use taskscope_tests::{service::Service, setting};

/// The entry point of schemathesis as Python: in a virtual environment that was moved only the interpreter works, not the programs.
const MAIN: &str = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())";

/// How long schemathesis may take, s; `TASKSCOPE_SCHEMATHESIS_SECONDS=600` makes it longer.
const SECONDS: &str = "25";

#[test]
fn schemathesis_finds_no_answer_that_is_not_described() {
    if setting::in_vm() {
        setting::skip("a guest has no python, and the answers do not depend on the kernel");
        return;
    }
    let python = env::var_os("TASKSCOPE_SCHEMATHESIS").expect(
        "TASKSCOPE_SCHEMATHESIS names the python of a virtual environment with schemathesis; cargo xtask test makes one",
    );
    let seconds = env::var("TASKSCOPE_SCHEMATHESIS_SECONDS").unwrap_or_else(|_| SECONDS.into());
    let service = Service::start(&["--api-on-tcp"]);
    // The working directory, in which schemathesis stores its cache.
    let directory = taskscope_tests::service::directory();
    let output = Command::new(python)
        .args(["-c", MAIN, "run", &format!("http://{}/openapi.json", service.address())])
        .args(["--phases", "examples,coverage,fuzzing,stateful", "--max-time", &seconds])
        .args(["--request-timeout", "30", "--max-examples", "50", "--warnings", "off"])
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/schemathesis"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(&directory)
        .output()
        .unwrap_or_else(|error| panic!("starting schemathesis: {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let generated = text.lines().find(|line| line.contains(" generated"));
    println!("schemathesis: {}", generated.unwrap_or("the number of cases is unknown").trim());
    // The directory is one for temporary files, so it may stay.
    let _ = std::fs::remove_dir_all(directory);
    service.stop_clean();
}
