//! The SFTP server as partners use it: with OpenSSH's own `sftp` and `scp`, over loopback.
//!
//! Without OpenSSH on this machine each test says so in a line and passes, except with `CI=true`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use exports::sftp::{SftpConfig, SftpUser, host_key_fingerprint, serve};
use exports::{FileSpec, Owner, Rendered, load_format, publish, render, verify};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// Long enough to need many reads, windows and packets, and no multiple of any of them.
const LARGE_BYTES: usize = 5_000_003;

/// A running server with one account, `acme`, and the keys to it.
struct Server {
    dir: tempfile::TempDir,
    address: SocketAddr,
    fingerprint: String,
    stop: Arc<Notify>,
    runtime: Option<Runtime>,
    served: Option<tokio::task::JoinHandle<Result<(), exports::ExportsError>>>,
}

impl Server {
    fn start(deletable: bool) -> Option<Self> {
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
        let acme = SftpUser {
            name: "acme".to_owned(),
            authorized_keys: vec![public("good"), public("rsa"), public("ecdsa")],
            password_hash: Some(Argon2::default().hash_password(b"open sesame").unwrap().to_string()),
            root: dir.path().join("exports/resellers/acme"),
            deletable,
        };
        fs::create_dir_all(&acme.root).unwrap();
        fs::write(dir.path().join("exports/secret"), "another partner's calls").unwrap();

        let config = SftpConfig { host_key: dir.path().join("host_key"), ..SftpConfig::default() };
        let fingerprint = host_key_fingerprint(&config).unwrap();
        let runtime = Runtime::new().unwrap();
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let (address, served) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let users = move |name: &str| (name == acme.name).then(|| acme.clone());
            let served =
                tokio::spawn(serve(config, users, listener, async move { stopped.notified().await }));
            (address, served)
        });
        Some(Self { dir, address, fingerprint, stop, runtime: Some(runtime), served: Some(served) })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the account sees as `/`.
    fn root(&self) -> PathBuf {
        self.path("exports/resellers/acme")
    }

    fn publish(&self) -> Rendered {
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
    fn client(&self, program: &str, key: &str) -> Command {
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

    fn sftp_as(&self, user: &str, key: &str, batch: &str) -> Output {
        fs::write(self.path("batch"), batch).unwrap();
        self.client("sftp", key)
            .args(["-b", "batch", "-P", &self.address.port().to_string()])
            .arg(format!("{user}@127.0.0.1"))
            .output()
            .unwrap()
    }

    fn sftp(&self, batch: &str) -> Output {
        self.sftp_as("acme", "good", batch)
    }

    /// With a password, which OpenSSH asks a program for.
    fn sftp_with_password(&self, user: &str, password: &str) -> Output {
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
    let is_there = |program: &str| {
        std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).exists()))
    };
    let missing: Vec<_> =
        ["sftp", "scp", "ssh", "ssh-keygen"].into_iter().filter(|name| !is_there(name)).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing:?} missing: install openssh-client");
    println!("left out: {missing:?} missing; install openssh-client");
    false
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    text(output)
}

#[track_caller]
fn fails(output: &Output) -> String {
    assert!(!output.status.success(), "{}", text(output));
    text(output)
}

