//! Generates the Rust form of `proto/tollbook/v1/record.proto`, without a `protoc` on the machine.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["tollbook/v1/record.proto"], ["proto"])?;
    // A record is moved about a few times: so it is no larger than its usual bodies.
    let mut config = prost_build::Config::new();
    for large in ["Record.body.cdr", "Record.body.rated", "Record.body.sighting", "CallEvent.body.attempt"] {
        config.boxed(format!(".tollbook.v1.{large}"));
    }
    config.compile_fds(files)?;
    Ok(())
}
