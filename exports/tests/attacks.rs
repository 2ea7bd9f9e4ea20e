//! What a hostile client can try once it is in, and what many can before: each meets a limit with a name, and the others
//! are served all the while.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[expect(dead_code, reason = "made for all tests of the server")]
mod rig;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use exports::sftp::{SftpConfig, TrailAction};
use rig::{Server, succeeds};
use russh::client::{self, AuthResult};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Client;

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _key: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

type Stream = russh::ChannelStream<client::Msg>;

/// A client that speaks SFTP as badly as it likes.
struct Raw {
    session: client::Handle<Client>,
    stream: Stream,
    n_requests: u32,
}

const INIT: u8 = 1;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const OPENDIR: u8 = 11;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;

impl Raw {
    async fn connect(server: &Server) -> Self {
        let config = Arc::new(client::Config { window_size: 100_000, ..client::Config::default() });
        let mut session = client::connect(config, server.address, Client).await.unwrap();
        let key = load_secret_key(server.path("good"), None).unwrap();
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        let accepted = session.authenticate_publickey("acme", key).await.unwrap();
        assert!(matches!(accepted, AuthResult::Success));
        let stream = Self::open_sftp(&session).await;
        let mut raw = Self { session, stream, n_requests: 0 };
        raw.send(INIT, &3_u32.to_be_bytes()).await;
        raw.answer().await.unwrap();
        raw
    }

    async fn open_sftp(session: &client::Handle<Client>) -> Stream {
        let channel = session.channel_open_session().await.unwrap();
        channel.request_subsystem(true, "sftp").await.unwrap();
        channel.into_stream()
    }

    async fn send(&mut self, kind: u8, body: &[u8]) {
        let mut packet = u32::try_from(body.len() + 1).unwrap().to_be_bytes().to_vec();
        packet.push(kind);
        packet.extend_from_slice(body);
        self.stream.write_all(&packet).await.unwrap();
    }

    /// A request with its number in front.
    async fn request(&mut self, kind: u8, parts: &[&[u8]]) {
        self.n_requests += 1;
        let mut body = self.n_requests.to_be_bytes().to_vec();
        for part in parts {
            body.extend_from_slice(part);
        }
        self.send(kind, &body).await;
    }

    /// Kind and contents of the next answer; `None` when the server has ended the session.
    async fn answer(&mut self) -> Option<(u8, Vec<u8>)> {
        let answer = async {
            let length = self.stream.read_u32().await.ok()?;
            let mut packet = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut packet).await.ok()?;
            Some((packet[0], packet.split_off(1)))
        };
        tokio::time::timeout(Duration::from_secs(30), answer).await.expect("the server answers or hangs up")
    }

    async fn ask(&mut self, kind: u8, parts: &[&[u8]]) -> (u8, Vec<u8>) {
        self.request(kind, parts).await;
        self.answer().await.unwrap()
    }

    /// Opens a file and returns its handle.
    async fn open(&mut self, path: &str, flags: u32) -> Result<Vec<u8>, u32> {
        let (kind, body) =
            self.ask(OPEN, &[&text(path.as_bytes()), &flags.to_be_bytes(), &0_u32.to_be_bytes()]).await;
        handle_of(kind, &body)
    }
}

/// A string of the protocol.
fn text(bytes: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out
}

