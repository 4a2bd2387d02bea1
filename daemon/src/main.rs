//! x
use taskscope::kernel::{ladder::Choice, object::Options, observer::Observer};
fn main() {
    let mut o = match Observer::start(Options { ring_bytes: 4 << 20, args: true }, Choice::Auto) { Ok(o) => o, Err(e) => { eprintln!("{e}"); std::process::exit(1) } };
    for h in &o.hooks { eprintln!("{h:#?}"); }
    eprintln!("{:?}", o.missing);
    let _ = std::process::Command::new("/bin/sh").arg("-c").arg("sleep 0.2; true & wait; /bin/echo hi").status();
    std::thread::sleep(std::time::Duration::from_millis(300));
    o.drain(10000, |r| println!("{r:?}"));
    println!("{:?}", o.totals());
}
