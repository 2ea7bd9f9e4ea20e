//! Whether a rule is crossed, and what follows: one incident with its updates, locks, orders to end calls.

use chrono::{DateTime, Utc};
use model::{
    AccountId, Alert, AlertId, AlertSeverity, Barring, Body, CallEvent, Control, Currency, Effect, Effects,
    Finding, Lock, LockLevel, LockSource, Measured, Money, Security, Span, TenantId, Topic, TrunkId,
};

use super::cell::{Incident, Sum, Window, part_seconds};
use super::facts::{Facts, Flag};
use super::shared::Scope;
use super::snapshot::Compiled;
use super::subjects::{Subject, SubjectKey};
use super::{Named, Work, account_key, money, trunk_name};
use crate::locking;
use crate::rule::{Action, Barred, Bound, Condition, Key, MONEY_SCALE, Measure, Rule, Throttle};

/// Words said about one incident at most: with each its value has doubled.
const UPDATES_MAX: u32 = 8;

/// Ranges barred for one incident: whoever tries more of them is for a lock.
const RANGES_MAX: usize = 32;

/// Emergency calls told of one subject in an hour; one more word says that there are more.
const CALLS_TOLD_MAX: u32 = 20;

/// Names alerts of calls that several trunks could have sent, where those of rules have the rule's name.
const AMBIGUOUS_SOURCE: &str = "ambiguous-source";

/// Calls of others that a share must rest on before it is compared with.
const OTHERS_MIN: i64 = 30;

/// When a rule is looked at.
pub(super) struct Occasion<'a> {
    pub(super) at: DateTime<Utc>,
    pub(super) tenant: TenantId,
    pub(super) payer: AccountId,
    /// `None` for a registration.
    pub(super) call: Option<Named<'a>>,
    /// Since when the account is watched, where another watch knows.
    pub(super) watched_since: Option<i64>,
}

/// What convinced.
struct Crossing {
    /// The first condition's value.
    value: i64,
    measures: Vec<Measured>,
    n_calls: u32,
    cost: i64,
    cost_rate: i64,
}

