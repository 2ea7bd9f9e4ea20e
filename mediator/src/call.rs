//! What is known of one call: the facts of its events, folded so that neither order nor repetition matters.
//!
//! In: events. Out: whether they said anything new. Each fact has one place; where two events claim it, the one with the
//! lower sequence number has it (for signs of life, the higher), so the fold of a set of events is the same in any order.
//! What a record makes of the facts is `record`'s work.

use chrono::{DateTime, Utc};
use model::{
    AccountId, Answer, Attempt, CallEvent, Cause, ChargeTick, End, EventBody, Forwarded, Rejected,
    RouteAttempt, RouteResult, TenantId, Text,
};
use serde::{Deserialize, Serialize};

use crate::gist::Sources;
use crate::numbered::Numbered;

/// What one event said, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fact<T> {
    pub(crate) seq: u64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) is: T,
}

/// The first claim holds. Of a leg that was suspended, the same event with other content is a repair and replaces it.
fn is_first<T: PartialEq>(held: Option<&Fact<T>>, may_repair: bool, fact: &Fact<T>) -> bool {
    held.is_none_or(|held| fact.seq < held.seq || may_repair && fact.seq == held.seq && held != fact)
}

fn keep_first<T: PartialEq>(place: &mut Option<Fact<T>>, may_repair: bool, fact: Fact<T>) -> bool {
    let wins = is_first(place.as_ref(), may_repair, &fact);
    if wins {
        *place = Some(fact);
    }
    wins
}

/// The latest claim holds.
fn keep_last<T>(place: &mut Option<Fact<T>>, fact: Fact<T>) -> bool {
    let wins = place.as_ref().is_none_or(|held| fact.seq > held.seq);
    if wins {
        *place = Some(fact);
    }
    wins
}

/// What every event of a leg carries; taken from its first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) tenant: TenantId,
    pub(crate) payer: AccountId,
    pub(crate) config_revision: i64,
}

/// One INVITE towards the callee, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct RouteFacts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<Fact<RouteAttempt>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Fact<RouteResult>>,
}

/// The record of a leg that was last written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Issued {
    pub(crate) revision: u32,
    /// Of a partial record, why it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) partial: Option<Cause>,
    /// What came since would make another record.
    #[serde(default)]
    pub(crate) is_outdated: bool,
}

/// The facts of one leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leg {
    pub(crate) first: Fact<Envelope>,
    /// The latest event: the last sign of life.
    pub(crate) life: Fact<()>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<Fact<Box<Attempt>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rejected: Option<Fact<Rejected>>,
    #[serde(default, skip_serializing_if = "Numbered::is_empty")]
    pub(crate) routes: Numbered<RouteFacts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Fact<Answer>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tick: Option<Fact<ChargeTick>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<Fact<End>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) issued: Option<Issued>,
    /// Suspended under this code instead of issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
}

impl Leg {
    /// When it was answered, if it was and has not ended.
    pub(crate) fn up_since(&self) -> Option<DateTime<Utc>> {
        if self.end.is_some() || self.rejected.is_some() {
            return None;
        }
        self.answer.as_ref().map(|answer| answer.at)
    }
}

/// Who opened a leg by forwarding another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Forward {
    pub(crate) parent: u16,
    pub(crate) forwarded: Forwarded,
}

/// The facts of one call. It is open until every leg seen has ended, or was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) node: Text,
    pub(crate) boot: u64,
    pub(crate) legs: Numbered<Leg>,
    /// By the leg that was opened.
    #[serde(default, skip_serializing_if = "Numbered::is_empty")]
    pub(crate) forwards: Numbered<Fact<Forward>>,
    /// Log time when it last said anything new.
    pub(crate) quiet_since: DateTime<Utc>,
    /// Log time of its closing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) closed_at: Option<DateTime<Utc>>,
    /// Log time of its next record while it is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) interim_at: Option<DateTime<Utc>>,
    /// Where its events lie, as long as the log is sure to have them.
    #[serde(skip)]
    pub(crate) sources: Option<Sources>,
    /// Its place in the timetable of open calls: when it is looked at next.
    #[serde(skip)]
    pub(crate) timed: Option<DateTime<Utc>>,
}

