//! The SFTP server with the other clients that partners use: lftp, paramiko, rclone and, where the system lets us mount,
//! sshfs.
//!
//! A client that is not installed leaves its test out with a line, except with `CI=true`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[expect(dead_code, reason = "made for all tests of the server")]
mod rig;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use exports::sftp::{SftpConfig, TrailAction};
use rig::{Server, have, succeeds};

/// Where Debian's paramiko is; another python first in the path does not know it.
const PYTHON: &str = "/usr/bin/python3";

/// A server with a file of ours, a large one, and one to be put.
fn server() -> Option<(Server, Vec<u8>)> {
    let server = Server::exchange(SftpConfig::default())?;
    server.publish();
    let large: Vec<u8> =
        (0..3_000_001_u32).map(|idx| u8::try_from(idx.wrapping_mul(idx / 7 + 1) % 251).unwrap()).collect();
    fs::write(server.root().join("large"), &large).unwrap();
    fs::write(server.path("deck.csv"), "rates\n").unwrap();
    Some((server, large))
}

/// What each client must have come to: the large file fetched whole, its own put, ours put away.
fn check(server: &Server, large: &[u8], fetched: &Path) {
    assert!(fs::read(fetched).unwrap() == large, "the fetched file differs");
    assert_eq!(fs::read(server.path("acme/in/deck.csv")).unwrap(), b"rates\n");
    let is_whole = |action: &TrailAction| match action {
        TrailAction::Fetched { path, size, n_bytes, .. } => path == "/out/large" && size == n_bytes,
        TrailAction::Login { .. }
        | TrailAction::Refused { .. }
        | TrailAction::Banned { .. }
        | TrailAction::Listed { .. }
        | TrailAction::Put { .. }
        | TrailAction::Renamed { .. }
        | TrailAction::Deleted { .. } => false,
    };
    server.events(|events| events.iter().any(|event| is_whole(&event.action)));
}

#[test]
fn lftp_mirrors_resumes_and_puts() {
    if !have(&["lftp"], "lftp") {
        return;
    }
    let Some((server, large)) = server() else { return };
    fs::write(server.path("part"), &large[..1_000_000]).unwrap();
    let ssh = format!(
        "ssh -a -x -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -i {}",
        server.path("good").display()
    );
    let script = format!(
        "set sftp:connect-program \"{ssh}\"; set net:max-retries 1; set cmd:fail-exit yes;\n\
         open -u acme, -p {} sftp://127.0.0.1\nls out\nmirror out mirrored\nget -c out/large -o part\n\
         mv out/202611/21/calls.cdr archive/calls.cdr\nput -O in deck.csv\nls in\n\
         put -O ack deck.csv\nmv ack/deck.csv ack/1.ack\ncat ack/1.ack\nrm ack/1.ack\n",
        server.address.port()
    );
    fs::write(server.path("script"), script).unwrap();
    let output = Command::new("lftp")
        .args(["--norc", "-f", "script"])
        .env("HOME", server.dir.path())
        .current_dir(server.dir.path())
        .output()
        .unwrap();
    succeeds(&output);
    assert!(fs::read(server.path("part")).unwrap() == large, "the resumed file differs");
    assert!(server.path("acme/archive/calls.cdr").exists());
    check(&server, &large, &server.path("mirrored/large"));
}

#[test]
fn paramiko_reads_ahead_and_puts() {
    let has_paramiko =
        Command::new(PYTHON).args(["-c", "import paramiko"]).output().is_ok_and(|out| out.status.success());
    if !has_paramiko {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "install python3-paramiko");
        println!("left out: paramiko is missing; install python3-paramiko");
        return;
    }
    let Some((server, large)) = server() else { return };
    fs::write(server.path("part"), &large[..1_000_000]).unwrap();
    let script = r#"
import sys, paramiko
key = paramiko.RSAKey.from_private_key_file("rsa")
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect("127.0.0.1", port=int(sys.argv[1]), username="acme", pkey=key, allow_agent=False, look_for_keys=False)
sftp = client.open_sftp()
assert sorted(sftp.listdir("/")) == ["ack", "archive", "in", "out"], sftp.listdir("/")
sftp.get("out/large", "fetched")
attributes = sftp.put("deck.csv", "in/deck.csv")
assert attributes.st_size == 6, attributes
with sftp.open("out/large", "rb") as rest:
    rest.seek(1000000)
    rest.prefetch()
    with open("part", "ab") as part:
        part.write(rest.read())
sftp.rename("out/202611/21/calls.cdr", "archive/calls.cdr")
sftp.put("deck.csv", "ack/1.ack")
sftp.rename("ack/1.ack", "ack/2.ack")
assert sftp.listdir("ack") == ["2.ack"], sftp.listdir("ack")
sftp.remove("ack/2.ack")
for refused in [lambda: sftp.put("deck.csv", "out/deck.csv"), lambda: sftp.mkdir("in/x"), lambda: sftp.symlink("/etc/passwd", "in/l")]:
    try:
        refused()
    except (IOError, OSError):
        continue
    raise SystemExit("what is forbidden was done")
