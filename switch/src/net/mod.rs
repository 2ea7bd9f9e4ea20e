//! The only place of the switch that knows sockets, tasks and channels.
//!
//! [`run`] gives a [`Switch`] its UDP socket, its connections, its clock and its channels; [`run_phones`] does the same for
//! [`crate::phone::Phones`]. Both work in one task: what the engine wants done is done before the next input. Connections have
//! tasks of their own that read and write (`streams`).

mod dns;
mod door;
mod event_groups;
#[cfg(test)]
mod load_test;
mod pace;
mod phones;
mod stats;
mod streams;
#[cfg(test)]
mod streams_test;
mod tls;
mod tracer;

use std::collections::VecDeque;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use model::{CallEvent, Moment, Transport};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::{CreditQuestion, EventLog, Hop, Input, Output, Switch, SwitchConfig, SwitchError};

use door::Door;
pub use event_groups::EventGroups;
use pace::Pace;
pub use phones::run_phones;
pub use stats::SwitchStats;
use streams::{StreamEvent, Streams};
use tracer::Tracer;
pub use tracer::read_trace;

/// Reads the clock: wall and monotonic time together.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// Holds about 50 ms of traffic at 10 000 calls a second, should we not get the processor.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// Events waiting for room in the channel; above, new calls are refused until it is down to a quarter.
const EVENTS_WAITING_MAX: usize = 1_024;
/// Datagrams taken at once before outputs are sent.
const DATAGRAMS_AT_ONCE: u32 = 128;
/// Messages of connections taken at once; the socket has its turn then, however much the connections bring.
const STREAM_MESSAGES_AT_ONCE: u32 = 16;

/// Opens a UDP socket with a large receive buffer, ready for [`run`] or [`run_phones`].
///
/// # Errors
///
/// [`SwitchError::Bind`] when the address is in use or not ours.
pub fn bind(address: SocketAddr) -> Result<UdpSocket, SwitchError> {
    let open = || {
        let kind = (socket2::Type::DGRAM, Some(socket2::Protocol::UDP));
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), kind.0, kind.1)?;
        // With less a burst is lost earlier, and the peers repeat it. Linux grants less without an error, and tells twice what it granted.
        let asked = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        let n_bytes = socket.recv_buffer_size()? / if cfg!(target_os = "linux") { 2 } else { 1 };
        if asked.is_err() || n_bytes < RECEIVE_BUFFER_BYTES {
            warn!(n_bytes, "receive buffer stays small; set net.core.rmem_max to {RECEIVE_BUFFER_BYTES}");
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    };
    open().map_err(|source| SwitchError::Bind { address, source })
}

