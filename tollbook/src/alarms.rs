//! What an operator wants to be woken for: no CDR for too long, calls that do not end, records that pile up in suspense, destinations that
//! no fee covers.
//!
//! In: figures of the installation, now and then. Out: one log line and one mail when a trouble begins, and one when it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lake::Lake;
use model::{Body, Record};
use serde::Deserialize;
use store::{NewMail, Store};
use tracing::{error, info, warn};

/// Calls named in an alarm.
const NAMED_MAX: usize = 5;

/// The code of a call that no fee covers.
const NO_RATE: &str = "RAT001";

/// Digits that make a destination: a country and an area or network of it.
const NO_RATE_DIGITS: usize = 5;

/// Calls without a fee that are looked at.
const NO_RATE_MAX: u32 = 10_000;

/// When to raise an alarm, and whom to tell.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AlarmConfig {
    /// No CDR for so long is an alarm, e.g. `"30m"`; `"0s"` is never, for an installation with quiet nights. Default: `"0s"`.
    #[serde(with = "humantime_serde")]
    pub(crate) no_cdr_after: Duration,
    /// A call that is up for longer is stuck, e.g. `"6h"`; `"0s"` is never. Default: `"6h"`.
    #[serde(with = "humantime_serde")]
    pub(crate) stuck_call_after: Duration,
    /// More open records in suspense are an alarm; they hold up invoices. Default: 100.
    pub(crate) suspended_over: u64,
    /// How often it is looked. Default: `"1m"`.
    #[serde(with = "humantime_serde")]
    pub(crate) every: Duration,
    /// Who is mailed, e.g. `["noc@example.org"]`. Default: nobody; the log says it all the same.
    pub(crate) notify: Vec<String>,
}

impl Default for AlarmConfig {
    fn default() -> Self {
        Self {
            no_cdr_after: Duration::ZERO,
            stuck_call_after: Duration::from_secs(6 * 3_600),
            suspended_over: 100,
            every: Duration::from_secs(60),
            notify: Vec::new(),
        }
    }
}

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    NoCdr,
    StuckCall,
    Suspense,
    NoRate,
}

impl Alarm {
    const fn title(self) -> &'static str {
        match self {
            Alarm::NoCdr => "no CDR",
            Alarm::StuckCall => "stuck calls",
            Alarm::Suspense => "records in suspense",
            Alarm::NoRate => "calls without a fee",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Alarm::NoCdr => {
                "Look whether calls come in (tollbook sql \"select max(start_at) from calls\"), and in the log for stages that fail."
            }
            Alarm::StuckCall => {
                "Look at the calls' phones and trunks; a call that was lost is closed after mediator.close_after of silence."
            }
            Alarm::Suspense => "tollbook suspense lists them with what to do.",
            Alarm::NoRate => {
                "Add the fees and import them with --valid-from before the calls (tollbook import fees): the calls are priced then. \
                 tollbook suspense names the profiles."
            }
        }
    }
}

/// What the installation is like at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    /// Rows of the lake: where every CDR ends. `None` while it cannot be asked: its bucket may be out of reach.
    pub(crate) n_rows: Option<u64>,
    /// Calls that are up, and since when.
    pub(crate) up: Vec<(String, DateTime<Utc>)>,
    /// Open records in suspense.
    pub(crate) n_suspended: u64,
    /// Calls that no fee covers, by the beginning of the number called.
    pub(crate) no_rate: BTreeMap<String, u64>,
}

/// A change in what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It begins; in words.
    Raised(Alarm, String),
    /// It is over.
    Cleared(Alarm),
}

/// Remembers what was wrong at the last look.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Rows of the lake, and when they last became more.
    rows: Option<(u64, DateTime<Utc>)>,
    raised: BTreeSet<Alarm>,
    /// Destinations without a fee that were told, as long as calls to them wait.
    no_rate: BTreeSet<String>,
}

impl Watch {
    /// Takes a look. An alarm is told once when it begins and once when it ends.
    pub(crate) fn look(&mut self, config: &AlarmConfig, look: &Look, now: DateTime<Utc>) -> Vec<Change> {
        // While nobody can count them they are as many as before: silence goes on.
        let n_rows = look.n_rows.or(self.rows.map(|(n_rows, _)| n_rows));
        let wrong: BTreeMap<Alarm, String> = [
            (Alarm::NoCdr, n_rows.and_then(|n_rows| self.no_cdr(config, n_rows, now))),
            (Alarm::StuckCall, stuck(config, &look.up, now)),
            (
                Alarm::Suspense,
                (look.n_suspended > config.suspended_over)
                    .then(|| format!("{} records wait in suspense", look.n_suspended)),
            ),
        ]
        .into_iter()
        .filter_map(|(alarm, why)| Some((alarm, why?)))
        .collect();
        let cleared = self
            .raised
            .iter()
            .filter(|alarm| !wrong.contains_key(alarm))
            .map(|alarm| Change::Cleared(*alarm));
        let mut changes: Vec<Change> = cleared.collect();
        self.raised.retain(|alarm| wrong.contains_key(alarm));
        for (alarm, why) in wrong {
            if self.raised.insert(alarm) {
                changes.push(Change::Raised(alarm, why));
            }
        }
        changes.extend(self.no_rate(&look.no_rate));
        changes
    }