password = paramiko.SSHClient()
password.set_missing_host_key_policy(paramiko.AutoAddPolicy())
password.connect("127.0.0.1", port=int(sys.argv[1]), username="acme", password="open sesame", allow_agent=False, look_for_keys=False)
password.close()
client.close()
"#;
    fs::write(server.path("script.py"), script).unwrap();
    let output = Command::new(PYTHON)
        .args(["-W", "ignore", "script.py", &server.address.port().to_string()])
        .current_dir(server.dir.path())
        .output()
        .unwrap();
    succeeds(&output);
    assert!(fs::read(server.path("part")).unwrap() == large, "the resumed file differs");
    assert!(server.path("acme/archive/calls.cdr").exists());
    assert_eq!(fs::read_dir(server.path("acme/ack")).unwrap().count(), 0);
    check(&server, &large, &server.path("fetched"));
}

#[test]
fn rclone_copies_checks_and_puts() {
    if !have(&["rclone"], "rclone") {
        return;
    }
    let Some((server, large)) = server() else { return };
    let rclone = |arguments: &[&str]| {
        let output = Command::new("rclone")
            .args(["--config", "/dev/null", "--sftp-host", "127.0.0.1", "--sftp-user", "acme"])
            .args(["--sftp-port", &server.address.port().to_string(), "--retries", "1"])
            .args(["--sftp-key-file", server.path("good").to_str().unwrap(), "--sftp-shell-type", "none"])
            .args(arguments)
            .current_dir(server.dir.path())
            .output()
            .unwrap();
        succeeds(&output)
    };
    let shown = rclone(&["lsf", ":sftp:out"]);
    assert!(shown.contains("large") && shown.contains("202611/"), "{shown}");
    rclone(&["copy", ":sftp:out", "copied"]);
    rclone(&["copy", "deck.csv", ":sftp:in"]);
    // A part of a file, as it fetches large ones.
    let part = rclone(&["cat", "--offset", "2999000", ":sftp:out/large"]);
    assert_eq!(part.len(), String::from_utf8_lossy(&large[2_999_000..]).len());
    rclone(&["copyto", "deck.csv", ":sftp:ack/1.ack"]);
    rclone(&["moveto", ":sftp:ack/1.ack", ":sftp:ack/2.ack"]);
    rclone(&["deletefile", ":sftp:ack/2.ack"]);
    assert_eq!(fs::read_dir(server.path("acme/ack")).unwrap().count(), 0);
    // Says nothing when all is the same.
    rclone(&["check", "--size-only", ":sftp:out", "copied"]);
    rclone(&["moveto", ":sftp:out/202611/21/calls.cdr", ":sftp:archive/calls.cdr"]);
    assert!(server.path("acme/archive/calls.cdr").exists());
    check(&server, &large, &server.path("copied/large"));
}

#[test]
fn sshfs_mounts_where_the_system_lets_it() {
    if !have(&["sshfs", "fusermount"], "sshfs") {
        return;
    }
    let Some((server, large)) = server() else { return };
    let mounted = server.path("mounted");
    fs::create_dir(&mounted).unwrap();
    let output = Command::new("sshfs")
        .args(["acme@127.0.0.1:/", mounted.to_str().unwrap(), "-F", "/dev/null", "-p"])
        .arg(server.address.port().to_string())
        .args(["-o", "StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null,IdentitiesOnly=yes"])
        .arg("-o")
        .arg(format!("IdentityFile={}", server.path("good").display()))
        .output()
        .unwrap();
    if !output.status.success() {
        // In a container without /dev/fuse or the right to mount, also of CI.
        println!("left out: sshfs cannot mount here: {}", rig::text(&output));
        return;
    }
    let fetched = fs::read(mounted.join("out/large"));
    let put = fs::copy(server.path("deck.csv"), mounted.join("in/deck.csv"));
    let listed = fs::read_dir(mounted.join("out")).map(Iterator::count);
    let mut rest = vec![0; 2_000_001];
    let resumed =
        fs::File::open(mounted.join("out/large")).and_then(|file| file.read_exact_at(&mut rest, 1_000_000));
    let put_away = fs::rename(mounted.join("out/202611/21/calls.cdr"), mounted.join("archive/calls.cdr"));
    let acknowledged = fs::write(mounted.join("ack/1.ack"), "ok\n");
    let renamed = fs::rename(mounted.join("ack/1.ack"), mounted.join("ack/2.ack"));
    let deleted = fs::remove_file(mounted.join("ack/2.ack"));
    let forbidden = fs::write(mounted.join("out/new"), "x");
    assert!(Command::new("fusermount").arg("-u").arg(&mounted).status().unwrap().success());
    put.unwrap();
    assert_eq!(listed.unwrap(), 2);
    resumed.unwrap();
    assert!(rest == large[1_000_000..], "the rest of the file differs");
    for done in [put_away, acknowledged, renamed, deleted] {
        done.unwrap();
    }
    assert!(server.path("acme/archive/calls.cdr").exists());
    forbidden.unwrap_err();
    fs::write(server.path("fetched"), fetched.unwrap()).unwrap();
    check(&server, &large, &server.path("fetched"));
}