/// The handle of an answer, or its status.
fn handle_of(kind: u8, body: &[u8]) -> Result<Vec<u8>, u32> {
    match kind {
        HANDLE => Ok(body[4..].to_vec()),
        STATUS => Err(u32::from_be_bytes(body[4..8].try_into().unwrap())),
        other => panic!("an answer of kind {other}"),
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

fn server() -> Option<Server> {
    let server = Server::exchange(SftpConfig::default())?;
    fs::write(server.root().join("large"), vec![7; 4_000_000]).unwrap();
    Some(server)
}

impl Server {
    fn has_closed(raw: &Raw) -> bool {
        raw.session.is_closed()
    }
}

#[test]
fn a_packet_as_long_as_the_memory_ends_its_session_and_no_other() {
    let Some(server) = server() else { return };
    block_on(async {
        for length in [u32::MAX, 300_000, 0] {
            let mut raw = Raw::connect(&server).await;
            raw.stream.write_all(&length.to_be_bytes()).await.unwrap();
            assert_eq!(raw.answer().await, None, "{length}");
            assert!(!Server::has_closed(&raw), "the connection may have other sessions");
        }
    });
    succeeds(&server.sftp("ls out\n"));
}

#[test]
fn packets_of_nonsense_are_answered_until_there_are_too_many() {
    let Some(server) = server() else { return };
    block_on(async {
        let mut raw = Raw::connect(&server).await;
        let mut n_answers = 0;
        for n in 0..40_u8 {
            // A request that ends in the middle of its path, and kinds that there are not.
            raw.request(if n % 2 == 0 { OPENDIR } else { 150 }, &[&1_000_u32.to_be_bytes(), &[n; 30]]).await;
            if raw.answer().await.is_none() {
                break;
            }
            n_answers += 1;
        }
        assert_eq!(n_answers, 20);
    });
    succeeds(&server.sftp("ls out\n"));
}

#[test]
fn handles_run_out_for_one_session_and_for_all_together() {
    let Some(server) = server() else { return };
    block_on(async {
        let mut first = Raw::connect(&server).await;
        for _ in 0..64 {
            first.open("/out/large", 1).await.unwrap();
        }
        assert_eq!(first.open("/out/large", 1).await, Err(4));
        let (kind, body) = first.ask(OPENDIR, &[&text(b"/")]).await;
        assert_eq!(handle_of(kind, &body), Err(4));
        let mut others = Vec::new();
        for _ in 0..3 {
            let mut raw = Raw::connect(&server).await;
            for _ in 0..64 {
                raw.open("/out/large", 1).await.unwrap();
            }
            others.push(raw);
        }
        let mut late = Raw::connect(&server).await;
        assert_eq!(late.open("/out/large", 1).await, Err(4), "256 of all together");
        // One that is closed makes room for one.
        let handle = b"1".to_vec();
        first.ask(CLOSE, &[&text(&handle)]).await;
        late.open("/out/large", 1).await.unwrap();
        assert_eq!(late.open("/out/large", 1).await, Err(4));
    });
    // And those of whoever has gone are free.
    let is_served = (0..50).any(|_| server.sftp("get out/large other\n").status.success());
    assert!(is_served);
}

#[test]
fn paths_from_the_wire_lead_nowhere() {
    let Some(server) = server() else { return };
    let long = format!("/out/{}", "a/".repeat(3_000));
    block_on(async {
        let mut raw = Raw::connect(&server).await;
        for path in [
            b"/out/../../../../etc/passwd".as_slice(),
            b"/out/large\0",
            b"/out/large/",
            b"\xff\xfe",
            b"/out/\xff",
            long.as_bytes(),
            b"/out/..\\..\\large",
            b"/proc/self/environ",
            b"~/large",
        ] {
            let (kind, body) =
                raw.ask(OPEN, &[&text(path), &1_u32.to_be_bytes(), &0_u32.to_be_bytes()]).await;
            let found = handle_of(kind, &body);
            // A file with a slash behind it is that file, in every spelling.
            assert_eq!(found.is_ok(), path == b"/out/large/", "{}", String::from_utf8_lossy(path));
        }
        for handle in [b"".as_slice(), b"0", b"-1", b"99999999999999999999", b"../1", b"\xff"] {
            let (kind, _) =
                raw.ask(READ, &[&text(handle), &0_u64.to_be_bytes(), &10_u32.to_be_bytes()]).await;
            assert_eq!(kind, STATUS);
        }
    });
}

#[test]
fn a_hole_of_a_petabyte_is_not_written() {
    let Some(server) = server() else { return };
    block_on(async {
        let mut raw = Raw::connect(&server).await;
        let handle = raw.open("/in/hole", 2 | 8 | 16).await.unwrap();
        for offset in [1_u64 << 50, u64::MAX, u64::MAX - 3] {
            let (kind, body) = raw.ask(WRITE, &[&handle, &offset.to_be_bytes(), &text(b"data")]).await;
            assert_eq!((kind, handle_of(kind, &body)), (STATUS, Err(4)));
        }
        // What was refused once is never shown as whole.
        let (kind, body) = raw.ask(CLOSE, &[&handle]).await;
        assert_eq!(handle_of(kind, &body), Err(4));
        // Reads at the far end are the end of the file.
        let handle = raw.open("/out/large", 1).await.unwrap();
        for offset in [4_000_000_u64, 1 << 62, u64::MAX] {
            let (kind, _) = raw.ask(READ, &[&handle, &offset.to_be_bytes(), &u32::MAX.to_be_bytes()]).await;
            assert_eq!(kind, STATUS, "{offset}");
        }
        let (kind, body) = raw.ask(READ, &[&handle, &0_u64.to_be_bytes(), &u32::MAX.to_be_bytes()]).await;
        assert_eq!((kind, body.len()), (DATA, 8 + 255 * 1024), "no more in one answer, whatever is asked");
    });
    assert_eq!(fs::read_dir(server.path("acme/in")).unwrap().count(), 0);
}

#[test]
fn a_client_that_takes_no_answers_holds_up_nobody() {
    let Some(server) = server() else { return };
    block_on(async {
        let mut slow = Vec::new();
        for _ in 0..10 {
            let mut raw = Raw::connect(&server).await;
            let handle = raw.open("/out/large", 1).await.unwrap();
            // 500 MB are asked for, and none of it taken.
            for _ in 0..2_000_u32 {
                raw.request(READ, &[&handle, &0_u64.to_be_bytes(), &(255_u32 * 1024).to_be_bytes()]).await;
            }
            slow.push(raw);
        }
        let rss = memory_kilobytes();
        tokio::task::block_in_place(|| others_are_served_from_out(&server));
        // Of the ten, a megabyte each is ready, and what the connections themselves hold.
        let grown = memory_kilobytes().saturating_sub(rss);
        assert!(grown < 200_000, "{grown} kB more");
    });
}

fn others_are_served_from_out(server: &Server) {
    succeeds(&server.sftp("ls out\nget out/large other\n"));
}

/// Resident memory of this process, which the server is a part of.
fn memory_kilobytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn two_hundred_connections_are_held_and_the_next_is_closed_at_once() {
    let config = SftpConfig {
        connections_max: 200,
        connections_per_address_max: 200,
        login_max: Duration::from_secs(20),
        ..SftpConfig::default()
    };
    let Some(server) = Server::start_with(config, |_| {}) else { return };
    let mut held = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut banner = [0; 16];
        stream.read_exact(&mut banner).unwrap_or_else(|why| panic!("connection {n}: {why}"));
        assert_eq!(&banner, b"SSH-2.0-Tollbook");
        held.push(stream);
    }
    let mut next = TcpStream::connect(server.address).unwrap();
    next.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(next.read(&mut [0; 16]).unwrap_or(0), 0, "closed without a word");
    held.truncate(100);
    let is_served = (0..100).any(|_| server.sftp("ls\n").status.success());
    assert!(is_served, "places of those that went are free");
}

/// What the server says to a client that says `first` and no more, until it hangs up.
fn said_to(server: &Server, first: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // It may have hung up in the midst of it.
    let _ = stream.write_all(first);
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(why) => assert_eq!(why.kind(), std::io::ErrorKind::ConnectionReset, "still open: {why}"),
    }
    said
}

