//! A running server with one account, `acme`, the keys to it, and OpenSSH's clients.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use exports::sftp::{EVENTS_WAITING_MAX, SftpConfig, SftpUser, TrailEvent, host_key_fingerprint, serve};
use exports::{FileSpec, Owner, Rendered, load_format, publish, render};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// A running server with one account, `acme`, and the keys to it.
pub(crate) struct Server {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) fingerprint: String,
    events: Arc<Mutex<Vec<TrailEvent>>>,
    stop: Arc<Notify>,
    runtime: Option<Runtime>,
    served: Option<tokio::task::JoinHandle<Result<(), exports::ExportsError>>>,
}

impl Server {
    /// Our files as `/`; deleting and renaming as given.
    pub(crate) fn start(deletable: bool) -> Option<Self> {
        Self::start_with(SftpConfig::default(), |user| {
            user.deletable = deletable;
        })
    }

    /// `out/ archive/ in/ ack/`, with everything allowed.
    pub(crate) fn exchange(config: SftpConfig) -> Option<Self> {
        Self::start_with(config, |user| {
            user.exchange = Some(user.root.join("../../../acme"));
            (user.deletable, user.renamable) = (true, true);
        })
    }

    pub(crate) fn start_with(config: SftpConfig, change: impl FnOnce(&mut SftpUser)) -> Option<Self> {
        if !has_openssh() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        for (key, kind) in [("good", "ed25519"), ("wrong", "ed25519"), ("rsa", "rsa"), ("ecdsa", "ecdsa")] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", kind, "-N", "", "-f"])
                .arg(dir.path().join(key))
                .status()
                .unwrap();
            assert!(made.success());
        }
        let public = |key| fs::read_to_string(dir.path().join(key).with_extension("pub")).unwrap();
        let mut acme = SftpUser {
            name: "acme".to_owned(),
            authorized_keys: vec![public("good"), public("rsa"), public("ecdsa")],
            password_hash: Some(Argon2::default().hash_password(b"open sesame").unwrap().to_string()),
            networks: Vec::new(),
            root: dir.path().join("exports/resellers/acme"),
            exchange: None,
            deletable: false,
            renamable: false,
        };
        change(&mut acme);
        fs::create_dir_all(&acme.root).unwrap();
        fs::write(dir.path().join("exports/secret"), "another partner's calls").unwrap();

        let config = SftpConfig { host_key: dir.path().join("host_key"), ..config };
        let fingerprint = host_key_fingerprint(&config).unwrap();
        let runtime = Runtime::new().unwrap();
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&events);
        let (address, served) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let users = move |name: &str| (name == acme.name).then(|| acme.clone());
            let (trail, mut waiting) = tokio::sync::mpsc::channel(EVENTS_WAITING_MAX);
            tokio::spawn(async move {
                while let Some(event) = waiting.recv().await {
                    told.lock().unwrap().push(event);
                }
            });
            let served =
                tokio::spawn(serve(config, users, trail, listener, async move { stopped.notified().await }));
            (address, served)
        });
        Some(Self { dir, address, fingerprint, events, stop, runtime: Some(runtime), served: Some(served) })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the account sees as `/`.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("exports/resellers/acme")
    }

    pub(crate) fn publish(&self) -> Rendered {
        let file = FileSpec {
            format: &load_format("reference-system").unwrap(),
            owner: Owner::System,
            owner_name: "system",
            stream: "main",
            way: "",
            name: "202611/21/calls.cdr",
            sequence: 1,
            created_at: "2026-11-21T12:00:00Z".parse().unwrap(),
            day: None,
            zone: chrono_tz::UTC,
        };
        let rendered = render(&file, &[]).unwrap();
        publish(&self.root(), &self.path("archive"), &rendered.name, &rendered.bytes).unwrap();
        rendered
    }

    /// An OpenSSH client with nothing from this machine's configuration, and its own list of known hosts.
    pub(crate) fn client(&self, program: &str, key: &str) -> Command {
        let mut command = Command::new(program);
        command.args([
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=accept-new",
            "-o",
            "NumberOfPasswordPrompts=1",
        ]);
        command.args([
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "ConnectTimeout=20",
            "-o",
            "GlobalKnownHostsFile=none",
        ]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", self.path("known_hosts").display()));
        command.arg("-o").arg(format!("IdentityFile={}", self.path(key).display()));
        command
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("SSH_ASKPASS")
            .stdin(Stdio::null())
            .current_dir(self.dir.path());
        command
    }

    pub(crate) fn sftp_as(&self, user: &str, key: &str, batch: &str) -> Output {
        fs::write(self.path("batch"), batch).unwrap();
        self.client("sftp", key)
            .args(["-b", "batch", "-P", &self.address.port().to_string()])
            .arg(format!("{user}@127.0.0.1"))
            .output()
            .unwrap()
    }

    pub(crate) fn sftp(&self, batch: &str) -> Output {
        self.sftp_as("acme", "good", batch)
    }

    /// With a password, which OpenSSH asks a program for.
    pub(crate) fn sftp_with_password(&self, user: &str, password: &str) -> Output {
        let ask = self.path("ask");
        fs::write(&ask, format!("#!/bin/sh\necho '{password}'\n")).unwrap();
        fs::set_permissions(&ask, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(self.path("batch"), "ls\n").unwrap();
        let mut command = self.client("sftp", "good");
        command.args(["-o", "PreferredAuthentications=password"]);
        command.args(["-P", &self.address.port().to_string()]);
        command.env("SSH_ASKPASS", ask).env("SSH_ASKPASS_REQUIRE", "force");
        // -b would forbid asking; the batch comes on standard input instead.
        command.stdin(fs::File::open(self.path("batch")).unwrap());
        command.arg(format!("{user}@127.0.0.1")).output().unwrap()
    }
}

impl Server {
    /// What was told, once `is_enough`: a session tells its last words after its client has gone.
    pub(crate) fn events(&self, is_enough: impl Fn(&[TrailEvent]) -> bool) -> Vec<TrailEvent> {
        for _ in 0..200 {
            let events = self.events.lock().unwrap().clone();
            if is_enough(&events) {
                return events;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server told only {:#?}", self.events.lock().unwrap());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let (Some(runtime), Some(served)) = (self.runtime.take(), self.served.take()) {
            let result = runtime.block_on(served);
            if !std::thread::panicking() {
                result.unwrap().unwrap();
            }
        }
    }
}

fn has_openssh() -> bool {
    have(&["sftp", "scp", "ssh", "ssh-keygen"], "openssh-client")
}

/// Whether programs are there. Missing ones leave a test out with a line; with `CI=true` that is a failure.
pub(crate) fn have(programs: &[&str], package: &str) -> bool {
    let is_there = |program: &str| {
        std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).exists()))
    };
    let missing: Vec<_> = programs.iter().filter(|name| !is_there(name)).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing:?} missing: install {package}");
    println!("left out: {missing:?} missing; install {package}");
    false
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
pub(crate) fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    text(output)
}

#[track_caller]
pub(crate) fn fails(output: &Output) -> String {
    assert!(!output.status.success(), "{}", text(output));
    text(output)
}