fn large() -> Vec<u8> {
    (0..LARGE_BYTES).map(|idx| u8::try_from((idx * idx / 7 + idx) % 251).unwrap()).collect()
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_partner_lists_and_fetches_its_file() {
    let Some(server) = Server::start(false) else { return };
    let rendered = server.publish();
    let shown = succeeds(&server.sftp("cd 202611/21\npwd\nls -l\nget calls.cdr fetched.cdr\n"));
    assert!(shown.contains("/202611/21"), "{shown}");
    assert!(shown.contains("-r--r-----") && shown.contains("calls.cdr"), "{shown}");
    let fetched = fs::read(server.path("fetched.cdr")).unwrap();
    assert_eq!(fetched, rendered.bytes);
    verify(&fetched).unwrap();
}

#[test]
fn a_tree_a_large_file_and_the_rest_of_a_broken_off_one_arrive_whole() {
    let Some(server) = Server::start(false) else { return };
    server.publish();
    fs::write(server.root().join("large"), large()).unwrap();
    fs::write(server.root().join("empty"), b"").unwrap();
    fs::create_dir(server.path("tree")).unwrap();
    fs::write(server.path("resumed"), &large()[..1_234_567]).unwrap();
    succeeds(&server.sftp("get -r / tree\nget -a large resumed\n"));
    assert!(fs::read(server.path("tree/large")).unwrap() == large(), "the tree's large file differs");
    assert!(fs::read(server.path("resumed")).unwrap() == large(), "the resumed file differs");
    assert_eq!(fs::read(server.path("tree/empty")).unwrap(), b"");
    assert_eq!(entries(&server.path("tree/202611/21")), ["calls.cdr"]);
}

#[test]
fn a_directory_longer_than_one_answer_is_listed_whole() {
    let Some(server) = Server::start(false) else { return };
    for number in 0..350 {
        fs::write(server.root().join(format!("f{number:03}.cdr")), "x").unwrap();
    }
    let shown = succeeds(&server.sftp("ls -1\n"));
    assert_eq!(shown.lines().filter(|line| line.contains(".cdr")).count(), 350);
}

#[test]
fn scp_fetches_too() {
    let Some(server) = Server::start(false) else { return };
    let rendered = server.publish();
    let output = server
        .client("scp", "good")
        .args(["-P", &server.address.port().to_string(), "acme@127.0.0.1:202611/21/calls.cdr", "copied"])
        .output()
        .unwrap();
    succeeds(&output);
    assert_eq!(fs::read(server.path("copied")).unwrap(), rendered.bytes);
}

#[test]
fn nothing_outside_the_root_can_be_fetched_or_seen() {
    let Some(server) = Server::start(true) else { return };
    symlink(server.path("exports/secret"), server.root().join("link")).unwrap();
    symlink(server.path("exports"), server.root().join("up")).unwrap();
    fs::write(server.root().join("now.cdr.part"), "half").unwrap();
    let secret = server.path("exports/secret");
    for path in
        ["../../secret", "/../../secret", "link", "up/secret", "now.cdr.part", secret.to_str().unwrap()]
    {
        let shown = fails(&server.sftp(&format!("get {path} stolen\n")));
        assert!(shown.contains("not found") || shown.contains("No such file"), "{path}: {shown}");
        fails(&server.sftp(&format!("rm {path}\n")));
    }
    assert!(!server.path("stolen").exists());
    assert!(secret.exists());
    let shown = succeeds(&server.sftp("ls -la\ncd ..\npwd\n"));
    assert!(!shown.contains("link") && !shown.contains("up") && !shown.contains("part"), "{shown}");
}

#[test]
fn nothing_can_be_written_renamed_or_linked() {
    let Some(server) = Server::start(true) else { return };
    server.publish();
    fs::write(server.path("mine"), "mine").unwrap();
    for line in [
        "put mine",
        "put mine 202611/21/calls.cdr",
        "mkdir new",
        "rmdir 202611",
        "rename 202611/21/calls.cdr gone",
        "chmod 777 202611/21/calls.cdr",
        "ln -s /etc/passwd link",
        "ln 202611/21/calls.cdr link",
    ] {
        fails(&server.sftp(&format!("{line}\n")));
    }
    assert_eq!(entries(&server.root()), ["202611"]);
    assert_eq!(entries(&server.root().join("202611/21")), ["calls.cdr"]);
}

#[test]
fn a_fetched_file_is_deleted_only_where_that_is_allowed() {
    for deletable in [false, true] {
        let Some(server) = Server::start(deletable) else { return };
        server.publish();
        let output = server.sftp("get 202611/21/calls.cdr fetched\nrm 202611/21/calls.cdr\n");
        assert_eq!(output.status.success(), deletable, "{}", text(&output));
        assert_eq!(server.root().join("202611/21/calls.cdr").exists(), !deletable);
    }
}

#[test]
fn a_wrong_key_and_an_unknown_user_are_refused_alike() {
    let Some(server) = Server::start(false) else { return };
    let alike = |output: &Output| fails(output).replace("nobody", "acme");
    let wrong_key = alike(&server.sftp_as("acme", "wrong", "ls\n"));
    let unknown = alike(&server.sftp_as("nobody", "good", "ls\n"));
    assert!(wrong_key.contains("Permission denied"), "{wrong_key}");
    assert_eq!(
        wrong_key.lines().filter(|line| line.contains("denied")).collect::<Vec<_>>(),
        unknown.lines().filter(|line| line.contains("denied")).collect::<Vec<_>>()
    );
}

#[test]
fn a_client_that_stays_is_shown_out_when_the_server_ends() {
    let Some(server) = Server::start(false) else { return };
    let mut client = server.client("sftp", "good");
    client.args(["-P", &server.address.port().to_string(), "acme@127.0.0.1"]);
    let mut client =
        client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(client.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("Connected to")), "the client never got in");
    // Ends when the server has let go of everybody.
    drop(server);
    assert!(said.any(|line| line.unwrap().contains("the server is ending")), "the client was not told why");
    drop(client.stdin.take());
    client.wait().unwrap();
}