    /// Each destination is told once, however many calls go there, until no call to it waits any more.
    fn no_rate(&mut self, waiting: &BTreeMap<String, u64>) -> Option<Change> {
        let had_some = !self.no_rate.is_empty();
        let fresh: Vec<String> = waiting
            .iter()
            .filter(|(destination, _)| !self.no_rate.contains(*destination))
            .map(|(destination, n_calls)| format!("{destination}… ({n_calls})"))
            .collect();
        self.no_rate = waiting.keys().cloned().collect();
        if fresh.is_empty() {
            return (had_some && waiting.is_empty()).then_some(Change::Cleared(Alarm::NoRate));
        }
        let more = match fresh.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = fresh[..fresh.len().min(NAMED_MAX)].join(", ");
        Some(Change::Raised(
            Alarm::NoRate,
            format!("no fee covers calls to {named}{more}; they wait in suspense"),
        ))
    }

    fn no_cdr(&mut self, config: &AlarmConfig, n_rows: u64, now: DateTime<Utc>) -> Option<String> {
        let since = match self.rows {
            Some((before, since)) if before == n_rows => since,
            Some(_) | None => now,
        };
        self.rows = Some((n_rows, since));
        let silent = now.signed_duration_since(since);
        is_over(silent, config.no_cdr_after).then(|| {
            format!(
                "no CDR has been written for {} minutes, since {}",
                silent.num_minutes(),
                since.format("%F %T UTC")
            )
        })
    }
}

/// Whether `is` has reached a limit that is not switched off.
fn is_over(is: TimeDelta, limit: Duration) -> bool {
    !limit.is_zero() && TimeDelta::from_std(limit).is_ok_and(|limit| is >= limit)
}

fn stuck(config: &AlarmConfig, up: &[(String, DateTime<Utc>)], now: DateTime<Utc>) -> Option<String> {
    let mut stuck: Vec<&(String, DateTime<Utc>)> = up
        .iter()
        .filter(|(_, since)| is_over(now.signed_duration_since(*since), config.stuck_call_after))
        .collect();
    stuck.sort_by_key(|(_, since)| *since);
    let (_, oldest) = stuck.first()?;
    let names: Vec<&str> = stuck.iter().take(NAMED_MAX).map(|(call, _)| call.as_str()).collect();
    Some(format!(
        "{} calls are up for longer than {}, the oldest since {}, such as {}",
        stuck.len(),
        humantime_serde::re::humantime::format_duration(config.stuck_call_after),
        oldest.format("%F %T UTC"),
        names.join(", ")
    ))
}

/// Looks at the installation.
pub(crate) async fn gather(store: &Store, lake: &Lake) -> anyhow::Result<Look> {
    let entries = store.stage_entries("mediator", '@').await?;
    let entries = entries.iter().filter(|(key, _)| mediator::has_open_calls(key));
    let open = mediator::open_calls(entries.map(|(key, value)| (key.as_str(), value.as_slice())))
        .map_err(|why| anyhow::anyhow!(why))?;
    let up = open.into_iter().filter_map(|call| Some((call.call.to_string(), call.up_since?))).collect();
    let mut no_rate = BTreeMap::new();
    for raw in store.suspense_raw(NO_RATE, NO_RATE_MAX).await? {
        if let Ok(Record { body: Body::Cdr(cdr), .. }) = model::wire::decode(&raw) {
            let number =
                cdr.destination.number.map_or(cdr.destination.user_in, |number| number.to_string().into());
            let beginning = number.trim_start_matches('+').chars().take(NO_RATE_DIGITS).collect::<String>();
            *no_rate.entry(beginning).or_default() += 1;
        }
    }
    let n_suspended = store.suspense_counts().await?.into_iter().map(|(_, _, n)| n).sum();
    // The other alarms are of calls and of the database: an outage of the lake's store silences none of them.
    let n_rows = lake
        .count_rows()
        .inspect_err(|why| warn!(error = %why, code = why.code(), "rows of the lake could not be counted"))
        .ok();
    Ok(Look { n_rows, up, n_suspended, no_rate })
}

