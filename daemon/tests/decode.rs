//! The decoder accepts any bytes: a complete record decodes to the same values, everything else is an error that names what is
//! wrong.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use probe_common::{
    ARGS_LEN, CgroupChanged, Exec, ExecArgs, Exited, Header, Kind, PATH_LEN, Released, Renamed, Settings,
    TaskId, TaskNew, Valid, Where, Wire,
};
use taskscope::{
    kernel::decode::{DecodeError, decode},
    lineage::record::{ExitSource, Fact, ReleaseSource},
};

fn header(kind: Kind) -> Header {
    Header { kind: kind as u16, cpu: 3, len: kind.size() as u32, boottime_ns: 1_000 }
}

fn bytes(record: &impl Wire, size: usize) -> Vec<u8> {
    let mut out = vec![0; size];
    record.write(&mut out).unwrap();
    out
}

/// Returns a record of `kind` that is zero except for its header and for fields in which 0 is not a valid value.
fn sample(kind: Kind) -> Vec<u8> {
    let mut out = vec![0_u8; kind.size()];
    header(kind).write(&mut out).unwrap();
    // Fields with a few valid values, of which 0 is none.
    let named_at = match kind {
        Kind::Exited => Some(std::mem::offset_of!(Exited, source)),
        Kind::Released => Some(std::mem::offset_of!(Released, source)),
        Kind::CgroupChanged => Some(std::mem::offset_of!(CgroupChanged, change)),
        _ => None,
    };
    if let Some(at) = named_at {
        out[at..at + 4].copy_from_slice(&1_u32.to_ne_bytes());
    }
    out
}

#[test]
fn a_record_of_every_kind_is_decoded() {
    for kind in Kind::ALL {
        let record = decode(&sample(kind)).unwrap_or_else(|error| panic!("{}: {error}", kind.name()));
        assert_eq!((record.at.0, record.cpu), (1_000, 3));
    }
}

#[test]
fn a_record_cut_anywhere_is_an_error_and_no_panic() {
    for kind in Kind::ALL {
        let whole = sample(kind);
        for len in 0..whole.len() {
            let error = decode(&whole[..len]).expect_err("a cut record was accepted");
            assert!(
                matches!(error, DecodeError::NoHeader(found) if found == len)
                    || matches!(error, DecodeError::Length { found, .. } if found == len),
                "{} cut to {len}: {error}",
                kind.name()
            );
        }
    }
}

#[test]
fn padding_after_the_record_is_no_part_of_it() {
    let mut longer = sample(Kind::Renamed);
    longer.extend_from_slice(&[0xff; 8]);
    assert!(decode(&longer).is_ok());
}

#[test]
fn a_header_that_lies_about_the_length_is_refused() {
    for len in [0, 1, Kind::Exec.size() as u32 - 1, Kind::Exec.size() as u32 + 1, u32::MAX] {
        let mut record = sample(Kind::Exec);
        Header { len, ..header(Kind::Exec) }.write(&mut record).unwrap();
        assert!(matches!(decode(&record), Err(DecodeError::Length { kind: "exec", .. })), "{len}");
    }
}

#[test]
fn unknown_kinds_and_sources_are_named() {
    let mut record = sample(Kind::Exited);
    record[0..2].copy_from_slice(&999_u16.to_ne_bytes());
    assert_eq!(decode(&record), Err(DecodeError::UnknownKind(999)));
    let mut record = sample(Kind::Exited);
    record[std::mem::offset_of!(Exited, source)] = 77;
    assert_eq!(decode(&record), Err(DecodeError::Value { kind: "exited", field: "source", value: 77 }));
}

#[test]
fn a_field_without_its_bit_is_unknown_and_not_zero() {
    let Fact::New(new) = decode(&sample(Kind::TaskNew)).unwrap().fact else { panic!("not a new task") };
    assert_eq!((new.parent, new.creator, new.clone_flags, new.exit_signal), (None, None, None, None));
    assert_eq!((new.place.cgroup_id, new.place.namespace, new.place.credentials), (None, None, None));

    let id = TaskId { tid: 7, tgid: 7, start_ns: 70 };
    let place = Where { cgroup_id: 9, vtid: 1, vtgid: 1, pid_ns: 42, ns_level: 1, uid: 5, euid: 0 };
    let all = TaskNew {
        header: header(Kind::TaskNew),
        task: id,
        creator: id,
        parent: id,
        clone_flags: 0x100,
        place,
        exit_signal: 0,
        task_flags: 0,
        comm: *b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        valid: u32::MAX,
        pad: 0,
        leader_start_ns: 70,
    };
    let Fact::New(new) = decode(&bytes(&all, Kind::TaskNew.size())).unwrap().fact else {
        panic!("not a new task")
    };
    assert_eq!((new.exit_signal, new.task_flags, new.clone_flags), (Some(0), Some(0), Some(0x100)));
    assert_eq!(new.place.credentials, Some((5, 0)));
    assert_eq!(new.comm.unwrap().bytes(), b"sh");
}

