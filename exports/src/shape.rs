//! What a record is like, apart from its texts, numbers and times: who its parties are, what came of it, which prices it has.
//!
//! Many records of a file are of one shape, and what a shape settles is the same in each of them: a word, a flag, a value that is not
//! there. It is put into place once for all of them ([`crate::format::RecordWriter`]).

use model::wire::view::{DetailView, PartyView};
use model::{Direction, Provider};

use crate::fact::{Fact, Header, Row, Side, charge_idx};

/// Rows of one shape, seen by one owner, have the same value of every fact that [`Row::is_settled`] in one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape(u64);

impl Shape {
    /// Its place among so many as this is a power of two of.
    #[inline(always)]
    pub(crate) fn place<const BITS: u32>(self) -> usize {
        // Fibonacci hashing: the upper bits depend on all.
        let spread = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        usize::try_from(spread >> (64 - BITS)).unwrap_or(0)
    }

    #[inline(always)]
    fn and<const BITS: u32>(self, bits: u64) -> Self {
        debug_assert!(bits >> BITS == 0, "a part of a shape is wider than its place");
        Self(self.0 << BITS | bits)
    }
}

/// Which facts of [`DetailView`] are there.
#[inline(always)]
fn parts_of(detail: &DetailView<'_>) -> u64 {
    let texts = [
        detail.reason,
        detail.asserted_identity,
        detail.diversion,
        detail.stir,
        detail.preferred_identity,
        detail.user_to_user,
        detail.history_info,
        detail.peer_auth_user,
        detail.peer_auth_realm,
    ];
    let bits = texts.iter().fold(0, |bits, text| bits << 1 | u64::from(!text.is_empty()));
    bits << 3
        | u64::from(detail.setup_us.is_some()) << 2
        | u64::from(detail.media.is_some()) << 1
        | u64::from(detail.emergency)
}

#[inline(always)]
fn kind_of(party: PartyView<'_>) -> u64 {
    match party {
        PartyView::Subscriber { .. } => 0,
        PartyView::Trunk { .. } => 1,
        PartyView::Unknown => 2,
    }
}

impl Row<'_, '_> {
    /// What it has in common with many others.
    #[inline(always)]
    pub(crate) fn shape(&self) -> Shape {
        let call = self.call;
        let charges = self.charges.iter().fold(0, |bits, charge| bits << 1 | u64::from(charge.is_some()));
        let way = crate::fact::way_of(call, self.viewer);
        Shape(u64::from(call.code))
            .and::<6>(charges)
            .and::<2>(kind_of(call.source.party))
            .and::<2>(kind_of(call.destination.party))
            .and::<1>(u64::from(self.is_far(Side::Source)))
            .and::<1>(u64::from(self.is_far(Side::Destination)))
            .and::<2>(way as u64)
            .and::<2>(self.record_type as u64)
            .and::<3>(call.call_type as u64)
            .and::<3>(call.status as u64)
            .and::<8>(call.cause as u64)
            .and::<2>(call.ended_by as u64)
            .and::<1>(u64::from(call.source.clir))
            .and::<1>(u64::from(call.partial))
            .and::<12>(if call.has_detail() { parts_of(&call.detail) } else { 0 })
    }

    /// Whether every row of its shape has the same value.
    pub(crate) fn is_settled(&self, fact: Fact) -> bool {
        let is_absent = |side: Side| {
            let party = match side {
                Side::Source => self.call.source.party,
                Side::Destination => self.call.destination.party,
            };
            self.is_far(side) || !matches!(party, PartyView::Subscriber { .. })
        };
        let detail = &self.call.detail;
        match fact {
            Fact::RecordType
            | Fact::Partial
            | Fact::RatingStatus
            | Fact::SourceClir
            | Fact::Direction
            | Fact::CallType
            | Fact::CallStatus
            | Fact::CallCode
            | Fact::Cause
            | Fact::EndedBy
            | Fact::Emergency => true,
            Fact::UserId(side) | Fact::SubscriberId(side) | Fact::AccountId(side) => is_absent(side),
            Fact::SourceIp => self.is_far(Side::Source),
            Fact::DestinationUserOut => self.is_far(Side::Destination),
            Fact::Setup => detail.setup_us.is_none(),
            Fact::Media(_) => detail.media.is_none(),
            Fact::Reason => detail.reason.is_empty(),
            Fact::FromCaller(header) => {
                self.is_far(Side::Source)
                    || match header {
                        Header::Stir => detail.stir,
                        Header::AssertedIdentity => detail.asserted_identity,
                        Header::PreferredIdentity => detail.preferred_identity,
                        Header::Diversion => detail.diversion,
                        Header::UserToUser => detail.user_to_user,
                        Header::HistoryInfo => detail.history_info,
                    }
                    .is_empty()
            }
            Fact::PeerAuthUser => self.is_far(Side::Destination) || detail.peer_auth_user.is_empty(),
            Fact::PeerAuthRealm => self.is_far(Side::Destination) || detail.peer_auth_realm.is_empty(),
            Fact::Charge(provider, direction, _) => self.has_no(provider, direction),
            Fact::RecordId
            | Fact::RecordHex
            | Fact::Revision
            | Fact::Tenant
            | Fact::Call
            | Fact::Leg
            | Fact::CallId
            | Fact::Node
            | Fact::UpdateTime
            | Fact::RatedAt
            | Fact::ProviderId(_)
            | Fact::TrunkId(_)
            | Fact::SourceUser
            | Fact::SourceUserOut
            | Fact::SourceDomain
            | Fact::SourceCli
            | Fact::DestinationUser
            | Fact::DestinationUserIn
            | Fact::DestinationUserDialed
            | Fact::DestinationDomain
            | Fact::DestinationNumber
            | Fact::Codec
            | Fact::InitTime
            | Fact::StartTime
            | Fact::EndTime
            | Fact::Duration
            | Fact::Pdd
            | Fact::Fragment(_)
            | Fact::Event(_) => false,
        }
    }

    fn has_no(&self, provider: Provider, direction: Direction) -> bool {
        self.charges[charge_idx(provider, direction)].is_none()
    }
}
