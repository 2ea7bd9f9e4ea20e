//! A real server that speaks S3, for the tests: versitygw, which keeps objects as files of a directory.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub(crate) const BUCKET: &str = "calls";
const KEY: &str = "test-key";
const SECRET: &str = "test-secret";

/// A bucket somewhere.
pub(crate) struct Bucket {
    pub(crate) endpoint: String,
    /// The directory of its objects.
    pub(crate) files: PathBuf,
}

impl Bucket {
    /// What is in a file of keys for it.
    pub(crate) fn keys() -> String {
        format!("[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    }
}

/// The server, killed when it is dropped.
pub(crate) struct Gateway {
    root: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Gateway {
    /// `None` where it is not installed; that is said.
    pub(crate) fn start() -> Option<Self> {
        if !program().is_file() {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "versitygw is missing");
            #[expect(clippy::print_stderr, reason = "whoever runs the tests is told what they leave out")]
            {
                eprintln!("left out: versitygw is not installed (scripts/setup.sh, need_versitygw)");
            }
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("objects").join(BUCKET)).unwrap();
        std::fs::create_dir_all(root.path().join("meta")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut gateway = Self { root, port, child: None };
        gateway.go_on();
        Some(gateway)
    }

    pub(crate) fn bucket(&self) -> Bucket {
        Bucket {
            endpoint: format!("http://127.0.0.1:{}", self.port),
            files: self.root.path().join("objects").join(BUCKET),
        }
    }

    /// Ends it as a power cut does.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it, or starts it again, on the same port and the same objects.
    pub(crate) fn go_on(&mut self) {
        let child = Command::new(program())
            .args(["--port", &format!("127.0.0.1:{}", self.port), "--keep-alive", "--quiet", "posix"])
            // Not every file system keeps what the server wants to write beside a file.
            .arg("--sidecar")
            .arg(self.root.path().join("meta"))
            .arg(self.root.path().join("objects"))
            .env("ROOT_ACCESS_KEY", KEY)
            .env("ROOT_SECRET_KEY", SECRET)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("versitygw does not listen");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop();
    }
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/versitygw/versitygw")
}