impl Call {
    /// A call of which nothing is known yet but who sent its first event.
    pub(crate) fn of(event: &CallEvent) -> Self {
        Self {
            node: event.node.clone(),
            boot: event.boot,
            legs: Numbered::default(),
            forwards: Numbered::default(),
            quiet_since: event.at,
            closed_at: None,
            interim_at: None,
            sources: None,
            timed: None,
        }
    }

    /// Takes in one event of this call; whether it said anything new.
    pub(crate) fn learn(&mut self, event: CallEvent) -> bool {
        let CallEvent { seq, at, config_revision, tenant, payer, leg: number, body, .. } = event;
        let envelope = Envelope { tenant, payer, config_revision };
        let mut is_new = false;
        let leg = self.legs.get_or_insert_with(number, || {
            is_new = true;
            Leg {
                first: Fact { seq, at, is: envelope.clone() },
                life: Fact { seq, at, is: () },
                attempt: None,
                rejected: None,
                routes: Numbered::default(),
                answer: None,
                tick: None,
                end: None,
                issued: None,
                refused: None,
            }
        });
        if seq < leg.first.seq {
            leg.first = Fact { seq, at, is: envelope };
            is_new = true;
        }
        if seq > leg.life.seq {
            leg.life = Fact { seq, at, is: () };
            is_new = true;
        }
        let may_repair = leg.refused.is_some();
        is_new |= match body {
            EventBody::Attempt(attempt) => {
                keep_first(&mut leg.attempt, may_repair, Fact { seq, at, is: attempt })
            }
            EventBody::Rejected(rejected) => {
                keep_first(&mut leg.rejected, may_repair, Fact { seq, at, is: rejected })
            }
            EventBody::RouteAttempt(route) => keep_first(
                &mut leg.routes.get_or_insert_with(route.attempt, RouteFacts::default).attempt,
                may_repair,
                Fact { seq, at, is: route },
            ),
            EventBody::RouteResult(result) => keep_first(
                &mut leg.routes.get_or_insert_with(result.attempt, RouteFacts::default).result,
                may_repair,
                Fact { seq, at, is: result },
            ),
            EventBody::Answer(answer) => {
                keep_first(&mut leg.answer, may_repair, Fact { seq, at, is: answer })
            }
            EventBody::ChargeTick(tick) => keep_last(&mut leg.tick, Fact { seq, at, is: tick }),
            EventBody::End(end) => keep_first(&mut leg.end, may_repair, Fact { seq, at, is: end }),
            EventBody::Forwarded(forwarded) => {
                let new_leg = forwarded.new_leg;
                let fact = Fact { seq, at, is: Forward { parent: number, forwarded } };
                let mut wins = false;
                let held = self.forwards.get_or_insert_with(new_leg, || {
                    wins = true;
                    fact.clone()
                });
                if seq < held.seq {
                    wins = true;
                    *held = fact;
                }
                wins
            }
            // Signs of life, no more.
            EventBody::Progress(_) | EventBody::Update(_) => false,
            // The mediator has sent these another way: they belong to no call.
            EventBody::Registration(_)
            | EventBody::TrunkState(_)
            | EventBody::Security(_)
            | EventBody::NodeStarted(_)
            | EventBody::Provisioned(_) => false,
        };
        is_new
    }

    /// When the first of its events that are known happened.
    pub(crate) fn began_at(&self) -> Option<DateTime<Utc>> {
        self.legs.values().map(|leg| leg.first.at).min()
    }

    /// When the first of the legs that are up was answered.
    pub(crate) fn up_since(&self) -> Option<DateTime<Utc>> {
        self.legs.values().filter_map(Leg::up_since).min()
    }

    /// Whether the last record of some leg is partial, or missing because it was suspended.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.legs.values().any(|leg| {
            leg.refused.is_some() || leg.issued.as_ref().is_none_or(|issued| issued.partial.is_some())
        })
    }
}