/// Runs the switch on its socket until `stop` resolves.
///
/// Every event goes to `events`, in order; the writer behind it makes them durable. While that channel is full, events wait here
/// and new calls are refused with 503, so that calls in progress go on and no record is lost. The first event is `node_started`.
/// What is asked of the charging service goes to `credit`, its answers come by `inputs`. `inputs` carries snapshots, control messages and the state of the event log. `seed` must come from a good source of chance.
/// When `stop` resolves, calls in progress are left up: their events stop, and the next start closes their records.
///
/// # Errors
///
/// When the configuration cannot be used, the socket breaks, or nobody takes the events any more.
#[expect(clippy::too_many_arguments, reason = "everything the outside world is to the switch")]
pub async fn run(
    config: SwitchConfig,
    clock: Clock,
    seed: u64,
    socket: UdpSocket,
    mut inputs: mpsc::Receiver<Input>,
    events: mpsc::Sender<CallEvent>,
    credit: mpsc::Sender<CreditQuestion>,
    stats: Arc<SwitchStats>,
    stop: impl Future<Output = ()>,
) -> Result<(), SwitchError> {
    config.check().map_err(SwitchError::Config)?;
    let local = local_address(&socket)?;
    let address = config.advertise.unwrap_or_else(|| first_address(local));
    let also_at = other_family(&config, local);
    let name_servers: Arc<[String]> = config.dns_servers.clone().into();
    let failed = |source| SwitchError::Socket { address: local, source };
    let mut tracer = match config.trace_dir.as_deref().filter(|_| config.trace_bytes_max > 0) {
        Some(dir) => Some(
            Tracer::start(dir, config.trace_bytes_max)
                .map_err(|source| SwitchError::Trace { dir: dir.to_owned(), source })?,
        ),
        None => None,
    };
    let mut switch = Switch::new(config, address, clock(), seed);
    if let Some(also_at) = also_at {
        switch.also_at(also_at);
    }
    // One answer for each name in use at most; the switch asks again only after it.
    let (names_in, mut names) = mpsc::unbounded_channel();
    let tcp = switch.listens_on_tcp().then_some(local);
    let (mut streams, mut told) = Streams::listen(tcp, switch.tls_config()).await?;
    let is_ipv6 = local.is_ipv6();
    let mut shell = Shell { waiting: VecDeque::new(), is_refusing: false, log_is_writable: true };
    let mut buffer = vec![0; 65_536];
    let mut inputs_open = true;
    let mut unreachable: Vec<Hop> = Vec::new();
    let mut pace = Pace::default();
    let mut door = Door::Watched(socket);
    // Of a connection: what came behind messages, and waits until those are answered.
    let mut held = None;
    let mut has_expired = false;
    info!(%local, %address, "switch listens on udp");
    tokio::pin!(stop);
    loop {
        let sent_at = clock();
        while let Some(output) = switch.poll_output() {
            if let Some(tracer) = &mut tracer {
                match &output {
                    Output::Transmit { to, bytes } => tracer.message(sent_at, true, *to, bytes),
                    Output::Event(event) => tracer.event(sent_at, event),
                    Output::Credit(_) | Output::Resolve(_) => {}
                }
            }
            match output {
                Output::Transmit { to, bytes } if to.transport == Transport::Udp => {
                    door.send(is_ipv6, to.address, &bytes).await;
                }
                Output::Transmit { to, bytes } => {
                    if !streams.send(to, bytes, || switch.tls_name_of(to.address)) {
                        unreachable.push(to);
                    }
                }
                Output::Event(event) => shell.waiting.push_back(*event),
                // One that finds no room, or nobody, is not answered: the switch knows what to do then.
                Output::Credit(question) => drop(credit.try_send(*question)),
                Output::Resolve(question) => {
                    let (servers, names_in) = (name_servers.clone(), names_in.clone());
                    tokio::spawn(async move {
                        let _ = names_in.send(dns::find(question, &servers).await);
                    });
                }
            }
        }
        if let Some(hop) = unreachable.pop() {
            switch.handle(clock(), Input::Unreachable(hop));
            continue;
        }
        shell.pass_on(&events)?;
        if let Some(state) = shell.change_of_state() {
            switch.handle(clock(), Input::EventLog(state));
        }
        stats.store(&switch.counters());
        let now = clock();
        let until_look = pace.next_look().map(|at| at.saturating_sub(now.mono));
        let until_look = until_look.filter(|wait| !wait.is_zero());
        if until_look.is_none() {
            if let Some(tracer) = &mut tracer {
                tracer.hand_over_if_due(now);
            }
            // Never left to a sleep, which is not over when it begins: a socket that is always full would be first each time.
            // Once between two looks, or timers would keep the messages waiting in their turn.
            if !has_expired && switch.poll_timeout().is_some_and(|(at, _)| at <= now.mono) {
                has_expired = true;
                switch.handle(now, Input::Timeout);
                continue;
            }
        }
        has_expired = false;
        if pace.has_more() {
            // Nothing here need ever wait then, and the other tasks of this thread would never have their turn.
            tokio::task::yield_now().await;
        }
        // Of the timers of many calls one is due nearly always: they wait for the look, too.
        let no_sooner = |due: Duration| due.max(until_look.unwrap_or_default());
        let due = switch.poll_timeout().map(|(at, _)| no_sooner(at.saturating_sub(now.mono)));
        let trace_due = tracer.as_ref().and_then(|tracer| tracer.due(now)).map(no_sooner);
        let mut event = tokio::select! {
            biased;
            () = &mut stop => break,
            permit = events.reserve(), if !shell.waiting.is_empty() => {
                let permit = permit.map_err(|_closed| SwitchError::EventsClosed)?;
                if let Some(event) = shell.waiting.pop_front() {
                    permit.send(event);
                }
                continue;
            }
            input = inputs.recv(), if inputs_open => {
                match input {
                    Some(Input::EventLog(state)) => shell.log_is_writable = state == EventLog::Writable,
                    Some(input) => switch.handle(clock(), input),
                    None => inputs_open = false,
                }
                continue;
            }
            () = sleep(due) => {
                switch.handle(clock(), Input::Timeout);
                continue;
            }
            // It is handed over above.
            () = sleep(trace_due) => continue,
            () = sleep(until_look), if until_look.is_some() => continue,
            Some(answer) = names.recv() => {
                switch.handle(clock(), Input::Resolved(answer));
                continue;
            }
            Some(event) = next_event(&mut held, &mut told), if until_look.is_none() => Some(event),
            ready = door.ready(), if until_look.is_none() => {
                ready.map_err(failed)?;
                None
            }
        };
        // A look: a share of what the connections brought, and one of what lies in the socket.
        let mut n_of_streams = 0;
        while let Some(one) = event.take() {
            let is_message = matches!(one, StreamEvent::Message { .. });
            if n_of_streams > 0 && !is_message {
                held = Some(one);
                break;
            }
            if let Some(lost) = take_stream_event(&mut switch, &mut streams, tracer.as_mut(), clock(), one) {
                unreachable.push(lost);
            }
            n_of_streams += 1;
            if is_message && n_of_streams < STREAM_MESSAGES_AT_ONCE {
                event = told.try_recv().ok();
            }
        }
        let mut n_received = 0;
        // One that is taken out is looked at.
        while n_received < DATAGRAMS_AT_ONCE {
            match door.receive(&mut buffer) {
                Ok((length, from)) => {
                    let (from, now) = (Hop::udp(from), clock());
                    if let Some(tracer) = &mut tracer {
                        tracer.message(now, false, from, &buffer[..length]);
                    }
                    switch.receive(now, from, &buffer[..length]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) if is_harmless(&error) => {}
                Err(error) => return Err(failed(error)),
            }
            n_received += 1;
        }
        let has_more =
            n_received == DATAGRAMS_AT_ONCE || n_of_streams == STREAM_MESSAGES_AT_ONCE || held.is_some();
        pace.note(clock().mono, n_received, has_more);
        door = door.polled(pace.is_loaded()).map_err(failed)?;
    }
    info!("switch stops");
    shell.hand_over(&events).await
}

/// What was held back, or else what the connections tell next.
async fn next_event(
    held: &mut Option<StreamEvent>,
    told: &mut mpsc::Receiver<StreamEvent>,
) -> Option<StreamEvent> {
    match held.take() {
        Some(event) => Some(event),
        None => told.recv().await,
    }
}

/// Sees to what a connection tells. Out: a hop that can no longer be reached, of which the switch is to be told.
fn take_stream_event(
    switch: &mut Switch,
    streams: &mut Streams,
    tracer: Option<&mut Tracer>,
    now: Moment,
    event: StreamEvent,
) -> Option<Hop> {
    let mut unreachable = None;
    if let StreamEvent::Opened { hop, certificate: Some(certificate), .. } = &event {
        let names = switch.certificate_names(*hop);
        if !names.is_empty() && !tls::is_for(certificate, &names) {
            warn!(%hop, ?names, "a peer at a trunk's address has a certificate for another name");
            switch.note_wrong_certificate(now, *hop);
            unreachable = streams.refuse(*hop).then_some(*hop);
        }
    }
    let is_lost = streams.note(&event);
    match event {
        StreamEvent::Message { from, .. } if streams.is_refused(from) => {}
        StreamEvent::Message { from, bytes } => {
            if let Some(tracer) = tracer {
                tracer.message(now, false, from, &bytes);
            }
            switch.receive(now, from, &bytes);
        }
        StreamEvent::Closed { hop } => unreachable = is_lost.then_some(hop),
        StreamEvent::Opened { .. } => {}
    }
    unreachable
}

/// What the shell keeps beside the switch: events on their way to the log.
struct Shell {
    waiting: VecDeque<CallEvent>,
    is_refusing: bool,
    log_is_writable: bool,
}

impl Shell {
    /// Sends as many events as there is room for.
    fn pass_on(&mut self, events: &mpsc::Sender<CallEvent>) -> Result<(), SwitchError> {
        while !self.waiting.is_empty() {
            match events.try_reserve() {
                Ok(permit) => {
                    if let Some(event) = self.waiting.pop_front() {
                        permit.send(event);
                    }
                }
                Err(mpsc::error::TrySendError::Full(())) => break,
                Err(mpsc::error::TrySendError::Closed(())) => return Err(SwitchError::EventsClosed),
            }
        }
        Ok(())
    }

    /// Tells when new calls must be refused, and when no longer.
    fn change_of_state(&mut self) -> Option<EventLog> {
        let limit = if self.is_refusing { EVENTS_WAITING_MAX / 4 } else { EVENTS_WAITING_MAX };
        let must_refuse = !self.log_is_writable || self.waiting.len() > limit;
        if must_refuse == self.is_refusing {
            return None;
        }
        self.is_refusing = must_refuse;
        if must_refuse {
            warn!(n_waiting = self.waiting.len(), "events cannot be written; new calls are refused");
            Some(EventLog::Unwritable)
        } else {
            info!("events are written again; new calls are taken");
            Some(EventLog::Writable)
        }
    }

    /// Hands over what is left at the end, however long the writer takes.
    async fn hand_over(mut self, events: &mpsc::Sender<CallEvent>) -> Result<(), SwitchError> {
        for event in self.waiting.drain(..) {
            events.send(event).await.map_err(|_closed| SwitchError::EventsClosed)?;
        }
        Ok(())
    }
}

/// Sends a datagram. What does not go out counts as lost on the way: retransmission is the protocol's business.
pub(crate) async fn send(socket: &UdpSocket, is_ipv6: bool, to: SocketAddr, bytes: &[u8]) {
    let to = in_family(is_ipv6, to);
    let sent = match socket.try_send_to(bytes, to) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => socket.send_to(bytes, to).await,
        sent => sent,
    };
    if let Err(error) = sent {
        tracing::debug!(%to, %error, "datagram not sent");
    }
}