#[test]
fn rsa_and_ecdsa_keys_open_too() {
    let Some(server) = Server::start(false) else { return };
    for key in ["rsa", "ecdsa"] {
        succeeds(&server.sftp_as("acme", key, "ls\n"));
    }
}

#[test]
fn an_address_that_keeps_failing_is_shut_out_even_with_the_right_key() {
    let Some(server) = Server::start(false) else { return };
    succeeds(&server.sftp("ls\n"));
    let attempts: Vec<_> = (0..10)
        .map(|_| {
            let mut client = server.client("ssh", "wrong");
            client.args(["-o", "BatchMode=yes", "-p", &server.address.port().to_string(), "acme@127.0.0.1"]);
            client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut attempt in attempts {
        assert!(!attempt.wait().unwrap().success());
    }
    // The server notices each departure a moment later than we do.
    let is_shut_out = (0..50).any(|_| !server.sftp("ls\n").status.success());
    assert!(is_shut_out);
}

#[test]
fn a_password_opens_where_one_is_set() {
    let Some(server) = Server::start(false) else { return };
    succeeds(&server.sftp_with_password("acme", "open sesame"));
    let shown = fails(&server.sftp_with_password("acme", "open barley"));
    assert!(shown.contains("Permission denied"), "{shown}");
    fails(&server.sftp_with_password("nobody", "open sesame"));
}

#[test]
fn there_is_no_shell_no_command_and_no_forwarding() {
    let Some(server) = Server::start(false) else { return };
    let port = server.address.port().to_string();
    for arguments in [vec!["acme@127.0.0.1"], vec!["acme@127.0.0.1", "cat", "/etc/passwd"]] {
        let output = server.client("ssh", "good").args(["-p", &port]).args(arguments).output().unwrap();
        assert!(fails(&output).contains("request failed"), "{}", text(&output));
    }
    let forward = format!("127.0.0.1:{port}");
    let output =
        server.client("ssh", "good").args(["-p", &port, "-W", &forward, "acme@127.0.0.1"]).output().unwrap();
    assert!(fails(&output).contains("administratively prohibited"), "{}", text(&output));
}

#[test]
fn the_fingerprint_is_the_one_clients_see() {
    let Some(server) = Server::start(false) else { return };
    let output = server
        .client("sftp", "good")
        .args(["-v", "-b", "/dev/null", "-P", &server.address.port().to_string(), "acme@127.0.0.1"])
        .output()
        .unwrap();
    let shown = succeeds(&output);
    assert!(shown.contains(&server.fingerprint), "{} not in {shown}", server.fingerprint);
}

#[test]
fn a_new_account_without_files_finds_an_empty_directory() {
    let Some(server) = Server::start(false) else { return };
    fs::remove_dir(server.root()).unwrap();
    succeeds(&server.sftp("ls -la\n"));
}