impl Work<'_> {
    /// Looks at one rule for one subject, after its counters changed.
    pub(super) fn judge(
        &mut self,
        idx: u16,
        subject: SubjectKey,
        facts: &Facts,
        occasion: &Occasion<'_>,
        effects: &mut Effects,
    ) {
        let Some(compiled) = self.rules.rules.get(usize::from(idx)) else { return };
        let Some(crossing) = self.crossing(idx, compiled, subject, facts, occasion) else { return };
        let rule = &compiled.rule;
        let at = occasion.at;
        let name = self.name_of(subject);
        let (mut incident, is_news) = self.incident((idx, rule), subject, &name, crossing.value, occasion);
        if rule.actions.contains(&Action::BlockRange) {
            self.bar_range(rule, facts, &mut incident, occasion, effects);
        }
        self.state.subjects.change(subject, at.timestamp(), 0, |subject| {
            if let Some(cell) = subject.known_cell_mut(idx) {
                cell.incident = Some(Box::new(incident.clone()));
            }
        });
        // A call for help goes on, also where a rule on other things has a word to say of it.
        if rule.actions.contains(&Action::EndCall)
            && !facts.has(Flag::Emergency)
            && let Some(call) = occasion.call
        {
            let order = Control::EndCall { call: call.uid() };
            effects.append(Topic::Control, occasion.payer, Body::Control(order));
        }
        if is_news {
            self.act(idx, compiled, subject, name, &incident, crossing, occasion, effects);
        }
    }

    /// The incident that a crossing belongs to, and whether people are to be told of it now.
    fn incident(
        &self,
        (idx, rule): (u16, &Rule),
        subject: SubjectKey,
        name: &str,
        value: i64,
        occasion: &Occasion<'_>,
    ) -> (Incident, bool) {
        let at = occasion.at;
        let cell = self.state.subjects.get(subject).and_then(|known| known.known_cell(idx));
        if let Some(call) = occasion.call.filter(|_| rule.tells_each_call()) {
            let before = cell.and_then(|cell| cell.incident.as_deref());
            let name = format!("{name} {}", call.uid().as_str());
            return incident_of_call(rule, &name, value, before, occasion);
        }
        let before = cell
            .and_then(|cell| cell.incident.as_deref().cloned())
            .filter(|incident| at.signed_duration_since(incident.last) <= rule.cool_down.delta());
        if let Some(incident) = before {
            let has_doubled = value >= incident.told.saturating_mul(2);
            let is_news = has_doubled && incident.n_told <= UPDATES_MAX;
            let n_told = incident.n_told + u32::from(is_news);
            let told = if is_news { value } else { incident.told };
            // What is told late moves nothing back.
            return (Incident { last: incident.last.max(at), told, n_told, ..incident }, is_news);
        }
        let began = at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
        let id = AlertId::derive(&rule.name, occasion.payer, &format!("{name} {began}"));
        let (told, barred) = (value.max(1), Vec::new());
        (Incident { id, began: at, last: at, told, n_told: 1, barred, in_hour: None }, true)
    }

    /// Whether all conditions hold.
    fn crossing(
        &self,
        idx: u16,
        compiled: &Compiled,
        key: SubjectKey,
        facts: &Facts,
        occasion: &Occasion<'_>,
    ) -> Option<Crossing> {
        let subject = self.state.subjects.get(key)?;
        let window = subject.known_cell(idx)?.window(&compiled.rule, &compiled.needs);
        let mut measures = Vec::new();
        let mut first = None;
        for Condition { measure, bound } in &compiled.rule.conditions {
            let value = match bound {
                // The call itself is one, even where it comes out of a backlog behind the window.
                Bound::AtLeast(least) if compiled.rule.tells_each_call() => {
                    window.value(*measure).unwrap_or(0).max(*least)
                }
                Bound::AtLeast(least) => window.value(*measure).filter(|value| value >= least)?,
                Bound::AtMost(most) => window.value(*measure).filter(|value| value <= most)?,
                Bound::AboveUsual(tenths) => usual(subject, *measure, *tenths)?,
                Bound::AboveOthers(points) => self
                    .above_others(idx, compiled, facts, &window, *measure)
                    .filter(|above| above >= points)?,
            };
            first.get_or_insert(value);
            measures.push(Measured {
                measure: measure.to_string(),
                value: in_words(*measure, value),
                limit: limit_in_words(*measure, *bound),
            });
        }
        if let Some(warm_up) = compiled.rule.warm_up {
            let watched_since = match facts.account {
                AccountId::NOBODY => self.state.clock.began.map(|began| began.timestamp()),
                _ if self.scope == Scope::Sightings => occasion.watched_since,
                account => self.state.subjects.get(account_key(account)).map(|account| account.since),
            };
            let watched = occasion.at.timestamp() - watched_since?;
            if watched < i64::from(warm_up.seconds()) {
                return None;
            }
        }
        let cell = subject.known_cell(idx)?;
        Some(Crossing {
            value: first?,
            measures,
            n_calls: u32::try_from(window.total(Sum::Attempts)).unwrap_or(u32::MAX),
            cost: i64::try_from(window.total(Sum::Cost)).unwrap_or(i64::MAX),
            cost_rate: cell.cost_rate,
        })
    }

    /// How many percentage points a vendor's share is above that of all others on the same destination.
    fn above_others(
        &self,
        idx: u16,
        compiled: &Compiled,
        facts: &Facts,
        own: &Window<'_>,
        measure: Measure,
    ) -> Option<i64> {
        let all = self.state.subjects.get(facts.subject(Key::Country, None)?)?;
        let all = all.known_cell(idx)?.window(&compiled.rule, &compiled.needs);
        let (part, whole) = measure_sums(measure)?;
        let rest = |sum| i64::try_from(all.total(sum).saturating_sub(own.total(sum))).unwrap_or(i64::MAX);
        let (others_part, others) = (rest(part), rest(whole));
        if others < OTHERS_MIN {
            return None;
        }
        Some(own.value(measure)? - others_part * 100 / others)
    }

    /// Bars the numbers beside the one called, once for each incident.
    fn bar_range(
        &self,
        rule: &Rule,
        facts: &Facts,
        incident: &mut Incident,
        occasion: &Occasion<'_>,
        effects: &mut Effects,
    ) {
        let range = match rule.key {
            Key::Country | Key::AccountCountry | Key::VendorCountry => u64::from(facts.country),
            Key::Account | Key::Subscriber | Key::Trunk | Key::Source | Key::ARange | Key::BRange => {
                facts.callee.unwrap_or(0) / 10_000
            }
        };
        let range = range.to_string();
        // A number too short to have neighbours has no range.
        if range == "0" || incident.barred.contains(&range) || incident.barred.len() >= RANGES_MAX {
            return;
        }
        let whom = match rule.block {
            Barred::Everybody => AccountId::NOBODY,
            // A stranger's calls are refused in any case.
            Barred::Account if self.snapshot.account(occasion.payer).is_none() => return,
            Barred::Account => occasion.payer,
        };
        incident.barred.push(range.clone());
        self.bar(rule, whom, (range, 0), rule.block_for, incident.id, occasion, effects);
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of one barring")]
    fn bar(
        &self,
        rule: &Rule,
        account: AccountId,
        (range, calls_per_minute): (String, u32),
        span: Option<Span>,
        alert: AlertId,
        occasion: &Occasion<'_>,
        effects: &mut Effects,
    ) {
        let now = self.state.clock.now.map_or(occasion.at, |now| now.max(occasion.at));
        let barring = Barring {
            tenant: self.snapshot.account(occasion.payer).map_or(occasion.tenant, |account| account.tenant),
            account,
            range,
            calls_per_minute,
            source: LockSource::Fraud,
            reason: format!("{} ({}, version {})", rule.title, rule.name, rule.version),
            alert: Some(alert),
            since: occasion.at,
            until: span.and_then(|span| now.checked_add_signed(span.delta())),
        };
        effects.0.push(Effect::Bar(Box::new(barring.clone())));
        effects.append(Topic::Control, occasion.payer, Body::Control(Control::BarringChanged(barring)));
    }

    /// Locks, ends calls and slows down as the rule says, and tells people.
    #[expect(clippy::too_many_arguments, reason = "the facts of one crossing")]
    fn act(
        &mut self,
        idx: u16,
        compiled: &Compiled,
        subject: SubjectKey,
        name: String,
        incident: &Incident,
        crossing: Crossing,
        occasion: &Occasion<'_>,
        effects: &mut Effects,
    ) {
        let rule = &compiled.rule;
        let account = self.snapshot.account(occasion.payer);
        let lock = self.lock(rule, incident, occasion, effects);
        if rule.actions.contains(&Action::EndCalls) && account.is_some() {
            let order = Control::EndCallsOf { account: occasion.payer };
            effects.append(Topic::Control, occasion.payer, Body::Control(order));
        }
        let mut barred: Vec<String> =
            incident.barred.iter().map(|range| format!("calls to {range}...")).collect();
        if let Some(Throttle { calls_per_minute, span }) = rule.throttle.filter(|_| account.is_some()) {
            barred.push(format!("more than {calls_per_minute} calls a minute"));
            let all = (String::new(), calls_per_minute);
            self.bar(rule, occasion.payer, all, span, incident.id, occasion, effects);
        }
        let alert =
            self.alert((idx, compiled), (subject, name), incident, crossing, (lock, barred), occasion);
        effects.0.push(Effect::Alert(Box::new(alert)));
    }

    /// Locks the payer if the rule says so; what is in force then.
    fn lock(
        &mut self,
        rule: &Rule,
        incident: &Incident,
        occasion: &Occasion<'_>,
        effects: &mut Effects,
    ) -> LockLevel {
        let snapshot = self.snapshot;
        let payer = snapshot.account(occasion.payer).filter(|_| rule.actions.contains(&Action::Lock));
        let Some(account) = payer else { return LockLevel::None };
        let now = self.state.clock.now.map_or(occasion.at, |now| now.max(occasion.at));
        let wanted = Lock {
            tenant: account.tenant,
            account: account.id,
            level: rule.lock,
            source: LockSource::Fraud,
            reason: format!("{} ({}, version {})", rule.title, rule.name, rule.version),
            alert: Some(incident.id),
            since: occasion.at,
            until: rule.lock_for.and_then(|span| now.checked_add_signed(span.delta())),
        };
        let held = self.state.held.get(&account.id);
        let is_first = incident.n_told == 1;
        let outcome = locking::set(wanted, held, is_first, &snapshot.directory, now, effects);
        if let Some(held) = outcome.held {
            self.state.hold(held);
        }
        outcome.level
    }

    /// What people are told of an incident.
    fn alert(
        &self,
        (idx, compiled): (u16, &Compiled),
        (subject, name): (SubjectKey, String),
        incident: &Incident,
        crossing: Crossing,
        (lock, barred): (LockLevel, Vec<String>),
        occasion: &Occasion<'_>,
    ) -> Alert {
        let rule = &compiled.rule;
        let account = self.snapshot.account(occasion.payer);
        let currency = account.map_or(Currency::EUR, |account| account.currency);
        let known = self.state.subjects.get(subject).and_then(|known| known.known_cell(idx));
        let (sparkline, evidence) =
            known.map(|cell| (cell.sparkline(&compiled.needs), cell.evidence())).unwrap_or_default();
        let zone = account.map_or(chrono_tz::UTC, |account| account.timezone);
        let mut notify = self.rules.notify.clone();
        notify.extend(rule.notify.iter().filter(|address| !self.rules.notify.contains(address)).cloned());
        let limit = rule.conditions.iter().find_map(|condition| match condition.bound {
            Bound::AtLeast(least) if condition.measure == Measure::Cost => Some(least),
            Bound::AtLeast(_) | Bound::AtMost(_) | Bound::AboveUsual(_) | Bound::AboveOthers(_) => None,
        });
        let title = match incident.in_hour {
            Some((_, n)) if n > CALLS_TOLD_MAX => {
                format!("{}: more than {CALLS_TOLD_MAX} within an hour, the others are not told", rule.title)
            }
            Some(_) | None => rule.title.clone(),
        };
        Alert {
            id: incident.id,
            tenant: occasion.tenant,
            account: occasion.payer,
            rule: rule.name.clone(),
            period: incident.began.with_timezone(&zone).format("%Y-%m-%d %H:%M").to_string(),
            limit: Money::new(money(limit.unwrap_or(0)), currency),
            value: Money::new(money(crossing.cost), currency),
            lock,
            notify,
            evidence,
            // A call told late may have been before those that showed the incident.
            at: occasion.at.max(incident.began),
            severity: AlertSeverity::Breach,
            update: incident.n_told - 1,
            finding: Some(Finding {
                version: rule.version,
                title,
                subject: name,
                measures: crossing.measures,
                n_calls: crossing.n_calls,
                at_risk: Money::new(money(crossing.cost_rate.saturating_mul(60)), currency),
                sparkline,
                sparkline_step_seconds: part_seconds(rule),
                barred,
                tag: rule.tag.clone(),
            }),
            spending: None,
        }
    }

    /// What people are told of calls that are refused because several trunks at their address could have sent them. No rule asks for it,
    /// and the switch says it once an hour of an address; what several switches say within an hour is one alert.
    pub(super) fn ambiguous_source(&self, event: &CallEvent, security: &Security) -> Alert {
        let source = security.source.ip();
        let period = event.at.format("%Y-%m-%d %H:00").to_string();
        let nothing = Money::new(money(0), Currency::EUR);
        Alert {
            id: AlertId::derive(AMBIGUOUS_SOURCE, event.payer, &format!("{source} {period}")),
            tenant: event.tenant,
            account: event.payer,
            rule: AMBIGUOUS_SOURCE.to_owned(),
            period,
            limit: nothing,
            value: nothing,
            lock: LockLevel::None,
            notify: self.rules.notify.clone(),
            evidence: Vec::new(),
            at: event.at,
            severity: AlertSeverity::Breach,
            update: 0,
            finding: Some(Finding {
                version: 1,
                title: format!("Calls are refused: their trunk cannot be told; {}", security.detail),
                subject: format!("source {source}"),
                measures: vec![Measured {
                    measure: "attempts".to_owned(),
                    value: security.count.to_string(),
                    limit: "below 1".to_owned(),
                }],
                n_calls: security.count,
                at_risk: nothing,
                sparkline: Vec::new(),
                sparkline_step_seconds: 0,
                barred: Vec::new(),
                tag: None,
            }),
            spending: None,
        }
    }

    /// A subject as people call it.
    fn name_of(&self, subject: SubjectKey) -> String {
        let account = |id: u64| {
            let id = AccountId(id.cast_signed());
            self.snapshot.account(id).map_or_else(|| id.to_string(), |account| account.handle.clone())
        };
        let SubjectKey { key, a, b } = subject;
        match key {
            Key::Account => format!("account {}", account(a)),
            Key::Subscriber => format!("subscriber {}", self.subscriber_name(a.cast_signed())),
            Key::Trunk => format!("trunk {}", trunk_name(self.snapshot, TrunkId(a.cast_signed()))),
            Key::Source => format!("source {}", network_name(a, b)),
            Key::ARange => format!("calling numbers {a}xxxx"),
            Key::BRange => format!("numbers {a}xxxx"),
            Key::Country => format!("country +{a}"),
            Key::AccountCountry => format!("account {} to country +{b}", account(a)),
            Key::VendorCountry => {
                format!("trunk {} to country +{b}", trunk_name(self.snapshot, TrunkId(a.cast_signed())))
            }
        }
    }

    fn subscriber_name(&self, id: i64) -> String {
        let known = self.snapshot.directory.subscribers.iter().find(|one| one.id.0 == id);
        known.map_or_else(|| id.to_string(), |one| format!("{}@{}", one.username, one.domain))
    }
}

