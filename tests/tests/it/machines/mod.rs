//! What happens to machines: they die, stand still, are cut off, fill up, have their clocks set, and are lost for good. Each test ends with a
//! clean audit, and with one record for every call that the caller saw answered.

mod backup;
mod faults;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::printed;

/// The files below a directory whose names end so.
fn find(dir: &Path, end: &str) -> Vec<PathBuf> {
    let found = printed(Command::new("find").arg(dir).args(["-type", "f", "-name", &format!("*{end}")]));
    found.lines().map(PathBuf::from).collect()
}
