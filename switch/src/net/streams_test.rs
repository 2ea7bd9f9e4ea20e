//! Real connections to a running switch: TCP, TLS, a certificate that is replaced, peers that do not behave.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::tls::{Tls, TlsFiles};
use super::{Clock, SwitchStats, bind, run};
use crate::{ClientCertificates, Input, SwitchConfig, TlsConfig};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/net/fixtures").join(name)
}

/// The certificate `name`, and trust in `root`.
fn tls(name: &str, root: &str, listen: SocketAddr) -> TlsConfig {
    TlsConfig {
        listen,
        certificate: fixture(&format!("{name}.pem")),
        key: fixture(&format!("{name}.key")),
        roots: Some(fixture(&format!("{root}.pem"))),
        clients: ClientCertificates::None,
        verify_trunks: true,
    }
}

fn clock() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "real sockets run on the real clock")]
    let began = std::time::Instant::now();
    Arc::new(move || {
        let mono = began.elapsed();
        let wall = chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::from_std(mono).unwrap();
        model::Moment { wall, mono }
    })
}

async fn free_port() -> SocketAddr {
    TcpListener::bind(ANY).await.unwrap().local_addr().unwrap()
}

/// A running switch with these trunks. Out: its address, and what stops it.
async fn switch(
    rows: model::Directory,
    tls: Option<TlsConfig>,
) -> (SocketAddr, oneshot::Sender<()>, mpsc::Receiver<model::CallEvent>) {
    let socket = bind(ANY).unwrap();
    let address = socket.local_addr().unwrap();
    let (events_in, events) = mpsc::channel(10_000);
    let (inputs, inputs_out) = mpsc::channel(4);
    let (credit, _nobody_asks) = mpsc::channel(1);
    let (stop, stopped) = oneshot::channel::<()>();
    inputs.send(Input::Directory(Arc::new(rows))).await.unwrap();
    let config = SwitchConfig { domain: "example.net".into(), tls, ..SwitchConfig::default() };
    let until = async move { drop(stopped.await) };
    let stats = Arc::new(SwitchStats::default());
    tokio::spawn(async move {
        // The sender of inputs lives as long as the switch.
        let _inputs = inputs;
        run(config, clock(), 1, socket, inputs_out, events_in, credit, stats, until).await.unwrap();
    });
    (address, stop, events)
}

