//! What happens to machines: they die, stand still, are cut off, fill up, have their clocks set, and are lost for good. Each test ends with a
//! clean audit, and with one record for every call that the caller saw answered.

mod backup;
mod disk;
mod faults;
mod secrets;
mod storm;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::rig::printed;

/// A file system of some megabytes of its own. Where none may be made, which is no excuse with `CI=true`, there is `None`.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m,mode=1777"), "tmpfs"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "file systems may not be mounted here");
            eprintln!("left out: file systems may not be mounted here");
            return None;
        }
        Some(Self(at.to_owned()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Until nothing more fits.
    fn fill(&self) {
        let to = format!("of={}", self.filler().display());
        let filled = Command::new("dd").args(["if=/dev/zero", &to, "bs=64k"]).stderr(Stdio::null()).status();
        assert!(!filled.unwrap().success(), "there was room for everything");
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has files open there keeps them; nobody sees it any more.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The files below a directory whose names end so.
fn find(dir: &Path, end: &str) -> Vec<PathBuf> {
    let found = printed(Command::new("find").arg(dir).args(["-type", "f", "-name", &format!("*{end}")]));
    found.lines().map(PathBuf::from).collect()
}
