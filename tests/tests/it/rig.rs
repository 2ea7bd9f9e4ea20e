//! An installation of the built program in a directory of its own, on free ports, and the peers around it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Nothing here takes longer on a working system, however slow the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a peer is installed. A missing one leaves a test out with a line; with `CI=true` that is a failure.
pub(crate) fn have(program: &str) -> bool {
    let found =
        Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success();
    if !found {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{program} is not installed");
        eprintln!("left out: {program} is not installed");
    }
    found
}

/// The built program, beside this test's own binary.
pub(crate) fn tollbook_path() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("tollbook");
    assert!(path.exists(), "{} is not built; run `cargo build -p tollbook` first", path.display());
    path
}

/// A scenario of sipp's.
pub(crate) fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sipp").join(name)
}

/// Runs the program to its end.
pub(crate) fn tollbook(args: &[&str]) -> Output {
    Command::new(tollbook_path()).args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs a command that must succeed, and returns what it printed.
pub(crate) fn printed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// An address on `ip` whose port is free for UDP and TCP, and handed out to nobody else in this run.
pub(crate) fn free_address(ip: &str) -> SocketAddr {
    // Below the range from which the system gives out ports by itself.
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "no port is free");
        if UdpSocket::bind((ip, port)).is_ok() && TcpListener::bind((ip, port)).is_ok() {
            return SocketAddr::new(ip.parse().unwrap(), port);
        }
    }
}

/// Asks again until it is true.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[expect(clippy::disallowed_methods, reason = "a test waits for other processes by the clock on the wall")]
fn now() -> Instant {
    Instant::now()
}

/// A process that does not outlive its test.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap_or_else(|why| panic!("{command:?}: {why}")))
    }

    /// SIGKILL: no chance to tidy up.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_up(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// A signal by its name, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        printed(Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]));
    }

    /// SIGTERM, and a good end.
    pub(crate) fn stop(mut self) {
        printed(Command::new("kill").args(["-TERM", &self.0.id().to_string()]));
        let status = self.0.wait().unwrap();
        assert!(status.success(), "ended with {status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A fresh installation with the sample world.
pub(crate) struct Installation {
    dir: tempfile::TempDir,
    pub(crate) sip: SocketAddr,
    pub(crate) sftp: SocketAddr,
    pub(crate) web: SocketAddr,
    /// Where the two carriers' gateways must listen.
    pub(crate) carriers: [SocketAddr; 2],
}

impl Installation {
    /// `tollbook init`, free ports, a key for the operator's SFTP user, `tollbook import`.
    pub(crate) fn new() -> Self {
        Self::with_store("sqlite")
    }

    /// The same, in another database.
    pub(crate) fn with_store(url: &str) -> Self {
        Self::made(url, [free_address("127.0.0.2"), free_address("127.0.0.3")])
    }

    /// The same with the two carriers there.
    pub(crate) fn with_carriers(carriers: [SocketAddr; 2]) -> Self {
        Self::made("sqlite", carriers)
    }

    fn made(url: &str, carriers: [SocketAddr; 2]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("tollbook");
        let made = Self {
            dir,
            sip: free_address("127.0.0.1"),
            sftp: free_address("127.0.0.1"),
            web: free_address("127.0.0.1"),
            carriers,
        };
        printed(Command::new(tollbook_path()).arg("init").arg(&home));
        printed(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(made.key()));
        let public = std::fs::read_to_string(made.key().with_extension("pub")).unwrap();
        std::fs::write(
            made.config(),
            // sipp reads only the first challenge, and knows only MD5.
            format!(
                "[switch]\nlisten = \"{}\"\ndomain = \"sip.meridian.example\"\n\
                 digest_algorithms = [\"MD5\", \"SHA-256\"]\n[store]\nurl = \"{url}\"\n[web]\nlisten = \"{}\"\n\
                 [sftp.server]\nlisten = \"{}\"\n[[sftp.users]]\nname = \"operator\"\nfolder = \"system\"\nauthorized_keys = [\"{}\"]\n",
                made.sip,
                made.web,
                made.sftp,
                public.trim()
            ),
        )
        .unwrap();
        let world = home.join("world.toml");
        let text = std::fs::read_to_string(&world)
            .unwrap()
            .replace("127.0.0.2:5070", &made.carriers[0].to_string())
            .replace("127.0.0.3:5080", &made.carriers[1].to_string());
        std::fs::write(&world, text).unwrap();
        made.run_command(&["import", world.to_str().unwrap()]);
        made
    }

    /// Puts other text in place of some in the configuration.
    pub(crate) fn reconfigure(&self, what: &str, with: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(what), "{what} is not in {text}");
        std::fs::write(self.config(), text.replacen(what, with, 1)).unwrap();
    }

    /// Adds to the configuration.
    pub(crate) fn configure(&self, text: &str) {
        let mut file = std::fs::File::options().append(true).open(self.config()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("tollbook")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.home().join("tollbook.toml")
    }

    /// The operator's private key.
    pub(crate) fn key(&self) -> PathBuf {
        self.dir.path().join("operator_key")
    }

    /// `tollbook ARGS --config ...`, which must succeed.
    pub(crate) fn run_command(&self, args: &[&str]) -> String {
        printed(Command::new(tollbook_path()).args(args).arg("--config").arg(self.config()))
    }

    /// The rows of a query, as lines of CSV without their header.
    pub(crate) fn sql(&self, query: &str) -> Vec<String> {
        self.run_command(&["sql", "--format", "csv", query]).lines().skip(1).map(str::to_owned).collect()
    }

    /// `tollbook run`, up and listening.
    pub(crate) fn start(&self) -> Running {
        self.start_with(&[])
    }

    /// `tollbook run ARGS`, up.
    pub(crate) fn start_with(&self, args: &[&str]) -> Running {
        self.start_under(&[], args)
    }

    /// The same by another program that becomes it, such as `ip netns exec NAME` or `env NAME=VALUE`.
    pub(crate) fn start_under(&self, wrapper: &[&str], args: &[&str]) -> Running {
        let path = tollbook_path();
        let mut words: Vec<&std::ffi::OsStr> = wrapper.iter().map(AsRef::as_ref).collect();
        words.push(path.as_os_str());
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .arg("run")
            .args(args)
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::options().create(true).append(true).open(self.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_up = lines.by_ref().map(Result::unwrap).any(|line| line == "running");
        assert!(is_up, "not started:\n{}", std::fs::read_to_string(self.path().join("log")).unwrap());
        // Somebody has to read what else it prints.
        std::thread::spawn(move || for _ in lines.by_ref() {});
        Running(child)
    }
}

/// A file in `dir` with `text`.
pub(crate) fn write_file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path
}
