//! Bytes as records of the ring, through the decoder into a lineage: any bytes, and records that are well-formed except for the
//! values of their fields.

use probe_common::{Header, Kind, Wire as _};
use taskscope::kernel::decode::decode;
use taskscope::lineage::id::Ktime;
use taskscope::lineage::{Config, Lineage};

/// One input.
pub(crate) fn run(bytes: &[u8]) {
    let mut lineage = Lineage::new(Config::default());
    let mut effects = Vec::new();
    let mut rest = bytes;
    while let Some((&shape, tail)) = rest.split_first() {
        let (record, tail) = if let Some(kind) = Kind::from_wire(u16::from(shape)) {
            let (body, tail) = tail.split_at(tail.len().min(kind.size()));
            (whole(kind, body), tail)
        } else {
            let (body, tail) = tail.split_at(tail.len().min(usize::from(shape)));
            (body.to_vec(), tail)
        };
        rest = tail;
        if let Ok(record) = decode(&record) {
            lineage.apply(&record, Ktime(record.at.0.min(1 << 50)), &mut effects);
            lineage.check().unwrap_or_else(|error| panic!("after {record:?}:\n{error}"));
            effects.clear();
        }
    }
}

/// Returns a record with a valid header. Its other bytes are `body`, filled up with zeros to the length of its kind.
fn whole(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut record = vec![0; kind.size()];
    record[..body.len()].copy_from_slice(body);
    let time = Header::read(&record).map_or(0, |header| header.boottime_ns);
    let header = Header { kind: kind as u16, cpu: 0, len: kind.size() as u32, boottime_ns: time >> 14 };
    // The buffer is always long enough.
    let _ = header.write(&mut record);
    record
}
