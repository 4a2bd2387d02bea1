//! Hosts of the list from SRV records in the DNS (RFC 2782). The name servers are those of /etc/resolv.conf.

use std::{str::FromStr as _, time::Duration};

use domain::{
    base::{Message, Name, Rtype, iana::Rcode},
    rdata::Srv,
    resolv::StubResolver,
};
use tokio::time::timeout;

use crate::event_loop;

/// Returns the hosts and ports in the SRV records of a name as entries `HOST:PORT` of the list, each once, sorted. Priorities and
/// weights do not matter, because all hosts are asked.
pub(super) fn entries(name: &str, limit: Duration) -> Result<Vec<String>, String> {
    let question = Name::<Vec<u8>>::from_str(name)
        .map_err(|error| format!("--srv {}: it is no name: {error}", name.escape_debug()))?;
    let runtime = event_loop::start().map_err(|error| error.to_string())?;
    let answer = runtime.block_on(async {
        let resolver = StubResolver::new();
        timeout(limit, resolver.query((question, Rtype::SRV))).await
    });
    let answer = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            return Err(format!("--srv {name}: asking the name servers of /etc/resolv.conf: {error}"));
        }
        Err(_) => {
            let limit = crate::duration::text(limit);
            return Err(format!(
                "--srv {name}: the name servers of /etc/resolv.conf have not answered within {limit} (--timeout)"
            ));
        }
    };
    of_message(answer.for_slice(), name)
}

/// Returns the entries of an answer.
fn of_message(answer: &Message<[u8]>, name: &str) -> Result<Vec<String>, String> {
    let wrong = |what: &str| format!("--srv {name}: {what}");
    match answer.header().rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Err(wrong("this name does not exist (NXDOMAIN)")),
        code => return Err(wrong(&format!("the name server answers {code}"))),
    }
    let malformed = || wrong("the answer of the name server is malformed");
    // A CNAME may lead to the records.
    let owner = answer.canonical_name().ok_or_else(malformed)?;
    let records = answer.answer().map_err(|_| malformed())?.limit_to_in::<Srv<_>>();
    let mut entries = Vec::new();
    for record in records {
        let record = record.map_err(|_| malformed())?;
        if record.owner() != &owner {
            continue;
        }
        let srv = record.data();
        let target = srv.target().to_string();
        // A target that is the root means that there is no such service (RFC 2782).
        if !matches!(&*target, "" | ".") {
            entries.push(format!("{target}:{}", srv.port()));
        }
    }
    entries.sort_unstable();
    entries.dedup();
    if entries.is_empty() { Err(wrong("it has no SRV record with a host")) } else { Ok(entries) }
}

#[cfg(test)]
mod tests {
    use domain::base::{MessageBuilder, Ttl, iana::Class};

    use super::*;

    const NAME: &str = "_taskscope._tcp.example.org";

    fn name(text: &str) -> Name<Vec<u8>> {
        Name::from_str(text).unwrap()
    }

    fn of(rcode: Rcode, targets: &[(&str, u16)]) -> Result<Vec<String>, String> {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_rcode(rcode);
        let mut builder = builder.question();
        builder.push((name(NAME), Rtype::SRV)).unwrap();
        let mut builder = builder.answer();
        for (target, port) in targets {
            let srv = Srv::new(1, 2, *port, name(target));
            builder.push((name(NAME), Class::IN, Ttl::from_secs(60), srv)).unwrap();
        }
        let message = builder.into_message();
        of_message(message.for_slice(), NAME)
    }

    #[test]
    fn each_record_is_an_entry_of_the_list() {
        let found = of(
            Rcode::NOERROR,
            &[("node2.example.org", 9464), ("node1.example.org", 9753), ("node2.example.org", 9464)],
        );
        assert_eq!(found.unwrap(), ["node1.example.org:9753", "node2.example.org:9464"]);
    }

    #[test]
    fn a_name_without_hosts_is_an_error_with_the_reason() {
        for (answer, why) in [
            (of(Rcode::NXDOMAIN, &[]), "NXDOMAIN"),
            (of(Rcode::SERVFAIL, &[]), "SERVFAIL"),
            (of(Rcode::NOERROR, &[]), "no SRV record"),
            (of(Rcode::NOERROR, &[(".", 0)]), "no SRV record"),
        ] {
            let error = answer.unwrap_err();
            assert!(error.contains(why) && error.starts_with("--srv _taskscope"), "{error}");
        }
        assert!(entries("a..b", Duration::from_millis(10)).unwrap_err().contains("no name"));
    }
}
