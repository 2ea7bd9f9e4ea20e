//! A PostgreSQL server of this test's own, from Debian's package; gone with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The server. A shell ends it and removes its directory when our end of its standard input closes.
pub(crate) struct Postgres {
    dir: PathBuf,
    bin: PathBuf,
    _keeper: Child,
}

impl Postgres {
    /// Up and ready; `None`, with a word, where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        // Not below a private directory: the server's own user must get there.
        Self::start_below(&std::env::temp_dir())
    }

    /// The same with its files below `parent`, where every user may make some.
    pub(crate) fn start_below(parent: &Path) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let versions = std::fs::read_dir(Path::new("/usr/lib/postgresql")).ok();
        let bin = versions
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .filter(|bin| bin.join("initdb").exists())
            .max();
        let Some(bin) = bin else {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "PostgreSQL is not installed");
            eprintln!("left out: PostgreSQL is not installed");
            return None;
        };
        let name = format!("tollbook-house-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = parent.join(name);
        let script = format!(
            "set -e; umask 077; mkdir {dir}; cd {dir}; \
             {bin}/initdb -D data -U postgres -A trust -E UTF8 --locale=C > initdb.log 2>&1; \
             {bin}/pg_ctl -D data -l postgres.log -w -o \"-k {dir} -c listen_addresses=\" start > ctl.log 2>&1; \
             cat > /dev/null; {bin}/pg_ctl -D data -m immediate stop > ctl.log 2>&1 || true; cd /; rm -rf {dir}",
            dir = dir.display(),
            bin = bin.display()
        );
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        let mut command = Command::new(if is_root { "runuser" } else { "sh" });
        if is_root {
            // It refuses to run as root; the package brings a user for it.
            command.args(["-u", "postgres", "--", "sh"]);
        }
        let keeper = command
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { dir, bin, _keeper: keeper };
        for _ in 0..1_200 {
            if server.is_ready() {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("PostgreSQL did not start within 120 s; see {}", server.dir.display());
    }

    fn is_ready(&self) -> bool {
        Command::new(self.bin.join("pg_isready"))
            .arg("-q")
            .arg("-h")
            .arg(&self.dir)
            .status()
            .unwrap()
            .success()
    }

    /// For `store.url`.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.dir.display())
    }

    /// The address of another, empty database of the same server, which is made.
    pub(crate) fn another(&self, name: &str) -> String {
        let made = Command::new(self.bin.join("createdb"))
            .args(["-U", "postgres", "-h"])
            .arg(&self.dir)
            .arg(name)
            .status()
            .unwrap();
        assert!(made.success());
        format!("postgres://postgres@localhost/{name}?host={}", self.dir.display())
    }

    /// Has it begin new files of its log until it can do no more. What it could still write into the last one it could not commit without.
    pub(crate) fn use_up_its_log(&self) {
        let mut n_files = 0;
        loop {
            let done = Command::new(self.bin.join("psql"))
                .args(["-U", "postgres", "-h"])
                .arg(&self.dir)
                .args([
                    "-q",
                    "-c",
                    "SELECT pg_logical_emit_message(true, '', 'x')",
                    "-c",
                    "SELECT pg_switch_wal()",
                ])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            if !done.success() {
                return;
            }
            n_files += 1;
            assert!(n_files < 100, "its disk is not full");
        }
    }

    /// Restarts it as after a crash: nobody is asked to finish.
    pub(crate) fn crash_and_restart(&self) {
        let restart = format!(
            "cd {dir} && {bin}/pg_ctl -D data -l postgres.log -m immediate -w restart -o \"-k {dir} -c listen_addresses=\"",
            dir = self.dir.display(),
            bin = self.bin.display()
        );
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        let mut command = Command::new(if is_root { "runuser" } else { "sh" });
        if is_root {
            command.args(["-u", "postgres", "--", "sh"]);
        }
        let done =
            command.args(["-c", &restart]).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
        assert!(done.success());
    }
}
