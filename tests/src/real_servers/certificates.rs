//! Certificates for tests, made by openssl.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::wait;

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

/// Makes `NAME.crt` and `NAME.key` in a directory, signed by `authority`. For 0 days, waits until the certificate has expired.
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
    if days == 0 {
        // It is valid to the end of the second in which it was made. `-checkend 0` would not wait for that end.
        let file = format!("{name}.crt");
        wait::until_ok(|| {
            let checked = run(directory, "openssl", &["x509", "-checkend", "-1", "-noout", "-in", &file]);
            if checked.status.success() { Err(format!("{file} has not expired")) } else { Ok(()) }
        });
    }
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