#[test]
fn a_path_is_turned_round_and_a_full_buffer_counts_as_cut() {
    let mut exec: Exec = Exec::read(&sample(Kind::Exec)).unwrap();
    exec.valid = Valid::PATH | Valid::EXECUTABLE;
    exec.executable[..11].copy_from_slice(b"sh\0bin\0usr\0");
    exec.executable_len = 11;
    exec.path[..2].copy_from_slice(b"sh");
    exec.path_len = 2;
    let Fact::Exec(decoded) = decode(&bytes(&exec, Kind::Exec.size())).unwrap().fact else {
        panic!("not an exec")
    };
    assert_eq!(decoded.executable.as_deref(), Some(&b"/usr/bin/sh"[..]));
    assert_eq!(decoded.path.as_deref(), Some(&b"sh"[..]));
    assert!(!decoded.truncated);

    exec.path = [b'a'; PATH_LEN];
    exec.path_len = PATH_LEN as u16 - 1;
    let Fact::Exec(decoded) = decode(&bytes(&exec, Kind::Exec.size())).unwrap().fact else {
        panic!("not an exec")
    };
    assert!(decoded.truncated);
}

#[test]
fn lengths_inside_a_record_cannot_reach_beyond_it() {
    let mut args: ExecArgs = ExecArgs::read(&sample(Kind::ExecArgs)).unwrap();
    args.len = u32::MAX;
    let Fact::ExecArgs(decoded) = decode(&bytes(&args, Kind::ExecArgs.size())).unwrap().fact else {
        panic!()
    };
    assert!(decoded.args.iter().map(Vec::len).sum::<usize>() <= ARGS_LEN);
    let mut exec: Exec = Exec::read(&sample(Kind::Exec)).unwrap();
    (exec.path_len, exec.executable_len, exec.valid) = (u16::MAX, u16::MAX, u32::MAX);
    assert!(decode(&bytes(&exec, Kind::Exec.size())).is_ok());
}

#[test]
fn arguments_are_split_at_their_nuls_and_empty_ones_kept() {
    let mut args: ExecArgs = ExecArgs::read(&sample(Kind::ExecArgs)).unwrap();
    args.args[..8].copy_from_slice(b"ls\0\0-l\0\0");
    args.len = 8;
    let Fact::ExecArgs(decoded) = decode(&bytes(&args, Kind::ExecArgs.size())).unwrap().fact else {
        panic!()
    };
    assert_eq!(decoded.args, [&b"ls"[..], b"", b"-l", b""]);
}

#[test]
fn sources_keep_their_meaning() {
    for (number, source) in [
        (1, ExitSource::ExitNotify),
        (2, ExitSource::ProcExitConnector),
        (3, ExitSource::DoTaskDead),
        (4, ExitSource::FinalSwitch),
    ] {
        let mut record = sample(Kind::Exited);
        record[std::mem::offset_of!(Exited, source)] = number;
        let Fact::Exited(exited) = decode(&record).unwrap().fact else { panic!() };
        assert_eq!(exited.source, source);
    }
    for (number, source) in
        [(1, ReleaseSource::Entry), (2, ReleaseSource::SecondTurn), (3, ReleaseSource::Free)]
    {
        let mut record = sample(Kind::Released);
        record[std::mem::offset_of!(Released, source)] = number;
        let Fact::Released(released) = decode(&record).unwrap().fact else { panic!() };
        assert_eq!(released.source, source);
    }
}

#[test]
fn names_may_hold_any_byte_but_nul() {
    let renamed = Renamed {
        header: header(Kind::Renamed),
        task: TaskId { tid: 1, tgid: 1, start_ns: 1 },
        old: [0; 16],
        new: *b"\x1b[2J\xff\n\"\\\t12345\0\0",
        valid: 0,
        pad: 0,
    };
    let Fact::Renamed(decoded) = decode(&bytes(&renamed, Kind::Renamed.size())).unwrap().fact else {
        panic!()
    };
    assert_eq!(decoded.new.bytes(), b"\x1b[2J\xff\n\"\\\t12345");
}

#[test]
fn what_is_written_is_what_is_read() {
    let settings = Settings {
        args: 1,
        shed_details_above: 2,
        shed_threads_above: 3,
        shed_signals_above: 4,
        signals: 5,
        pad: 6,
    };
    let mut out = [0; Settings::SIZE];
    settings.write(&mut out).unwrap();
    assert_eq!(Settings::read(&out), Some(settings));
    assert_eq!(settings.write(&mut out[1..]), None);
}