/// Tells the log, and whoever is to be mailed.
pub(crate) async fn tell(
    store: &Store,
    config: &AlarmConfig,
    changes: Vec<Change>,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    for change in changes {
        let (subject, text) = match change {
            Change::Raised(alarm, why) => {
                error!(alarm = alarm.title(), why, "alarm raised");
                (format!("Alarm: {}", alarm.title()), format!("{why}.\n\n{}\n", alarm.remedy()))
            }
            Change::Cleared(alarm) => {
                info!(alarm = alarm.title(), "alarm is over");
                (format!("Over: {}", alarm.title()), format!("At {} it was over.\n", now.format("%F %T UTC")))
            }
        };
        if !config.notify.is_empty() {
            let to = config.notify.clone();
            let mail = NewMail { to, subject, text, attachments: Vec::new(), about: "alarm".to_owned() };
            store.mail_enqueue(&mail, now).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn config() -> AlarmConfig {
        AlarmConfig { no_cdr_after: Duration::from_secs(1_800), ..AlarmConfig::default() }
    }

    #[test]
    fn silence_is_told_once_and_its_end_once() {
        let mut watch = Watch::default();
        let mut look = |minutes, n_rows: Option<u64>| {
            watch.look(&config(), &Look { n_rows, ..Look::default() }, at(minutes))
        };
        assert_eq!(look(0, Some(7)), []);
        assert_eq!(look(29, Some(7)), []);
        let why = "no CDR has been written for 30 minutes, since 1970-01-01 00:00:00 UTC".to_owned();
        assert_eq!(look(30, Some(7)), [Change::Raised(Alarm::NoCdr, why)]);
        assert_eq!(look(31, Some(7)), []);
        // Of a lake that cannot be asked nobody knows more.
        assert_eq!(look(31, None), []);
        assert_eq!(look(32, Some(8)), [Change::Cleared(Alarm::NoCdr)]);
        assert_eq!(look(61, Some(8)), []);
        assert!(matches!(look(62, Some(8))[..], [Change::Raised(Alarm::NoCdr, _)]));
    }

    #[test]
    fn quiet_nights_are_no_alarm_unless_asked_for() {
        let mut watch = Watch::default();
        for minutes in 0..2_000 {
            assert_eq!(watch.look(&AlarmConfig::default(), &Look::default(), at(minutes)), []);
        }
    }

    #[test]
    fn call_of_six_hours_is_stuck_and_named() {
        let mut watch = Watch::default();
        let up = vec![("young".to_owned(), at(1)), ("old".to_owned(), at(0))];
        let look = Look { up, ..Look::default() };
        assert_eq!(watch.look(&AlarmConfig::default(), &look, at(359)), []);
        let why = "1 calls are up for longer than 6h, the oldest since 1970-01-01 00:00:00 UTC, such as old"
            .to_owned();
        assert_eq!(
            watch.look(&AlarmConfig::default(), &look, at(360)),
            [Change::Raised(Alarm::StuckCall, why)]
        );
        assert_eq!(
            watch.look(&AlarmConfig::default(), &Look::default(), at(361)),
            [Change::Cleared(Alarm::StuckCall)]
        );
    }

    #[test]
    fn destination_without_a_fee_is_told_once_whatever_calls_follow() {
        let mut watch = Watch::default();
        let mut look = |waiting: &[(&str, u64)]| {
            let no_rate = waiting.iter().map(|(number, n_calls)| ((*number).to_owned(), *n_calls)).collect();
            watch.look(&config(), &Look { no_rate, ..Look::default() }, at(0))
        };
        let told = |why: &str| {
            let why = format!("no fee covers calls to {why}; they wait in suspense");
            [Change::Raised(Alarm::NoRate, why)]
        };
        assert_eq!(look(&[]), []);
        assert_eq!(look(&[("88213", 1)]), told("88213… (1)"));
        assert_eq!(look(&[("88213", 900)]), []);
        assert_eq!(look(&[("88213", 900), ("24720", 2)]), told("24720… (2)"));
        assert_eq!(look(&[("24720", 2)]), []);
        assert_eq!(look(&[]), [Change::Cleared(Alarm::NoRate)]);
        assert_eq!(look(&[("88213", 1)]), told("88213… (1)"), "it has begun again");
        let many: Vec<String> = (10_000..10_007).map(|number: u32| number.to_string()).collect();
        let many: Vec<(&str, u64)> = many.iter().map(|number| (number.as_str(), 1)).collect();
        assert_eq!(
            look(&many),
            told("10000… (1), 10001… (1), 10002… (1), 10003… (1), 10004… (1) and 2 more")
        );
    }

    #[test]
    fn pile_of_suspended_records_is_an_alarm_above_its_limit() {
        let mut watch = Watch::default();
        let mut look = |n_suspended| watch.look(&config(), &Look { n_suspended, ..Look::default() }, at(0));
        assert_eq!(look(100), []);
        assert!(matches!(look(101)[..], [Change::Raised(Alarm::Suspense, _)]));
    }
}
