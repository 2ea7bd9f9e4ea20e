//! The SFTP server as partners use it: with OpenSSH's own `sftp` and `scp`, over loopback.
//!
//! Without OpenSSH on this machine each test says so in a line and passes, except with `CI=true`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod rig;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Output, Stdio};

use exports::sftp::{SftpConfig, TrailAction};
use exports::verify;
use rig::{Server, fails, succeeds, text};

/// Long enough to need many reads, windows and packets, and no multiple of any of them.
const LARGE_BYTES: usize = 5_000_003;

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
fn a_file_longer_than_every_queue_arrives_whole_and_is_taken_whole() {
    const MANY: usize = 80_000_000;
    let Some(server) = Server::exchange(SftpConfig::default()) else { return };
    let bytes = large().into_iter().cycle().take(MANY).collect::<Vec<u8>>();
    fs::write(server.root().join("huge"), &bytes).unwrap();
    succeeds(&server.sftp("get out/huge fetched\nput fetched in/huge\n"));
    assert!(fs::read(server.path("fetched")).unwrap() == bytes, "the fetched file differs");
    assert!(fs::read(server.path("acme/in/huge")).unwrap() == bytes, "the put file differs");
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
fn scp_puts_and_fetches_in_the_exchange() {
    let Some(server) = Server::exchange(SftpConfig::default()) else { return };
    server.publish();
    fs::write(server.path("deck.csv"), large()).unwrap();
    let scp = |from: &str, to: &str| {
        server
            .client("scp", "good")
            .args(["-P", &server.address.port().to_string(), from, to])
            .output()
            .unwrap()
    };
    succeeds(&scp("deck.csv", "acme@127.0.0.1:in/deck.csv"));
    succeeds(&scp("acme@127.0.0.1:in/deck.csv", "back.csv"));
    succeeds(&scp("acme@127.0.0.1:out/202611/21/calls.cdr", "copied"));
    fails(&scp("deck.csv", "acme@127.0.0.1:out/deck.csv"));
    fails(&scp("acme@127.0.0.1:../../etc/passwd", "stolen"));
    assert!(fs::read(server.path("acme/in/deck.csv")).unwrap() == large());
    assert!(fs::read(server.path("back.csv")).unwrap() == large());
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

#[test]
fn what_partners_do_is_told_with_how_much_they_got() {
    let Some(server) = Server::start_with(SftpConfig::default(), |user| {
        (user.deletable, user.renamable) = (true, true);
    }) else {
        return;
    };
    let published = server.publish();
    fs::write(server.root().join("large"), large()).unwrap();
    fs::write(server.path("resumed"), &large()[..1_234_567]).unwrap();
    succeeds(&server.sftp(
        "get 202611/21/calls.cdr fetched\nrename 202611/21/calls.cdr 202611/21/done.cdr\nget -a large resumed\nrm large\n",
    ));
    fails(&server.sftp_as("acme", "wrong", "ls\n"));
    let events = server.events(|events| events.len() >= 6);
    let shown: Vec<String> = events
        .iter()
        .filter(|event| !matches!(event.action, TrailAction::Listed { .. }))
        .map(|event| {
            let what = match &event.action {
                TrailAction::Login { method } | TrailAction::Refused { method } => (*method).to_owned(),
                TrailAction::Fetched { path, size, from, to, n_bytes, .. } => {
                    format!("{path} {from} to {to} of {size}, {n_bytes} bytes")
                }
                TrailAction::Renamed { path, to, .. } => format!("{path} {to}"),
                TrailAction::Deleted { path, size, .. } => format!("{path} {size}"),
                other @ (TrailAction::Listed { .. }
                | TrailAction::Put { .. }
                | TrailAction::Banned { .. }) => {
                    format!("{other:?}")
                }
            };
            format!("{} {} {what}", event.user, event.action.as_str())
        })
        .collect();
    let n_bytes = published.bytes.len();
    assert_eq!(
        shown,
        [
            "acme login publickey".to_owned(),
            format!("acme fetched /202611/21/calls.cdr 0 to {n_bytes} of {n_bytes}, {n_bytes} bytes"),
            "acme renamed /202611/21/calls.cdr /202611/21/done.cdr".to_owned(),
            "acme fetched /large 1234567 to 5000003 of 5000003, 3765436 bytes".to_owned(),
            "acme deleted /large 5000003".to_owned(),
            " refused publickey".to_owned(),
        ]
    );
    assert_eq!(
        fs::read(server.path("archive/202611/21/calls.cdr")).unwrap(),
        published.bytes,
        "ours is kept"
    );
}

#[test]
fn partners_put_acknowledgements_and_put_away_what_they_have_fetched() {
    let Some(server) = Server::exchange(SftpConfig::default()) else { return };
    let published = server.publish();
    fs::write(server.path("deck.csv"), large()).unwrap();
    fs::write(server.path("1.ack"), "ok\n").unwrap();
    let shown = succeeds(&server.sftp(
        "ls -l\nget out/202611/21/calls.cdr fetched\nrename out/202611/21/calls.cdr archive/calls.cdr\n\
         put -p deck.csv in/deck.csv\nput 1.ack ack\nls in\nls ack\nls archive\n",
    ));
    for word in ["out", "archive", "in/deck.csv", "ack/1.ack", "archive/calls.cdr"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let home = server.path("acme");
    assert!(fs::read(home.join("in/deck.csv")).unwrap() == large());
    assert_eq!(fs::read(home.join("archive/calls.cdr")).unwrap(), published.bytes);
    assert_eq!(entries(&home.join("in")), ["deck.csv"], "nothing half written is left");
    for line in [
        "put 1.ack 2.ack",
        "put 1.ack out/2.ack",
        "put 1.ack archive/2.ack",
        "put 1.ack in/../../1.ack",
        "put 1.ack ack/1.ack",
        "mkdir in/sub",
        "ln -s /etc/passwd in/link",
        "rename in/deck.csv out/deck.csv",
        "rename archive/calls.cdr in/calls.cdr",
        "rmdir in",
    ] {
        fails(&server.sftp(&format!("{line}\n")));
    }
    assert_eq!(fs::read(home.join("ack/1.ack")).unwrap(), b"ok\n", "what was put is not overwritten");
    succeeds(&server.sftp("rename in/deck.csv in/old.csv\nrm ack/1.ack\n"));
    assert_eq!(
        (entries(&home.join("in")), entries(&home.join("ack"))),
        (vec!["old.csv".to_owned()], Vec::new())
    );
}

#[test]
fn a_user_cannot_put_more_than_there_is_room_for() {
    let config = SftpConfig { upload_bytes_max: 6_000_000, ..SftpConfig::default() };
    let Some(server) = Server::exchange(config) else { return };
    fs::write(server.path("deck"), large()).unwrap();
    succeeds(&server.sftp("put deck in/one\n"));
    fails(&server.sftp("put deck in/two\n"));
    assert_eq!(entries(&server.path("acme/in")), ["one"]);
    succeeds(&server.sftp("rm in/one\nput deck ack/two\n"));
}

#[test]
fn a_user_from_another_network_is_as_unknown_as_anybody() {
    let Some(server) = Server::start_with(SftpConfig::default(), |user| {
        user.networks = vec!["192.0.2.0/24".parse().unwrap()];
    }) else {
        return;
    };
    assert!(fails(&server.sftp("ls\n")).contains("Permission denied"));
    fails(&server.sftp_with_password("acme", "open sesame"));
    let Some(near) = Server::start_with(SftpConfig::default(), |user| {
        user.networks = vec!["127.0.0.0/8".parse().unwrap()];
    }) else {
        return;
    };
    succeeds(&near.sftp("ls\n"));
    succeeds(&near.sftp_with_password("acme", "open sesame"));
}