#[test]
fn whoever_does_not_introduce_himself_in_time_is_shown_out() {
    let config = SftpConfig { login_max: Duration::from_secs(1), ..SftpConfig::default() };
    let Some(server) = Server::start_with(config, |_| {}) else { return };
    // Nothing at all; a banner and nothing behind it; other protocols; a banner without an end; half a packet.
    let long = vec![b'x'; 2_000_000];
    let half = [b"SSH-2.0-x\r\n".as_slice(), &[0, 0, 8, 0, 4, 20]].concat();
    for first in [
        b"".as_slice(),
        b"SSH-2.0-x\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc],
        &long,
        &half,
    ] {
        let said = said_to(&server, first);
        assert!(
            said.is_empty() || said.starts_with(b"SSH-2.0-Tollbook"),
            "{}",
            String::from_utf8_lossy(&said)
        );
    }
    succeeds(&server.sftp("ls\n"));
}

#[test]
fn one_address_gets_its_own_places_and_no_more() {
    let config = SftpConfig { connections_per_address_max: 3, ..SftpConfig::default() };
    let Some(server) = Server::start_with(config, |_| {}) else { return };
    let held: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.read_exact(&mut [0; 16]).unwrap();
            stream
        })
        .collect();
    let mut next = TcpStream::connect(server.address).unwrap();
    next.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(next.read(&mut [0; 16]).unwrap_or(0), 0, "closed without a word");
    drop(held);
    let is_served = (0..100).any(|_| server.sftp("ls\n").status.success());
    assert!(is_served, "places of those that went are free");
}

