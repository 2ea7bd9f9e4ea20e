//! Calls between an exchange and a carrier over a wire that loses, repeats, delays and damages what it carries, as the bytes say.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::EventBody;
use switch::phone::{Behaviour, CallPlan, IncomingCall, PhoneCommand, PhoneInput, PhoneOutput, Phones};
use switch::{Input, Output, Switch};

use crate::sip::{CARRIER, EXCHANGE, SWITCH, address, drain, end, fresh, moment};

/// Messages that cross the wire in one feed at most; what is sent after that is lost.
const MESSAGES_MAX: usize = 2_000;

/// Calls that the first byte may ask for.
const CALLS_MAX: u8 = 3;

struct Wire<'a> {
    /// What becomes of each message: the next byte decides.
    fate: std::slice::Iter<'a, u8>,
    carried: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    held_back: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    n_carried: usize,
}

impl Wire<'_> {
    fn send(&mut self, from: SocketAddr, to: SocketAddr, mut bytes: Vec<u8>) {
        self.n_carried += 1;
        if self.n_carried > MESSAGES_MAX {
            return;
        }
        // Once the bytes are used up, it is a good wire.
        match self.fate.next().copied().unwrap_or(0) {
            0..=159 => self.carried.push_back((from, to, bytes)),
            160..=179 => {}
            180..=199 => {
                self.carried.push_back((from, to, bytes.clone()));
                self.carried.push_back((from, to, bytes));
            }
            200..=219 => self.held_back.push((from, to, bytes)),
            220..=254 => {
                let place = self.fate.next().map_or(0, |byte| usize::from(*byte) * bytes.len() / 256);
                let other = self.fate.next().copied().unwrap_or(b' ');
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = other;
                }
                self.carried.push_back((from, to, bytes));
            }
            255 => {
                let place = self.fate.next().map_or(0, |byte| usize::from(*byte) * bytes.len() / 256);
                bytes.truncate(place);
                self.carried.push_back((from, to, bytes));
            }
        }
    }
}

/// Up to three calls, the first byte says how many and how the carrier behaves. In the end none is up, and the switch has said of each answer
/// when it ended, and of no call twice.
pub(crate) fn call(bytes: &[u8]) {
    let Some((manner, fate)) = bytes.split_first() else { return };
    let mut now = Duration::ZERO;
    let mut switch = fresh(now);
    let mut exchange = phones(EXCHANGE, *manner, now);
    let mut carrier = phones(CARRIER, *manner, now);
    let mut wire = Wire { fate: fate.iter(), carried: VecDeque::new(), held_back: Vec::new(), n_carried: 0 };
    for id in 0..=u64::from(*manner % CALLS_MAX) {
        let plan = CallPlan {
            id,
            line: None,
            server: address(SWITCH),
            from: "43155501".into(),
            to: format!("49301234{id}"),
            talk: (*manner & 0x10 == 0).then_some(Duration::from_secs(20)),
            patience: Duration::from_secs(60),
        };
        exchange.handle(moment(now), PhoneInput::Command(PhoneCommand::Call(plan)));
    }
    let mut events = Vec::new();
    let over = Duration::from_secs(300);
    loop {
        settle(now, &mut switch, &mut [&mut exchange, &mut carrier], &mut wire, &mut events);
        let due = [switch.poll_timeout(), exchange.poll_timeout(), carrier.poll_timeout()];
        let Some(at) = due.into_iter().flatten().map(|(at, _)| at).min().filter(|at| *at <= over) else {
            break;
        };
        now = now.max(at);
        // What was held back comes behind what was sent after it.
        wire.carried.extend(wire.held_back.drain(..));
        switch.handle(moment(now), Input::Timeout);
        for phones in [&mut exchange, &mut carrier] {
            phones.handle(moment(now), PhoneInput::Timeout);
        }
    }
    switch_off(switch, now, events);
}

/// The peers are gone; what is up ends by the switch's own clocks.
fn switch_off(mut switch: Switch, now: Duration, mut events: Vec<model::CallEvent>) {
    end(&mut switch, now, &mut |output| {
        if let Output::Event(event) = output {
            events.push(*event);
        }
    });
    let count = |what: fn(&EventBody) -> bool, call: &model::CallUid| {
        events.iter().filter(|event| event.call.as_ref() == Some(call) && what(&event.body)).count()
    };
    for call in events.iter().filter_map(|event| event.call.as_ref()) {
        let n_answers = count(|body| matches!(body, EventBody::Answer(_)), call);
        let n_ends = count(|body| matches!(body, EventBody::End(_)), call);
        assert!(n_answers <= 1, "{call} was answered {n_answers} times");
        assert!(n_ends <= 1, "{call} ended {n_ends} times");
        assert!(n_answers <= n_ends, "{call} was answered and never ended");
    }
    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "events are missing: {seqs:?}");
}

fn settle(
    now: Duration,
    switch: &mut Switch,
    all: &mut [&mut Phones; 2],
    wire: &mut Wire<'_>,
    events: &mut Vec<model::CallEvent>,
) {
    let places = [EXCHANGE, CARRIER].map(address);
    loop {
        drain(switch, &mut |output| match output {
            Output::Transmit { to, bytes } => wire.send(address(SWITCH), to.address, bytes),
            Output::Event(event) => events.push(*event),
            Output::Credit(_) | Output::Resolve(_) => {}
        });
        for (phones, place) in all.iter_mut().zip(places) {
            while let Some(output) = phones.poll_output() {
                if let PhoneOutput::Transmit { to, bytes } = output {
                    wire.send(place, to, bytes);
                }
            }
        }
        let Some((from, to, bytes)) = wire.carried.pop_front() else { return };
        if to == address(SWITCH) {
            switch.handle(moment(now), Input::Datagram { from, bytes });
        } else if let Some(idx) = places.iter().position(|place| *place == to) {
            all[idx].handle(moment(now), PhoneInput::Datagram { from, bytes });
        }
    }
}

fn phones(place: &str, manner: u8, now: Duration) -> Phones {
    let behaviour = match manner >> 5 {
        0..=3 => Behaviour::Answer { ring: Duration::from_secs(2), talk: Some(Duration::from_secs(40)) },
        4 => Behaviour::Refuse { ring: Duration::from_secs(1), code: 486 },
        5 => Behaviour::Refuse { ring: Duration::ZERO, code: 503 },
        6 => Behaviour::Ring,
        _ => Behaviour::Silent,
    };
    let answering = Arc::new(move |_: &IncomingCall| behaviour);
    Phones::new(address(place), Vec::new(), answering, moment(now), u64::from(manner) + 1)
}