/// A socket for both families takes IPv4 peers in IPv6 form alone (RFC 3493, 3.7).
fn in_family(is_ipv6: bool, to: SocketAddr) -> SocketAddr {
    match to {
        SocketAddr::V4(v4) if is_ipv6 => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => to,
    }
}

/// An ICMP "port unreachable" of an earlier datagram, and the like.
pub(crate) fn is_harmless(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::WouldBlock
    )
}

/// Sleeps until a timer is due; for ever if there is none.
pub(crate) async fn sleep(due: Option<Duration>) {
    match due {
        Some(due) => tokio::time::sleep(due).await,
        None => std::future::pending().await,
    }
}

pub(crate) fn local_address(socket: &UdpSocket) -> Result<SocketAddr, SwitchError> {
    let unspecified = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    socket.local_addr().map_err(|source| SwitchError::Socket { address: unspecified, source })
}

/// What peers are told to answer to where nothing is configured: where we listen for both families and only IPv4 leads out, of that.
fn first_address(local: SocketAddr) -> SocketAddr {
    let own = reachable(local);
    if local.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) && own.ip().is_loopback() {
        let of_ipv4 = reachable(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), local.port()));
        return if of_ipv4.ip().is_loopback() { own } else { of_ipv4 };
    }
    own
}

