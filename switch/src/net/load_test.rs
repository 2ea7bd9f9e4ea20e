//! A running switch whose sockets bring more than it can take: timers, connections and the stop have their turn all the same.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Clock, SwitchStats, bind, run};
use crate::{Input, SwitchConfig, SwitchError};

const PATIENCE: Duration = Duration::from_secs(30);

/// A port at 127.0.0.`n`.
fn at(n: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, n), 0))
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

fn options(call_id: &str) -> String {
    format!(
        "OPTIONS sip:x@example.net SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{call_id};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:x@example.net>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// A switch between two trunks: a customer's, and one that never answers.
struct Rig {
    server: SocketAddr,
    customer: UdpSocket,
    silent: UdpSocket,
    stop: oneshot::Sender<()>,
    switch: JoinHandle<Result<(), SwitchError>>,
}

async fn rig() -> Rig {
    let (socket, customer, silent) = (bind(at(1)).unwrap(), bind(at(2)).unwrap(), bind(at(3)).unwrap());
    let server = socket.local_addr().unwrap();
    let mut rows = crate::tests::world::directory();
    rows.trunks[0].address = silent.local_addr().unwrap();
    rows.trunks[1].address = customer.local_addr().unwrap();
    rows.accounts[3].kind = model::AccountKind::Customer;
    let (events_in, mut events) = mpsc::channel(1_000);
    let (inputs, inputs_out) = mpsc::channel(4);
    let (credit, _nobody_asks) = mpsc::channel(1);
    let (stop, stopped) = oneshot::channel::<()>();
    inputs.send(Input::Directory(Arc::new(rows))).await.unwrap();
    let config =
        SwitchConfig { domain: "example.net".into(), flood_per_second: 0, ..SwitchConfig::default() };
    let until = async move { drop(stopped.await) };
    let stats = Arc::new(SwitchStats::default());
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let switch = tokio::spawn(async move {
        let _inputs = inputs;
        run(config, clock(), 1, socket, inputs_out, events_in, credit, stats, until).await
    });
    // Who answers listens for connections, too.
    customer.send_to(options("first").as_bytes(), server).await.unwrap();
    assert!(next(&customer).await.starts_with("SIP/2.0 200"));
    Rig { server, customer, silent, stop, switch }
}

/// Sends requests from a thread of its own until it is dropped.
struct Flood {
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Flood {
    /// So many at once, then a pause.
    fn begin(server: SocketAddr, burst: usize, pause: Duration) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = is_over.clone();
        let thread = std::thread::spawn(move || {
            let socket = std::net::UdpSocket::bind(at(4)).unwrap();
            let request = options("flood");
            while !seen.load(Ordering::Relaxed) {
                for _ in 0..burst {
                    let _ = socket.send_to(request.as_bytes(), server);
                }
                std::thread::sleep(pause);
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

async fn next(socket: &UdpSocket) -> String {
    let mut buffer = vec![0; 65_536];
    let (length, _) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.expect("a datagram").unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

async fn timers_connections_and_stop_have_their_turn(burst: usize, pause: Duration) {
    let rig = rig().await;
    let own = rig.customer.local_addr().unwrap();
    let invite = format!(
        "INVITE sip:49301234@example.net SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKi;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:4930999@example.net>;tag=f1\r\nTo: <sip:49301234@example.net>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:4930999@{own}>\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
    );
    // Before there is so much else that it might be lost on the way.
    rig.customer.send_to(invite.as_bytes(), rig.server).await.unwrap();
    let first = next(&rig.silent).await;
    assert!(first.starts_with("INVITE "), "{first}");
    let mut stream = TcpStream::connect(rig.server).await.unwrap();
    let flood = Flood::begin(rig.server, burst, pause);
    for _ in 0..3 {
        assert_eq!(next(&rig.silent).await, first, "sent again after 500 ms, 1 s and 2 s");
    }
    stream.write_all(options("tcp").replace("/UDP", "/TCP").as_bytes()).await.unwrap();
    let mut answer = [0; 11];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("an answer").unwrap();
    assert_eq!(&answer, b"SIP/2.0 200");
    rig.stop.send(()).unwrap();
    timeout(PATIENCE, rig.switch).await.expect("it stops").unwrap().unwrap();
    drop(flood);
}

#[tokio::test]
async fn full_socket_keeps_no_timer_connection_or_stop_waiting() {
    timers_connections_and_stop_have_their_turn(256, Duration::ZERO).await;
}

#[tokio::test]
async fn socket_that_is_looked_at_now_and_then_keeps_no_timer_connection_or_stop_waiting() {
    timers_connections_and_stop_have_their_turn(8, Duration::from_millis(2)).await;
}

#[tokio::test]
async fn connections_that_bring_more_than_can_be_taken_do_not_shut_out_datagrams() {
    let rig = rig().await;
    let mut floods = Vec::new();
    for n in 0..4 {
        let stream = TcpStream::connect(rig.server).await.unwrap();
        let (mut answers, mut requests) = stream.into_split();
        let request = options(&format!("tcp{n}")).replace("/UDP", "/TCP").repeat(64);
        floods
            .push(tokio::spawn(async move { while requests.write_all(request.as_bytes()).await.is_ok() {} }));
        floods.push(tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while answers.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
        }));
    }
    for n in 0..50 {
        rig.customer.send_to(options(&format!("udp{n}")).as_bytes(), rig.server).await.unwrap();
        let answer = next(&rig.customer).await;
        assert!(answer.contains(&format!("Call-ID: udp{n}\r\n")), "{answer}");
    }
    rig.stop.send(()).unwrap();
    timeout(PATIENCE, rig.switch).await.expect("it stops").unwrap().unwrap();
    floods.iter().for_each(JoinHandle::abort);
}
