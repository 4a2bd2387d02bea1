//! Certificates for tests, made by openssl.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Runs a program in a directory.
#[track_caller]
pub fn run(directory: &Path, program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).current_dir(directory).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}: apt-get install openssl curl"))
}

#[track_caller]
fn openssl(directory: &Path, args: &str) {
    let output = run(directory, "openssl", &args.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes `NAME.crt` and `NAME.key` in a directory, signed by `authority`, valid for two days.
#[track_caller]
pub fn certificate(directory: &Path, authority: &str, name: &str, sans: &str) {
    certificate_for_days(directory, authority, name, sans, 2);
}

/// Makes `NAME.crt` and `NAME.key` in a directory, signed by `authority`. After 0 days the certificate has expired in the next second.
#[track_caller]
pub fn certificate_for_days(directory: &Path, authority: &str, name: &str, sans: &str, days: u32) {
    openssl(
        directory,
        &format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ),
    );
    let extensions = directory.join("ext");
    fs::write(&extensions, format!("subjectAltName={sans}\n"))
        .unwrap_or_else(|error| panic!("writing {}: {error}", extensions.display()));
    openssl(
        directory,
        &format!(
            "x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial -days {days} -extfile ext -out {name}.crt"
        ),
    );
}

/// Makes an authority with a certificate of its own.
#[track_caller]
pub fn authority(directory: &Path, name: &str) {
    openssl(
        directory,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.crt -days 2 -subj /CN={name}"
        ),
    );
}
