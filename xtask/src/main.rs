//! taskscope's build, test and release commands: `cargo xtask help` lists them.

fn main() {}