fn options(call_id: &str) -> String {
    format!(
        "OPTIONS sip:x@example.net SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bK{call_id}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:x@example.net>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

async fn read_until<S: tokio::io::AsyncRead + Unpin>(stream: &mut S, wanted: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    while !text.contains(wanted) {
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut buffer)).await;
        let length = read.expect("an answer within 20 s").unwrap();
        assert!(length > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    text
}

async fn connected(address: SocketAddr) -> TcpStream {
    for _ in 0..200 {
        if let Ok(stream) = TcpStream::connect(address).await {
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nobody listens on {address}");
}

#[tokio::test]
async fn request_in_pieces_is_answered_over_its_connection_and_so_is_a_ping() {
    let (address, _stop, _events) = switch(model::Directory::default(), None).await;
    let mut stream = connected(address).await;
    let (first, second) = (options("a"), options("b"));
    let (start, end) = first.split_at(57);
    stream.write_all(start.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    stream.write_all(format!("{end}{second}").as_bytes()).await.unwrap();
    let answers = read_until(&mut stream, "Call-ID: b").await;
    assert!(answers.starts_with("SIP/2.0 200 OK\r\n"), "{answers}");
    assert_eq!(answers.matches("SIP/2.0 200 OK").count(), 2);
    stream.write_all(b"\r\n\r\n").await.unwrap();
    assert!(read_until(&mut stream, "\r\n").await.ends_with("\r\n"));
    // What cannot be cut ends the connection, and no other.
    let mut other = connected(address).await;
    stream.write_all(b"OPTIONS sip:x SIP/2.0\r\nContent-Length: -1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    other.write_all(options("c").as_bytes()).await.unwrap();
    read_until(&mut other, "Call-ID: c").await;
}

#[tokio::test]
async fn tls_is_served_and_a_trunk_is_spoken_to_only_under_its_name() {
    let (listen, gateway) = (free_port().await, TcpListener::bind(ANY).await.unwrap());
    let mut rows = crate::tests::world::directory();
    rows.trunks[0].transport = model::Transport::Tls;
    rows.trunks[0].address = gateway.local_addr().unwrap();
    // The trunk that calls is known by its address; it is a customer's exchange.
    rows.trunks[1].address = "192.0.2.99:5060".parse().unwrap();
    rows.trunks[1].sources = vec!["127.0.0.2".into()];
    rows.trunks[1].transport = model::Transport::Udp;
    rows.accounts[3].kind = model::AccountKind::Customer;
    let name = |name: &str| model::TrunkCalling { tls_name: Some(name.into()), ..Default::default() };
    rows.calling.trunks.insert(rows.trunks[0].id, name("two.example"));
    let (address, _stop, _events) = switch(rows, Some(tls("one", "two", listen))).await;

    let customer = Tls::load(TlsFiles::of(&tls("one", "one", ANY))).unwrap();
    let mut line = customer.connect(connected(listen).await, "one.example").await.unwrap();
    line.write_all(options("t").as_bytes()).await.unwrap();
    assert!(read_until(&mut line, "Call-ID: t").await.contains("Via: SIP/2.0/TCP 192.0.2.9;"));

    // A call goes out by TLS to a gateway whose certificate says what is provisioned.
    let taken = tokio::spawn(async move {
        let far = Tls::load(TlsFiles::of(&tls("two", "two", ANY))).unwrap();
        let (stream, _) = gateway.accept().await.unwrap();
        let mut stream = far.accept(stream).await.unwrap();
        let invite = read_until(&mut stream, "\r\n\r\n").await;
        // The next connection finds another certificate there.
        drop(stream);
        let wrong = Tls::load(TlsFiles::of(&tls("one", "two", ANY))).unwrap();
        let (stream, _) = gateway.accept().await.unwrap();
        let refused = wrong.accept(stream).await.is_err();
        (invite, refused)
    });
    let invite = |id: &str| {
        format!(
            "INVITE sip:49301234@example.net SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
             From: <sip:4930999@x>;tag=f\r\nTo: <sip:49301234@x>\r\nCall-ID: {id}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:x@127.0.0.1>\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut caller = socket.connect(address).await.unwrap();
    caller.write_all(invite("c1").as_bytes()).await.unwrap();
    // The gateway goes away after the INVITE, and the caller hears of it.
    assert!(read_until(&mut caller, "SIP/2.0 408").await.contains("Call-ID: c1"));
    caller.write_all(invite("c2").as_bytes()).await.unwrap();
    read_until(&mut caller, "SIP/2.0 408").await;
    let (sent, refused) = taken.await.unwrap();
    assert!(sent.starts_with("INVITE sip:49301234@") && sent.contains("Via: SIP/2.0/TLS "), "{sent}");
    assert!(refused, "a certificate for another name is not spoken to");
}

#[tokio::test]
async fn certificate_that_is_replaced_is_used_from_then_on_and_a_bad_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let put = |name: &str| {
        std::fs::copy(fixture(&format!("{name}.pem")), &certificate).unwrap();
        std::fs::copy(fixture(&format!("{name}.key")), &key).unwrap();
        // Files written within one tick of the clock look the same.
        let later = std::fs::FileTimes::new().set_modified(
            std::time::SystemTime::UNIX_EPOCH
                + Duration::from_secs(
                    1_000_000 + u64::try_from(name.len() + usize::from(name == "two") * 10).unwrap(),
                ),
        );
        std::fs::File::options().append(true).open(&certificate).unwrap().set_times(later).unwrap();
    };
    put("one");
    let config = TlsConfig { certificate: certificate.clone(), key: key.clone(), ..tls("one", "one", ANY) };
    let server = Arc::new(Tls::load(TlsFiles::of(&config)).unwrap());
    let listener = TcpListener::bind(ANY).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = server.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = serving.accept(stream).await;
        }
    });
    let trusts = |root: &'static str| async move {
        let client = Tls::load(TlsFiles::of(&tls("one", root, ANY))).unwrap();
        client.connect(connected(address).await, &format!("{root}.example")).await.is_ok()
    };
    assert!(trusts("one").await && !trusts("two").await);
    assert!(!server.reload_if_changed().unwrap());
    put("two");
    assert!(server.reload_if_changed().unwrap());
    assert!(trusts("two").await && !trusts("one").await);
    std::fs::write(&key, "no key").unwrap();
    let error = server.reload_if_changed().unwrap_err();
    assert_eq!(error.code(), "SWI006");
    assert!(error.to_string().contains("key.pem"), "{error}");
    assert!(trusts("two").await, "the old one stays");
}

/// A certificate with these names (`subjectAltName`), its key, and the root that it leads to: made by OpenSSL.
fn issued(dir: &std::path::Path, name: &str, names: &str) -> [PathBuf; 3] {
    let file = |end: &str| dir.join(format!("{name}.{end}"));
    let [root, root_key, certificate, key] =
        [dir.join("root.pem"), dir.join("root.key"), file("pem"), file("key")];
    let openssl = |args: &[&str]| {
        let usual =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        let output = std::process::Command::new("openssl").args(usual).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    if !root.exists() {
        openssl(&["-subj", "/CN=root", "-keyout", &text(&root_key), "-out", &text(&root)]);
    }
    openssl(&[
        "-subj",
        "/CN=leaf",
        "-CA",
        &text(&root),
        "-CAkey",
        &text(&root_key),
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-addext",
        &format!("subjectAltName={names}"),
        "-keyout",
        &text(&key),
        "-out",
        &text(&certificate),
    ]);
    [certificate, key, root]
}

/// Whether OPTIONS by `openssl s_client` from `own` address is answered.
async fn is_answered(to: SocketAddr, own: &str, certificate: Option<[PathBuf; 3]>) -> bool {
    let mut command = std::process::Command::new("openssl");
    command.args(["s_client", "-quiet", "-connect", &to.to_string(), "-bind", &format!("{own}:0")]);
    if let Some([certificate, key, _root]) = certificate {
        command.arg("-cert").arg(certificate).arg("-key").arg(key);
    }
    let answered = tokio::task::spawn_blocking(move || {
        use std::io::{Read as _, Write as _};
        let piped = std::process::Stdio::piped;
        let mut client =
            command.stdin(piped()).stdout(piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
        let mut to = client.stdin.take().unwrap();
        let _ = to.write_all(options("s").as_bytes());
        let (mut said, mut buffer) = (String::new(), [0; 1_024]);
        let mut from = client.stdout.take().unwrap();
        while !said.contains("SIP/2.0 200") {
            match from.read(&mut buffer) {
                Ok(length) if length > 0 => said.push_str(&String::from_utf8_lossy(&buffer[..length])),
                Ok(_) | Err(_) => break,
            }
        }
        let _ = client.kill();
        let _ = client.wait();
        said.contains("SIP/2.0 200")
    });
    tokio::time::timeout(Duration::from_secs(30), answered).await.expect("an answer or an end").unwrap()
}

#[tokio::test]
async fn certificate_shown_from_a_trunks_address_must_be_the_trunks() {
    let dir = tempfile::tempdir().unwrap();
    let listen = free_port().await;
    let own = issued(dir.path(), "own", "DNS:sip.example.net");
    let mut rows = crate::tests::world::directory();
    // Known by its address; the other one is not near.
    rows.trunks[0].address = "127.0.0.2:5061".parse().unwrap();
    rows.trunks[0].transport = model::Transport::Tls;
    let calling = model::TrunkCalling { domain: Some("carrier.example".into()), ..Default::default() };
    rows.calling.trunks.insert(rows.trunks[0].id, calling);
    let config = TlsConfig {
        listen,
        certificate: own[0].clone(),
        key: own[1].clone(),
        roots: Some(own[2].clone()),
        clients: ClientCertificates::Optional,
        verify_trunks: true,
    };
    let (_address, _stop, mut events) = switch(rows, Some(config)).await;
    drop(connected(listen).await);
    for (name, names, is_good) in [
        ("uri", "URI:sip:carrier.example", true),
        ("dns", "DNS:carrier.example", true),
        ("both", "URI:sip:carrier.example,DNS:other.example", true),
        ("other", "DNS:other.example", false),
        // What is said of SIP counts (RFC 5922, 7.1).
        ("first", "URI:sip:other.example,DNS:carrier.example", false),
        ("user", "URI:sip:user@carrier.example", false),
    ] {
        let shown = issued(dir.path(), name, names);
        assert_eq!(is_answered(listen, "127.0.0.2", Some(shown.clone())).await, is_good, "{names}");
        assert!(is_answered(listen, "127.0.0.3", Some(shown)).await, "no trunk is there: {names}");
    }
    assert!(is_answered(listen, "127.0.0.2", None).await, "it need not show one");
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let model::EventBody::Security(security) = event.body {
            told.push((security.source.ip().to_string(), security.detail));
        }
    }
    assert_eq!(told, [("127.0.0.2".to_owned(), "a certificate that is not the trunk's".to_owned())]);
}

#[tokio::test]
async fn without_a_certificate_that_is_required_there_is_no_connection() {
    let dir = tempfile::tempdir().unwrap();
    let listen = free_port().await;
    let own = issued(dir.path(), "own", "DNS:sip.example.net");
    let config = TlsConfig {
        listen,
        certificate: own[0].clone(),
        key: own[1].clone(),
        roots: Some(own[2].clone()),
        clients: ClientCertificates::Required,
        verify_trunks: true,
    };
    let (_address, _stop, _events) = switch(model::Directory::default(), Some(config)).await;
    drop(connected(listen).await);
    assert!(!is_answered(listen, "127.0.0.1", None).await);
    let elsewhere = tempfile::tempdir().unwrap();
    let strange = issued(elsewhere.path(), "leaf", "DNS:sip.example.net");
    assert!(!is_answered(listen, "127.0.0.1", Some(strange)).await, "its root is none of ours");
    let good = issued(dir.path(), "phone", "DNS:anything.example");
    assert!(is_answered(listen, "127.0.0.1", Some(good)).await);
}

#[tokio::test]
async fn trunk_with_its_sip_domain_in_its_certificate_is_connected_to() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind(ANY).await.unwrap();
    let address = listener.local_addr().unwrap();
    let of = |[certificate, key, root]: [PathBuf; 3]| TlsConfig {
        listen: ANY,
        certificate,
        key,
        roots: Some(root),
        clients: ClientCertificates::None,
        verify_trunks: true,
    };
    let server = Tls::load(TlsFiles::of(&of(issued(dir.path(), "far", "URI:sip:carrier.example")))).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = server.accept(stream).await;
        }
    });
    let client = Tls::load(TlsFiles::of(&of(issued(dir.path(), "own", "DNS:sip.example.net")))).unwrap();
    assert!(client.connect(connected(address).await, "carrier.example").await.is_ok());
    assert!(client.connect(connected(address).await, "other.example").await.is_err());
}
