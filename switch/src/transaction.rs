//! Transactions of RFC 3261, section 17, with the accepted states of RFC 6026, over any transport.
//!
//! In: scanned messages and the monotonic time. Out: datagrams to send, and for the layer above what is new: a request, a
//! response, a timeout. Retransmissions, in both directions, end here. Each client transaction carries a token `T` of the
//! layer above, so that a response finds its purpose. 2xx to an INVITE are repeated here too until [`Transactions::acked`],
//! although the RFC gives that to the layer above: it is the same timer. Dialogs and calls are not known here.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::Transport;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rustc_hash::FxHashMap;

use crate::ascii;
use crate::hop::{Addresses, Hop, via_word};
use crate::message::{HeaderName, Message, Method, ReplyHead, StartLine, Writer};
use crate::timer::{T1, T1_64, T2, T4, Timer, TimerKey, TimerQueue};

/// A longer request may be cut on its way: it goes to TCP where that is possible (RFC 3261, 18.1.1).
const DATAGRAM_BYTES_MAX: usize = 1_300;
/// What every branch of RFC 3261 begins with.
const MAGIC: &[u8] = b"z9hG4bK";

/// A transaction in which we answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ServerId(u64);

/// A transaction in which we ask: the number in its branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientId(u64);

/// What a message turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<T> {
    /// A retransmission, or an ACK for a refusal: done.
    Absorbed,
    /// A request that belongs to no transaction yet.
    Request,
    /// An ACK that no transaction takes: for a 2xx, or for an answer given without state.
    Ack,
    /// To a request of ours. A 2xx to an INVITE may come several times.
    Response(ClientId, T),
    /// To no request of ours.
    Stray,
}

/// What a timer led to, for the layer above.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expired<T> {
    /// No final answer came; the transaction is gone.
    NoResponse(T),
    /// Our 2xx was never acknowledged.
    NoAck(ServerId),
    /// Our provisional answer was never acknowledged; the INVITE waits for its final one.
    NeverPracked(ServerId),
}