#[test]
fn a_connection_has_eight_channels_and_none_but_for_files() {
    let Some(server) = server() else { return };
    block_on(async {
        let raw = Raw::connect(&server).await;
        let mut channels = Vec::new();
        for n in 2..=8 {
            let channel = raw.session.channel_open_session().await;
            channels.push(channel.unwrap_or_else(|why| panic!("channel {n}: {why}")));
        }
        raw.session.channel_open_session().await.unwrap_err();
        // One that is closed makes room for one.
        channels.pop().unwrap().close().await.unwrap();
        let mut is_free = false;
        for _ in 0..50 {
            is_free |= raw.session.channel_open_session().await.is_ok();
            if is_free {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(is_free);
        raw.session.channel_open_direct_tcpip("127.0.0.1", 22, "127.0.0.1", 1).await.unwrap_err();
    });
    succeeds(&server.sftp("ls out\n"));
}

#[test]
fn guesses_are_few_to_a_connection_and_their_address_is_shut_out() {
    let config = SftpConfig { attempts_max: 2, ..SftpConfig::default() };
    let Some(server) = Server::start_with(config, |_| {}) else { return };
    block_on(async {
        let mut n_connections = 0;
        // Ten guesses, however they are spread over connections.
        loop {
            let config = Arc::new(client::Config::default());
            let Ok(mut session) = client::connect(config, server.address, Client).await else { break };
            n_connections += 1;
            assert!(n_connections <= 10, "nobody is shut out");
            let mut n_answers = 0;
            while let Ok(answer) = session.authenticate_password("acme", "guess").await {
                assert!(!matches!(answer, AuthResult::Success));
                n_answers += 1;
                // The third is not looked at any more: the answer is the end.
                assert!(n_answers <= 3, "the connection goes on after two guesses");
            }
        }
        assert!(n_connections >= 5, "shut out after {n_connections} connections of two guesses");
    });
    // The right key opens no more from there, and it is told.
    assert!(!server.sftp("ls\n").status.success());
    server.events(|events| events.iter().any(|event| matches!(event.action, TrailAction::Banned { .. })));
}

#[test]
fn a_link_that_is_put_in_place_of_a_directory_leads_nobody_out() {
    let Some(server) = server() else { return };
    let (inside, aside) = (server.root().join("dir"), server.root().join("aside"));
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join("secret"), "ours").unwrap();
    let outside = server.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "theirs").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    // As somebody with a shell on the machine could, who may write into the directory: as quickly as he can.
    let swapping = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&inside, &aside).unwrap();
                std::os::unix::fs::symlink(&outside, &inside).unwrap();
                fs::remove_file(&inside).unwrap();
                fs::rename(&aside, &inside).unwrap();
            }
        }
    });
    block_on(async {
        let mut raw = Raw::connect(&server).await;
        let mut n_found = 0;
        for _ in 0..6_000 {
            let Ok(handle) = raw.open("/out/dir/secret", 1).await else { continue };
            let (kind, body) = raw.ask(READ, &[&handle, &0_u64.to_be_bytes(), &100_u32.to_be_bytes()]).await;
            assert_eq!((kind, &body[8..]), (DATA, b"ours".as_slice()));
            raw.ask(CLOSE, &[&handle]).await;
            n_found += 1;
        }
        assert!(n_found > 0, "it was never there");
    });
    stop.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
}