/// A call for help is news of its own, whatever was told before; whether it is still told in this hour.
fn incident_of_call(
    rule: &Rule,
    name: &str,
    value: i64,
    before: Option<&Incident>,
    occasion: &Occasion<'_>,
) -> (Incident, bool) {
    let at = occasion.at;
    let hour = at.timestamp().div_euclid(3_600);
    // In another hour, be it an earlier one, the count begins anew: rather a word too many than one too few.
    let known = before.and_then(|incident| incident.in_hour).filter(|(known, _)| *known == hour);
    let n = known.map_or(0, |(_, n)| n).saturating_add(1);
    let id = AlertId::derive(&rule.name, occasion.payer, name);
    let (told, barred, in_hour) = (value.max(1), Vec::new(), Some((hour, n)));
    (Incident { id, began: at, last: at, told, n_told: 1, barred, in_hour }, n <= CALLS_TOLD_MAX + 1)
}

/// As [`super::facts::source_network`] made it.
fn network_name(network: u64, is_v6: u64) -> String {
    match u32::try_from(network) {
        Ok(v4) if is_v6 == 0 => std::net::Ipv4Addr::from(v4).to_string(),
        Ok(_) | Err(_) => format!("{}/64", std::net::Ipv6Addr::from(u128::from(network) << 64)),
    }
}

