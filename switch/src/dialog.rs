//! One dialog of RFC 3261, section 12: what our requests inside it are made of.
//!
//! In: the message that set it up. Out: requests ready to be sent, but for the transaction. Where they are sent to is the
//! caller's business: a phone behind a NAT is reached where it came from, whatever its Contact says.

use model::Transport;

use crate::ascii;
use crate::hop::{Addresses, Hop};
use crate::message::{HeaderName, Message, NameAddr, Uri, Writer, route_set};
use crate::transaction::ClientId;

/// Our side of a dialog.
#[derive(Debug, Clone)]
pub(crate) struct Dialog {
    pub(crate) call_id: Box<[u8]>,
    pub(crate) local_tag: Box<str>,
    /// From of our requests, without the tag.
    local: Box<[u8]>,
    /// To of our requests, tag included.
    remote: Box<[u8]>,
    pub(crate) remote_tag: Box<[u8]>,
    /// Request-URI of our requests.
    target: Box<[u8]>,
    routes: Vec<Box<[u8]>>,
    local_cseq: u32,
    /// Highest of theirs.
    pub(crate) remote_cseq: u32,
    /// Where our requests go.
    pub(crate) peer: Hop,
}

impl Dialog {
    /// As the called side, from the INVITE that came from `peer`.
    pub(crate) fn of_invite(invite: &Message<'_>, local_tag: &str, peer: Hop) -> Option<Self> {
        let from = invite.from()?;
        Some(Self {
            call_id: invite.call_id()?.into(),
            local_tag: local_tag.into(),
            local: invite.value(HeaderName::To)?.into(),
            remote: invite.value(HeaderName::From)?.into(),
            remote_tag: from.tag().unwrap_or_default().into(),
            target: invite.contact().map_or(from.uri, |contact| contact.uri).into(),
            routes: route_set(invite, false),
            local_cseq: 0,
            remote_cseq: invite.cseq()?.number,
            peer,
        })
    }

    /// As the calling side, from our `invite` and an answer of `peer` that carries a tag.
    pub(crate) fn of_answer(invite: &Message<'_>, answer: &Message<'_>, peer: Hop) -> Option<Self> {
        let from = invite.from()?;
        let local = invite.value(HeaderName::From)?;
        // The tag is the last thing we write into From.
        let local = &local[..memchr::memmem::rfind(local, b";tag=").unwrap_or(local.len())];
        Some(Self {
            call_id: invite.call_id()?.into(),
            local_tag: String::from_utf8_lossy(from.tag()?).into(),
            local: local.into(),
            remote: answer.value(HeaderName::To)?.into(),
            remote_tag: answer.to()?.tag().unwrap_or_default().into(),
            target: answer.contact().map_or(invite.request_uri(), |contact| contact.uri).into(),
            routes: route_set(answer, true),
            local_cseq: invite.cseq()?.number,
            remote_cseq: 0,
            peer,
        })
    }

    /// Takes over the numbers of the early dialog that this one was, so that requests go on counting (RFC 3261, 12.2.1.1).
    pub(crate) fn go_on_from(&mut self, early: &Self) {
        self.local_cseq = self.local_cseq.max(early.local_cseq);
        self.remote_cseq = self.remote_cseq.max(early.remote_cseq);
    }

    /// Counts on by so many: past requests of an early dialog that is forgotten.
    pub(crate) fn skip(&mut self, n: u32) {
        self.local_cseq = self.local_cseq.saturating_add(n);
    }

    /// A later message of the other side may have moved its Contact (target refresh, RFC 3261, 12.2).
    pub(crate) fn refresh_target(&mut self, message: &Message<'_>) {
        if let Some(contact) = message.contact() {
            self.target = contact.uri.into();
        }
    }

    /// Sends to the address that the route set or the Contact names, if it names one: for peers with public addresses.
    pub(crate) fn follow_contact(&mut self) {
        let first = match self.routes.first() {
            Some(route) => NameAddr::parse(route).and_then(|route| route.parse_uri()),
            None => Uri::parse(&self.target),
        };
        // A connection that is up is kept: the Contact behind it may be out of reach.
        if self.peer.is_reliable() {
            return;
        }
        if let Some(hop) = first.and_then(|uri| Hop::of_uri(&uri, Transport::Udp)) {
            self.peer = hop;
        }
    }

    /// Whether a request or response from the other side belongs here.
    pub(crate) fn is_remote(&self, call_id: Option<&[u8]>, remote_tag: Option<&[u8]>) -> bool {
        call_id == Some(&*self.call_id) && remote_tag.unwrap_or_default() == &*self.remote_tag
    }

    /// Begins our next request. An ACK takes the number of its INVITE in `cseq`, others count up.
    pub(crate) fn request(
        &mut self,
        method: &[u8],
        cseq: Option<u32>,
        branch: ClientId,
        addresses: Addresses,
    ) -> Writer {
        let number = cseq.unwrap_or_else(|| {
            self.local_cseq += 1;
            self.local_cseq
        });
        let mut writer = Writer::request(method, &self.target)
            .header("Via", branch.via(addresses, self.peer))
            .header("Max-Forwards", "70");
        writer.push_parts(b"From", &[&self.local, b";tag=", self.local_tag.as_bytes()]);
        writer.push_header(b"To", &self.remote);
        writer.push_header(b"Call-ID", &self.call_id);
        writer.push_parts(b"CSeq", &[ascii::number(number).as_bytes(), b" ", method]);
        for route in &self.routes {
            writer.push_header(b"Route", route);
        }
        writer
    }

    /// Number of our last request.
    pub(crate) fn last_cseq(&self) -> u32 {
        self.local_cseq
    }
}