/// One answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    pub(crate) code: u16,
    pub(crate) phrase: &'a [u8],
    /// For To, unless the request brought one.
    pub(crate) tag: Option<&'a str>,
    /// Further headers, as lines.
    pub(crate) lines: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Code and usual phrase alone.
    pub(crate) fn plain(code: u16, tag: Option<&'a str>) -> Self {
        Self { code, phrase: crate::message::phrase_of(code).as_bytes(), tag, lines: &[], body: &[] }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServerState {
    Proceeding,
    /// Final answer out; to an INVITE a refusal that waits for its ACK.
    Completed,
    Confirmed,
    /// 2xx out (RFC 6026).
    Accepted,
}

#[derive(Debug)]
struct ServerTx {
    key: Arc<[u8]>,
    is_invite: bool,
    state: ServerState,
    head: ReplyHead,
    last: Vec<u8>,
    /// A provisional answer that waits for its PRACK.
    reliable: Vec<u8>,
    interval: Duration,
    resend: Option<TimerKey>,
    end: Option<TimerKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientState {
    Calling,
    Proceeding,
    Completed,
    Accepted,
}

#[derive(Debug)]
struct ClientTx<T> {
    is_invite: bool,
    state: ClientState,
    request: Vec<u8>,
    destination: Hop,
    /// The same request for UDP, if it went to TCP for its length alone (RFC 3261, 18.1.1).
    fallback: Option<(Hop, Vec<u8>)>,
    /// The ACK of the last final answer, for when that comes again.
    ack: Option<(Hop, Box<[u8]>)>,
    token: T,
    cancel_wanted: bool,
    interval: Duration,
    resend: Option<TimerKey>,
    end: Option<TimerKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ClientKey {
    branch: u64,
    /// A CANCEL has the branch of the INVITE it cancels.
    is_cancel: bool,
}

#[derive(Debug, Clone, Copy)]
enum Due {
    Server(ServerId, Timer),
    Client(ClientKey, Timer),
}

/// All transactions of one socket.
#[derive(Debug)]
pub(crate) struct Transactions<T> {
    rng: StdRng,
    /// Ids and branches are ours: nobody else can choose them so that they meet in one place. Each has a place of its own on the heap:
    /// a table is up to seven eighths empty room.
    servers: FxHashMap<ServerId, Box<ServerTx>>,
    server_keys: HashMap<Arc<[u8]>, ServerId>,
    n_servers: u64,
    clients: FxHashMap<ClientKey, Box<ClientTx<T>>>,
    timers: TimerQueue<Due>,
    outbox: VecDeque<(Hop, Vec<u8>)>,
    /// Room for the key of the request at hand.
    key: Vec<u8>,
}

impl<T: Clone> Transactions<T> {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            servers: FxHashMap::default(),
            server_keys: HashMap::new(),
            n_servers: 0,
            clients: FxHashMap::default(),
            timers: TimerQueue::default(),
            outbox: VecDeque::new(),
            key: Vec::with_capacity(128),
        }
    }

    /// A number nobody can guess.
    pub(crate) fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// The next datagram to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<(Hop, Vec<u8>)> {
        self.outbox.pop_front()
    }

    /// Sends bytes that belong to no transaction: ACK for a 2xx.
    pub(crate) fn transmit(&mut self, to: Hop, bytes: Vec<u8>) {
        self.outbox.push_back((to, bytes));
    }

    /// When the next timer is due, and which.
    pub(crate) fn poll_timeout(&self) -> Option<(Duration, Timer)> {
        self.timers.peek().map(|(at, due)| match due {
            Due::Server(_, timer) | Due::Client(_, timer) => (at, *timer),
        })
    }

    /// Transactions alive, both kinds.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.servers.len() + self.clients.len()
    }

    // Receiving.

    /// Finds out what `message` is; repeats answers and acknowledges refusals by itself.
    pub(crate) fn receive(&mut self, now: Duration, message: &Message<'_>) -> Received<T> {
        match message.start() {
            StartLine::Request { method, .. } => self.receive_request(now, method, message),
            StartLine::Response { code, .. } => self.receive_response(now, code, message),
        }
    }

    fn receive_request(&mut self, now: Duration, method: Method<'_>, message: &Message<'_>) -> Received<T> {
        let is_ack = method == Method::ACK;
        write_server_key(&mut self.key, message, method);
        let Some(id) = self.server_keys.get(self.key.as_slice()).copied() else {
            return if is_ack { Received::Ack } else { Received::Request };
        };
        let Some(tx) = self.servers.get_mut(&id) else { return Received::Request };
        match tx.state {
            ServerState::Completed if is_ack => {
                tx.state = ServerState::Confirmed;
                tx.last = Vec::new();
                self.timers.disarm(&mut tx.resend);
                self.timers.disarm(&mut tx.end);
                // Timer I is zero on a stream: nothing comes twice there.
                let linger = if tx.head.destination.is_reliable() { Duration::ZERO } else { T4 };
                tx.end = Some(self.timers.arm(now + linger, Due::Server(id, Timer::AckLinger)));
                Received::Absorbed
            }
            // Some phones give the ACK of a 2xx the branch of the INVITE.
            ServerState::Accepted if is_ack => Received::Ack,
            ServerState::Proceeding | ServerState::Completed => {
                if !is_ack && !tx.last.is_empty() {
                    self.outbox.push_back((tx.head.destination, tx.last.clone()));
                }
                Received::Absorbed
            }
            ServerState::Confirmed | ServerState::Accepted => Received::Absorbed,
        }
    }

    fn receive_response(&mut self, now: Duration, code: u16, message: &Message<'_>) -> Received<T> {
        let Some(branch) = message.top_via().and_then(|via| via.branch()).and_then(branch_number) else {
            return Received::Stray;
        };
        let is_cancel = message.cseq().is_some_and(|cseq| cseq.method == Method::CANCEL);
        let key = ClientKey { branch, is_cancel };
        let Some(tx) = self.clients.get_mut(&key) else { return Received::Stray };
        let answer = Received::Response(ClientId(branch), tx.token.clone());
        match (tx.state, tx.is_invite) {
            (ClientState::Calling | ClientState::Proceeding, true) if code < 200 => {
                self.timers.disarm(&mut tx.resend);
                // Timer B stops; how long it may ring is for the layer above.
                if tx.state == ClientState::Calling {
                    self.timers.disarm(&mut tx.end);
                }
                tx.state = ClientState::Proceeding;
                if tx.cancel_wanted {
                    tx.cancel_wanted = false;
                    self.send_cancel(now, ClientId(branch));
                }
                answer
            }
            (ClientState::Calling | ClientState::Proceeding, true) => {
                self.timers.disarm(&mut tx.resend);
                self.timers.disarm(&mut tx.end);
                let timer = if code < 300 {
                    tx.state = ClientState::Accepted;
                    // It is not sent again; what further 2xx need of it for their dialogs is in its head.
                    keep_head(&mut tx.request);
                    self.timers.arm(now + T1_64, Due::Client(key, Timer::AcceptedClient))
                } else {
                    tx.state = ClientState::Completed;
                    let ack = ack_of_refusal(&tx.request, message);
                    tx.ack = Some((tx.destination, ack.as_slice().into()));
                    self.outbox.push_back((tx.destination, ack));
                    // A challenged request is sent again with credentials.
                    if !matches!(code, 401 | 407) {
                        tx.request = Vec::new();
                    }
                    let linger = if tx.destination.is_reliable() { Duration::ZERO } else { T1_64 };
                    self.timers.arm(now + linger, Due::Client(key, Timer::InviteLinger))
                };
                tx.end = Some(timer);
                answer
            }
            (ClientState::Completed, true) => {
                if code >= 300
                    && let Some((to, ack)) = &tx.ack
                {
                    self.outbox.push_back((*to, ack.to_vec()));
                }
                Received::Absorbed
            }
            // Further 2xx: repeated, or of another fork (RFC 6026, 7.2).
            (ClientState::Accepted, _) if (200..300).contains(&code) => answer,
            (ClientState::Accepted, _) | (ClientState::Completed, false) => Received::Absorbed,
            (ClientState::Calling | ClientState::Proceeding, false) if code < 200 => {
                tx.state = ClientState::Proceeding;
                answer
            }
            (ClientState::Calling | ClientState::Proceeding, false) => {
                self.timers.disarm(&mut tx.resend);
                self.timers.disarm(&mut tx.end);
                tx.state = ClientState::Completed;
                if !matches!(code, 401 | 407) {
                    tx.request = Vec::new();
                }
                let linger = if tx.destination.is_reliable() { Duration::ZERO } else { T4 };
                tx.end = Some(self.timers.arm(now + linger, Due::Client(key, Timer::RequestLinger)));
                answer
            }
        }
    }

    // Answering.

    /// Opens the transaction of a request that [`Self::receive`] called new.
    pub(crate) fn open(&mut self, message: &Message<'_>, source: Hop) -> ServerId {
        self.n_servers += 1;
        let id = ServerId(self.n_servers);
        let method = message.method().unwrap_or(Method::Other(b""));
        write_server_key(&mut self.key, message, method);
        let key: Arc<[u8]> = self.key.as_slice().into();
        self.server_keys.insert(key.clone(), id);
        let tx = ServerTx {
            key,
            is_invite: method == Method::INVITE,
            state: ServerState::Proceeding,
            head: ReplyHead::of(message, source),
            last: Vec::new(),
            reliable: Vec::new(),
            interval: T1,
            resend: None,
            end: None,
        };
        self.servers.insert(id, Box::new(tx));
        id
    }

    /// The INVITE that a CANCEL means, if it is still known.
    pub(crate) fn invite_of(&self, cancel: &Message<'_>) -> Option<ServerId> {
        let mut key = Vec::new();
        write_server_key(&mut key, cancel, Method::INVITE);
        self.server_keys.get(key.as_slice()).copied()
    }

    /// Answers. After a final answer further ones are ignored: the first one counts.
    pub(crate) fn respond(&mut self, now: Duration, id: ServerId, reply: Reply<'_>) {
        let Some(tx) = self.servers.get_mut(&id) else { return };
        if tx.state != ServerState::Proceeding {
            return;
        }
        let bytes = tx.head.reply(reply.code, reply.phrase, reply.tag).lines(reply.lines).finish(reply.body);
        tx.last.clone_from(&bytes);
        self.outbox.push_back((tx.head.destination, bytes));
        if reply.code < 200 {
            return;
        }
        // There is none behind a final one.
        tx.head.forget();
        // Nobody waits for the PRACK of a provisional answer any more (RFC 3262, 3).
        tx.reliable = Vec::new();
        self.timers.disarm(&mut tx.resend);
        self.timers.disarm(&mut tx.end);
        if !tx.is_invite {
            tx.state = ServerState::Completed;
            let linger = if tx.head.destination.is_reliable() { Duration::ZERO } else { T1_64 };
            tx.end = Some(self.timers.arm(now + linger, Due::Server(id, Timer::AnswerLinger)));
            return;
        }
        tx.state = if reply.code < 300 { ServerState::Accepted } else { ServerState::Completed };
        tx.interval = T1;
        // A refusal arrives on a stream; a 2xx is repeated there too, for a proxy may have lost it further on (RFC 3261, 13.3.1.4).
        let is_repeated = reply.code < 300 || !tx.head.destination.is_reliable();
        tx.resend = is_repeated.then(|| self.timers.arm(now + T1, Due::Server(id, Timer::AnswerRetransmit)));
        tx.end = Some(self.timers.arm(now + T1_64, Due::Server(id, Timer::AckTimeout)));
    }

    /// Answers an INVITE provisionally and repeats that until [`Self::pracked`], on streams too: a proxy further on may lose it (RFC 3262, 3).
    pub(crate) fn respond_reliably(&mut self, now: Duration, id: ServerId, reply: Reply<'_>) {
        self.respond(now, id, reply);
        let Some(tx) = self.servers.get_mut(&id).filter(|tx| tx.state == ServerState::Proceeding) else {
            return;
        };
        tx.reliable.clone_from(&tx.last);
        tx.interval = T1;
        self.timers.disarm(&mut tx.resend);
        self.timers.disarm(&mut tx.end);
        tx.resend = Some(self.timers.arm(now + T1, Due::Server(id, Timer::ProvisionalRetransmit)));
        tx.end = Some(self.timers.arm(now + T1_64, Due::Server(id, Timer::PrackTimeout)));
    }

    /// The PRACK for it came.
    pub(crate) fn pracked(&mut self, id: ServerId) {
        if let Some(tx) = self.servers.get_mut(&id).filter(|tx| tx.state == ServerState::Proceeding) {
            tx.reliable = Vec::new();
            self.timers.disarm(&mut tx.resend);
            self.timers.disarm(&mut tx.end);
        }
    }

    /// Answers without keeping anything: challenges and refusals under load (RFC 3261, 8.2.7).
    pub(crate) fn respond_without_state(&mut self, message: &Message<'_>, source: Hop, reply: Reply<'_>) {
        let head = ReplyHead::of(message, source);
        let bytes = head.reply(reply.code, reply.phrase, reply.tag).lines(reply.lines).finish(reply.body);
        self.outbox.push_back((head.destination, bytes));
    }

    /// The ACK for our 2xx came: stop repeating it.
    pub(crate) fn acked(&mut self, id: ServerId) {
        if let Some(tx) = self.servers.get_mut(&id).filter(|tx| tx.state == ServerState::Accepted) {
            self.timers.disarm(&mut tx.resend);
            tx.last = Vec::new();
        }
    }

    // Asking.

    /// A branch for a request to be written.
    pub(crate) fn branch(&mut self) -> ClientId {
        ClientId(self.rng.next_u64())
    }

    /// Sends a request that was written with the branch `id`.
    pub(crate) fn send(&mut self, now: Duration, id: ClientId, to: Hop, request: Vec<u8>, token: T) {
        let is_invite = request.starts_with(b"INVITE ");
        self.send_as(now, ClientKey { branch: id.0, is_cancel: false }, is_invite, to, request, token);
    }

    /// The same to a peer that can be expected to take TCP: a request too long for a datagram goes there, and comes back to UDP
    /// when nobody listens (RFC 3261, 18.1.1).
    pub(crate) fn send_by_length(
        &mut self,
        now: Duration,
        id: ClientId,
        to: Hop,
        request: Vec<u8>,
        token: T,
    ) {
        if to.is_reliable() || request.len() <= DATAGRAM_BYTES_MAX {
            return self.send(now, id, to, request, token);
        }
        let over_tcp = Hop { transport: Transport::Tcp, ..to };
        let rewritten = with_via_transport(&request, Transport::Tcp);
        self.send(now, id, over_tcp, rewritten, token);
        if let Some(tx) = self.clients.get_mut(&ClientKey { branch: id.0, is_cancel: false }) {
            tx.fallback = Some((to, request));
        }
    }

    /// Nothing can be sent to `hop`: what went there and has no answer yet has failed, or goes another way. Out: what has failed.
    pub(crate) fn unreachable(&mut self, now: Duration, hop: Hop) -> Vec<T> {
        let concerned: Vec<ClientKey> = self
            .clients
            .iter()
            .filter(|(_, tx)| tx.destination == hop && tx.state == ClientState::Calling)
            .map(|(key, _)| *key)
            .collect();
        let mut failed = Vec::new();
        for key in concerned {
            let Some(mut tx) = self.clients.remove(&key) else { continue };
            self.timers.disarm(&mut tx.resend);
            self.timers.disarm(&mut tx.end);
            match tx.fallback.take() {
                Some((to, request)) => {
                    self.send_as(now, key, tx.is_invite, to, request, tx.token);
                    if let Some(again) = self.clients.get_mut(&key) {
                        again.cancel_wanted = tx.cancel_wanted;
                    }
                }
                None if key.is_cancel => {}
                None => failed.push(tx.token),
            }
        }
        failed
    }

    fn send_as(
        &mut self,
        now: Duration,
        key: ClientKey,
        is_invite: bool,
        to: Hop,
        request: Vec<u8>,
        token: T,
    ) {
        self.outbox.push_back((to, request.clone()));
        let (resend, end) = if is_invite {
            (Timer::InviteRetransmit, Timer::InviteTimeout)
        } else {
            (Timer::RequestRetransmit, Timer::RequestTimeout)
        };
        let tx = ClientTx {
            is_invite,
            state: ClientState::Calling,
            request,
            destination: to,
            fallback: None,
            ack: None,
            token,
            cancel_wanted: false,
            interval: T1,
            resend: (!to.is_reliable()).then(|| self.timers.arm(now + T1, Due::Client(key, resend))),
            end: Some(self.timers.arm(now + T1_64, Due::Client(key, end))),
        };
        self.clients.insert(key, Box::new(tx));
    }

    /// Cancels an INVITE: now, or as soon as the far end has shown that it got it (RFC 3261, 9.1).
    pub(crate) fn cancel(&mut self, now: Duration, id: ClientId) {
        let key = ClientKey { branch: id.0, is_cancel: false };
        let Some(tx) = self.clients.get_mut(&key) else { return };
        match tx.state {
            ClientState::Calling => tx.cancel_wanted = true,
            ClientState::Proceeding => self.send_cancel(now, id),
            ClientState::Completed | ClientState::Accepted => {}
        }
    }

    fn send_cancel(&mut self, now: Duration, id: ClientId) {
        let key = ClientKey { branch: id.0, is_cancel: false };
        let Some(tx) = self.clients.get_mut(&key) else { return };
        let Some(request) = same_hop_request(&tx.request, b"CANCEL", None) else { return };
        // If not even a 487 follows, the INVITE ends 64 × T1 after the CANCEL (RFC 3261, 9.1).
        self.timers.disarm(&mut tx.end);
        tx.end = Some(self.timers.arm(now + T1_64, Due::Client(key, Timer::InviteTimeout)));
        let (to, token) = (tx.destination, tx.token.clone());
        self.send_as(now, ClientKey { branch: id.0, is_cancel: true }, false, to, request, token);
    }

    /// Whether the response `message` is to a CANCEL: nothing hangs on it.
    pub(crate) fn is_to_cancel(message: &Message<'_>) -> bool {
        message.cseq().is_some_and(|cseq| cseq.method == Method::CANCEL)
    }

    /// Sends the ACK of a 2xx to the INVITE `id`, which belongs to no transaction; kept beside that of its INVITE for when the 2xx comes again.
    pub(crate) fn acknowledge(&mut self, id: ClientId, to: Hop, ack: Vec<u8>) {
        if let Some(tx) = self.clients.get_mut(&ClientKey { branch: id.0, is_cancel: false }) {
            tx.ack = Some((to, ack.as_slice().into()));
        }
        self.outbox.push_back((to, ack));
    }

    /// The 2xx came again, so our ACK was lost.
    pub(crate) fn acknowledge_again(&mut self, id: ClientId) {
        let tx = self.clients.get(&ClientKey { branch: id.0, is_cancel: false });
        if let Some((to, ack)) =
            tx.filter(|tx| tx.state == ClientState::Accepted).and_then(|tx| tx.ack.as_ref())
        {
            self.outbox.push_back((*to, ack.to_vec()));
        }
    }

    /// Gives a transaction another purpose.
    pub(crate) fn set_token(&mut self, id: ClientId, token: T) {
        if let Some(tx) = self.clients.get_mut(&ClientKey { branch: id.0, is_cancel: false }) {
            tx.token = token;
        }
    }

    /// Stops asking: nobody waits for the answer, and what comes is a stray.
    pub(crate) fn forget(&mut self, id: ClientId) {
        if let Some(mut tx) = self.clients.remove(&ClientKey { branch: id.0, is_cancel: false }) {
            self.timers.disarm(&mut tx.resend);
            self.timers.disarm(&mut tx.end);
        }
    }

    /// The request as sent, and where to, while the transaction needs it.
    pub(crate) fn request_of(&self, id: ClientId) -> Option<(&[u8], Hop)> {
        let tx = self.clients.get(&ClientKey { branch: id.0, is_cancel: false })?;
        Some((&tx.request, tx.destination))
    }

    // Timers.

    /// Does what one due timer asks for. `None` when none is due; call again until then.
    pub(crate) fn expire(&mut self, now: Duration) -> Option<Option<Expired<T>>> {
        match self.timers.pop_due(now)? {
            Due::Server(id, timer) => Some(self.expire_server(now, id, timer)),
            Due::Client(key, timer) => Some(self.expire_client(now, key, timer)),
        }
    }

    fn expire_server(&mut self, now: Duration, id: ServerId, timer: Timer) -> Option<Expired<T>> {
        let tx = self.servers.get_mut(&id)?;
        if timer == Timer::AnswerRetransmit {
            self.outbox.push_back((tx.head.destination, tx.last.clone()));
            tx.interval = (tx.interval * 2).min(T2);
            tx.resend = Some(self.timers.arm(now + tx.interval, Due::Server(id, timer)));
            return None;
        }
        if timer == Timer::ProvisionalRetransmit {
            self.outbox.push_back((tx.head.destination, tx.reliable.clone()));
            tx.interval *= 2;
            tx.resend = Some(self.timers.arm(now + tx.interval, Due::Server(id, timer)));
            return None;
        }
        if timer == Timer::PrackTimeout {
            self.timers.disarm(&mut tx.resend);
            tx.end = None;
            return Some(Expired::NeverPracked(id));
        }
        let unacked = timer == Timer::AckTimeout && tx.state == ServerState::Accepted && tx.resend.is_some();
        self.timers.disarm(&mut tx.resend);
        if let Some(tx) = self.servers.remove(&id) {
            self.server_keys.remove(&tx.key);
        }
        unacked.then_some(Expired::NoAck(id))
    }

    fn expire_client(&mut self, now: Duration, key: ClientKey, timer: Timer) -> Option<Expired<T>> {
        let tx = self.clients.get_mut(&key)?;
        if matches!(timer, Timer::InviteRetransmit | Timer::RequestRetransmit) {
            self.outbox.push_back((tx.destination, tx.request.clone()));
            tx.interval *= 2;
            if timer == Timer::RequestRetransmit {
                // A request that got a provisional answer is repeated every T2 (RFC 3261, 17.1.2.2).
                let proceeding = tx.state == ClientState::Proceeding;
                tx.interval = if proceeding { T2 } else { tx.interval.min(T2) };
            }
            tx.resend = Some(self.timers.arm(now + tx.interval, Due::Client(key, timer)));
            return None;
        }
        self.timers.disarm(&mut tx.resend);
        let tx = self.clients.remove(&key)?;
        let silent = matches!(timer, Timer::InviteTimeout | Timer::RequestTimeout);
        (silent && !key.is_cancel).then_some(Expired::NoResponse(tx.token))
    }
}