/// What a share is made of; `None` for one that is not made of sums.
fn measure_sums(measure: Measure) -> Option<(Sum, Sum)> {
    [
        (Measure::FailedShare, Sum::Failed, Sum::Ended),
        (Measure::AnsweredShare, Sum::Answered, Sum::Attempts),
        (Measure::ShortRingShare, Sum::ShortRing, Sum::Ended),
        (Measure::ShortShare, Sum::Short, Sum::AnsweredEnded),
    ]
    .into_iter()
    .find(|(known, _, _)| *known == measure)
    .map(|(_, part, whole)| (part, whole))
}

/// The value of this hour so far, if it is that unusual.
fn usual(subject: &Subject, measure: Measure, tenths: u32) -> Option<i64> {
    let memory = subject.memory.as_ref()?;
    let (cost, attempts) = memory.baseline.now();
    if measure.is_money() {
        memory.is_cost_unusual(tenths).then_some(i64::from(cost))
    } else {
        memory.baseline.are_attempts_unusual(tenths).then_some(i64::from(attempts))
    }
}

fn in_words(measure: Measure, value: i64) -> String {
    if measure.is_money() {
        let amount = rust_decimal::Decimal::new(value, MONEY_SCALE).round_dp(2);
        format!("{amount}{}", measure.unit())
    } else {
        format!("{value}{}", measure.unit())
    }
}

fn limit_in_words(measure: Measure, bound: Bound) -> String {
    match bound {
        Bound::AtLeast(least) => format!("{} or more", in_words(measure, least)),
        Bound::AtMost(most) => format!("{} or less", in_words(measure, most)),
        Bound::AboveUsual(tenths) => {
            format!("{}.{} standard deviations above its own hour of the week", tenths / 10, tenths % 10)
        }
        Bound::AboveOthers(points) => format!("{points} percentage points above all others"),
    }
}
