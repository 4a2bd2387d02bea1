//! The report of a build with make and gcc.

use std::{fs, path::Path};

use taskscope_tests::{directory::Directory, setting};

use super::{Source, job};

fn is_there(program: &str) -> bool {
    Path::new("/usr/bin").join(program).exists()
}

/// Two libraries of three files each, and a program that needs both.
fn write_project(directory: &Path) {
    for library in ["one", "two"] {
        for file in 0..3 {
            let text = format!(
                "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint {library}{file}(int x) \
                 {{ char b[64]; snprintf(b, sizeof b, \"%d\", x); return (int)strlen(b) + {file}; }}\n"
            );
            fs::write(directory.join(format!("{library}{file}.c")), text).unwrap();
        }
    }
    fs::write(
        directory.join("main.c"),
        "int one0(int); int two2(int); int main(void) { return one0(1) + two2(1) - 4; }\n",
    )
    .unwrap();
    let makefile = "CFLAGS = -O2\nprogram: main.o libone.a libtwo.a\n\tgcc -o $@ $^\n\
                    libone.a: one0.o one1.o one2.o\n\tar rcs $@ $^\nlibtwo.a: two0.o two1.o two2.o\n\tar rcs $@ $^\n";
    fs::write(directory.join("Makefile"), makefile).unwrap();
}

#[test]
fn the_report_of_make_is_true() {
    if setting::skip_in_vm("a guest has no compiler") {
        return;
    }
    if !is_there("make") || !is_there("gcc") {
        setting::skip("there is no make or gcc here");
        return;
    }
    let directory = Directory::new("make");
    write_project(&directory.0);
    let path = directory.0.display().to_string();
    let command = ["make", "-s", "-j2", "-C", &path].map(str::to_owned);
    let page = directory.file("report.html");
    let picture = directory.file("lives.svg");
    let options = ["--args", "--report", page.to_str().unwrap(), "--timeline", picture.to_str().unwrap()];
    let job = job(&Source::Alone, "make-report", &options, &command);
    let stderr = String::from_utf8_lossy(&job.output.stderr);
    assert_eq!(job.output.status.code(), Some(0), "{stderr}");
    job.assert_whole();
    job.assert_equals_wait4();
    let programs = job.report["programs"].as_array().unwrap();
    let of = |name: &str| {
        let found = programs.iter().find(|program| program["name"].as_str().unwrap().ends_with(name));
        found.map_or(0, |program| program["execs"].as_u64().unwrap())
    };
    // One compiler for each of the seven files.
    assert_eq!((of("/cc1"), of("/as").max(of("-as"))), (7, 7), "{programs:?}");
    let steps = job.report["critical_path"]["steps"].as_array().unwrap();
    let names: Vec<_> = steps.iter().filter_map(|step| step["name"].as_str()).collect();
    // The program is linked last, by the linker that gcc runs.
    let last = names
        .iter()
        .rposition(|name| name.contains("ld"))
        .unwrap_or_else(|| panic!("no linker in {names:?}"));
    assert!(names[last..].contains(&"make"), "{names:?}");
    assert_eq!(job.report["leftovers"].as_array().map(Vec::len), Some(0));
    assert!(fs::read_to_string(&page).unwrap().contains("<h2>Critical path</h2>"));
    assert!(fs::read_to_string(&picture).unwrap().contains("<svg"));
}