/// What peers of the other family are told to answer to: as configured, else found, where we listen for both on one socket.
fn other_family(config: &SwitchConfig, local: SocketAddr) -> Option<SocketAddr> {
    let is_for_both = local.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED);
    if config.advertise_v6.is_some() || !is_for_both {
        return config.advertise_v6;
    }
    let any = |is_ipv4| -> IpAddr {
        if is_ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
    };
    let is_ipv4 = !config.advertise.unwrap_or_else(|| first_address(local)).is_ipv4();
    // Without a way out nobody of that family can answer.
    Some(reachable(SocketAddr::new(any(is_ipv4), local.port()))).filter(|found| !found.ip().is_loopback())
}

/// The address that peers can answer to: of the interface that leads out, when we listen on all of them.
pub(crate) fn reachable(local: SocketAddr) -> SocketAddr {
    if !local.ip().is_unspecified() {
        return local;
    }
    // Connecting a UDP socket sends nothing; it only asks the routing table. The targets are documentation addresses.
    let (any, far): (IpAddr, IpAddr) = match local {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        SocketAddr::V6(_) => {
            (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into())
        }
    };
    let ask = || {
        let socket = std::net::UdpSocket::bind((any, 0))?;
        socket.connect((far, 9))?;
        socket.local_addr()
    };
    let loopback = match local {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ask().map_or(loopback, |address| address.ip()), local.port())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use model::EventBody;
    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::phone::{Behaviour, CallPlan, PhoneCommand, PhoneLine, PhoneReport, PhoneStep, PhoneSubject};

    fn clock() -> Clock {
        #[expect(clippy::disallowed_methods, reason = "real sockets run on the real clock")]
        let began = std::time::Instant::now();
        let start = chrono::DateTime::UNIX_EPOCH;
        Arc::new(move || {
            let mono = began.elapsed();
            Moment { wall: start + chrono::TimeDelta::from_std(mono).unwrap(), mono }
        })
    }

    async fn last_step(
        reports: &mut mpsc::UnboundedReceiver<PhoneReport>,
        subject: PhoneSubject,
    ) -> PhoneStep {
        loop {
            let report = reports.recv().await.unwrap();
            if report.subject == subject
                && (report.step.is_last() || matches!(report.step, PhoneStep::Registered { .. }))
            {
                return report.step;
            }
        }
    }

    #[tokio::test]
    async fn phones_register_and_call_over_real_sockets_and_every_event_arrives_in_order() {
        const N_CALLS: u64 = 40;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (switch_socket, homes, gateway) = (bind(any).unwrap(), bind(any).unwrap(), bind(any).unwrap());
        let server = switch_socket.local_addr().unwrap();
        let mut rows = crate::tests::world::directory();
        rows.trunks[0].address = gateway.local_addr().unwrap();

        // A channel far too small for what comes: the switch must neither block nor lose.
        let (events_in, mut events) = mpsc::channel(2);
        let (inputs, inputs_out) = mpsc::channel(4);
        let (credit, _nobody_asks) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        inputs.send(Input::Directory(Arc::new(rows))).await.unwrap();
        let stats = Arc::new(SwitchStats::default());
        let config = SwitchConfig { domain: "example.net".into(), ..SwitchConfig::default() };
        let until = async move { drop(stopped.await) };
        let shown = stats.clone();
        let switch =
            tokio::spawn(run(config, clock(), 1, switch_socket, inputs_out, events_in, credit, stats, until));
        let collected = tokio::spawn(async move {
            let mut collected = Vec::new();
            while let Some(event) = events.recv().await {
                collected.push(event);
            }
            collected
        });

        let answering = |talk| {
            Arc::new(move |_: &crate::phone::IncomingCall| Behaviour::Answer { ring: Duration::ZERO, talk })
        };
        let line = |name: &str| PhoneLine {
            username: name.into(),
            domain: "example.net".into(),
            password: format!("{name}-secret"),
            server,
        };
        let (commands, commands_out) = mpsc::channel(64);
        let (reports_in, mut reports) = mpsc::unbounded_channel();
        let lines = vec![line("alice"), line("carol")];
        let at_home = run_phones(
            homes,
            clock(),
            2,
            lines,
            answering(None),
            commands_out,
            reports_in,
            std::future::pending(),
        );
        let at_home = tokio::spawn(at_home);
        let (_gateway_commands, gateway_commands) = mpsc::channel(1);
        let (gateway_reports, _) = mpsc::unbounded_channel();
        let never = std::future::pending();
        let far = run_phones(
            gateway,
            clock(),
            3,
            Vec::new(),
            answering(None),
            gateway_commands,
            gateway_reports,
            never,
        );
        let far = tokio::spawn(far);

        commands.send(PhoneCommand::Register { line: 1, seconds: 60 }).await.unwrap();
        assert_eq!(
            last_step(&mut reports, PhoneSubject::Line(1)).await,
            PhoneStep::Registered { seconds: 60 }
        );
        for id in 0..N_CALLS {
            let to = if id % 2 == 0 { "49301234" } else { "43222" };
            let plan = CallPlan {
                id,
                line: Some(0),
                server,
                from: "alice".into(),
                to: to.into(),
                talk: Some(Duration::from_millis(20)),
                patience: Duration::from_secs(60),
            };
            commands.send(PhoneCommand::Call(plan)).await.unwrap();
        }
        let mut over = HashSet::new();
        while over.len() as u64 != N_CALLS {
            let report = reports.recv().await.unwrap();
            if let (PhoneSubject::Outgoing(id), true) = (report.subject, report.step.is_last()) {
                assert!(matches!(report.step, PhoneStep::HungUp { by_us: true, .. }), "{:?}", report.step);
                over.insert(id);
            }
        }
        drop(commands);
        at_home.await.unwrap().unwrap();
        far.abort();
        assert_eq!(shown.load().calls_answered, N_CALLS);
        // The phones are done once their BYE is sent; it may still lie in the socket.
        let is_over = async {
            while shown.load().calls_active > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), is_over).await.unwrap();
        stop.send(()).unwrap();
        switch.await.unwrap().unwrap();
        let events = collected.await.unwrap();
        let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<_>>());
        let n_ends = events.iter().filter(|event| matches!(event.body, EventBody::End(_))).count();
        assert_eq!(n_ends as u64, N_CALLS);
    }

    #[tokio::test]
    async fn every_datagram_of_a_backlog_is_looked_at() {
        const N_REQUESTS: u32 = 3 * DATAGRAMS_AT_ONCE;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (switch_socket, phone) = (bind(any).unwrap(), bind(any).unwrap());
        let (server, own) = (switch_socket.local_addr().unwrap(), phone.local_addr().unwrap());
        for n in 0..N_REQUESTS {
            let request = format!(
                "OPTIONS sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{n}\r\nFrom: <sip:a@b>;tag=1\r\n\
                 To: <sip:{server}>\r\nCall-ID: {n}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            );
            phone.send_to(request.as_bytes(), server).await.unwrap();
        }
        let (events, _waiting) = mpsc::channel(1_000);
        let (_inputs, inputs) = mpsc::channel(4);
        let (credit, _nobody_asks) = mpsc::channel(1);
        let stats = Arc::new(SwitchStats::default());
        let config = SwitchConfig::default();
        let never = std::future::pending();
        let switch =
            tokio::spawn(run(config, clock(), 1, switch_socket, inputs, events, credit, stats, never));
        let mut answered = HashSet::new();
        let mut buffer = vec![0; 65_536];
        while answered.len() < N_REQUESTS as usize {
            let patience = Duration::from_secs(20);
            let answer = tokio::time::timeout(patience, phone.recv_from(&mut buffer)).await;
            let (length, _) = answer.unwrap_or_else(|_| panic!("{} answers", answered.len())).unwrap();
            let answer = crate::Message::scan(&buffer[..length]).unwrap();
            answered.insert(answer.call_id().unwrap().to_vec());
        }
        switch.abort();
    }

    #[test]
    fn port_in_use_is_named_with_its_remedy() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let first = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            let error = bind(first.local_addr().unwrap()).unwrap_err();
            assert_eq!(error.code(), "SWI002");
            assert!(error.to_string().contains("another process"), "{error}");
        });
    }
}