impl ClientId {
    /// The value of the Via of a request of ours to `peer`.
    pub(crate) fn via(self, addresses: Addresses, peer: Hop) -> String {
        let (word, address) = (via_word(peer.transport), ascii::address(addresses.of(peer)));
        let branch = ascii::hex(self.0);
        ["SIP/2.0/", word, " ", address.as_str(), ";branch=z9hG4bK", branch.as_str(), ";rport"].concat()
    }
}

/// Frees the body of a request of ours.
fn keep_head(request: &mut Vec<u8>) {
    if let Some(end) = memchr::memmem::find(request, b"\r\n\r\n") {
        request.truncate(end + 4);
        request.shrink_to_fit();
    }
}

fn branch_number(branch: &[u8]) -> Option<u64> {
    let digits = branch.strip_prefix(MAGIC)?;
    if digits.len() != 16 {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The same request with another transport in its topmost Via, which is its first header.
fn with_via_transport(request: &[u8], transport: Transport) -> Vec<u8> {
    const WORDS: &[u8] = b"\r\nVia: SIP/2.0/UDP ";
    let Some(at) = memchr::memmem::find(request, WORDS) else { return request.to_vec() };
    let word_at = at + WORDS.len() - 4;
    [&request[..word_at], via_word(transport).as_bytes(), &request[word_at + 3..]].concat()
}

/// Whether a branch tells transactions apart: the cookie alone does not (RFC 4475, 3.2.1).
fn is_unique(branch: &[u8]) -> bool {
    branch.starts_with(MAGIC) && branch.len() > MAGIC.len()
}

/// What tells server transactions apart (RFC 3261, 17.2.3). An ACK belongs to its INVITE.
fn write_server_key(key: &mut Vec<u8>, message: &Message<'_>, method: Method<'_>) {
    key.clear();
    key.extend_from_slice(if method == Method::ACK { b"INVITE" } else { method.as_bytes() });
    let via = message.top_via();
    let mut push = |part: &[u8]| {
        key.push(b'\n');
        key.extend_from_slice(part);
    };
    match via.and_then(|via| via.branch().filter(|branch| is_unique(branch)).map(|branch| (via, branch))) {
        Some((via, branch)) => {
            push(branch);
            push(via.host);
            push(&via.port.unwrap_or(5060).to_be_bytes());
        }
        // A peer of RFC 2543.
        None => {
            push(message.call_id().unwrap_or_default());
            push(message.from().and_then(|from| from.tag()).unwrap_or_default());
            push(&message.cseq().map_or(0, |cseq| cseq.number).to_be_bytes());
            push(via.map(|via| via.head).unwrap_or_default());
        }
    }
}

/// ACK or CANCEL of the INVITE `request`: same Request-URI, topmost Via, Route, From and Call-ID (RFC 3261, 9.1, 17.1.1.3).
fn same_hop_request(request: &[u8], method: &[u8], to: Option<&[u8]>) -> Option<Vec<u8>> {
    let invite = Message::scan(request).ok()?;
    let mut writer = Writer::request(method, invite.request_uri())
        .header("Via", invite.list(HeaderName::Via).next()?)
        .copy(&invite, |name| {
            [HeaderName::MaxForwards, HeaderName::Route, HeaderName::From, HeaderName::CallId].contains(&name)
        });
    writer.push_header(b"To", to.or(invite.value(HeaderName::To))?);
    let number = ascii::number(invite.cseq()?.number);
    writer.push_parts(b"CSeq", &[number.as_bytes(), b" ", method]);
    Some(writer.finish(&[]))
}

fn ack_of_refusal(request: &[u8], response: &Message<'_>) -> Vec<u8> {
    same_hop_request(request, b"ACK", response.value(HeaderName::To)).unwrap_or_default()
}
