//! Security events, thinned out: a flood of bad datagrams must not become a flood of records.
//!
//! The first of a kind from an address is reported at once, what follows is counted and reported once in [`REPORT_EVERY`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::{AccountId, EventBody, Security, SecurityKind};

use super::{Due, Switch};

/// How often one address and kind is reported.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// Addresses and kinds followed at once; of further ones nothing is kept until the next report.
const FOLLOWED_MAX: usize = 10_000;

/// How often the log has a line of one address.
const LINE_EVERY: Duration = Duration::from_secs(60);
/// Addresses that the log had a line of in the last minute; of further ones it has none.
const LINES_MAX: usize = 256;

/// How often people are told that the calls of one address cannot be told apart.
const AMBIGUOUS_EVERY: Duration = Duration::from_secs(3_600);
/// Addresses they were told of in that time; of further ones the log and the security events alone say something.
const AMBIGUOUS_MAX: usize = 32;

/// What was told of an address.
#[derive(Debug)]
struct Line {
    at: Duration,
    unsaid: u32,
}

/// Addresses of which something was told lately.
#[derive(Debug, Default)]
struct Lines(HashMap<IpAddr, Line>);

impl Lines {
    /// Whether something is to be told of this address now: how often it was not since the last time. Of so many addresses at most each
    /// `every`.
    fn due(&mut self, source: IpAddr, now: Duration, every: Duration, sources_max: usize) -> Option<u32> {
        if let Some(line) = self.0.get_mut(&source) {
            if now.saturating_sub(line.at) < every {
                line.unsaid = line.unsaid.saturating_add(1);
                return None;
            }
            line.at = now;
            return Some(std::mem::take(&mut line.unsaid));
        }
        if self.0.len() >= sources_max {
            self.0.retain(|_, line| now.saturating_sub(line.at) < every);
        }
        if self.0.len() >= sources_max {
            return None;
        }
        self.0.insert(source, Line { at: now, unsaid: 0 });
        Some(0)
    }
}

#[derive(Debug)]
struct Followed {
    since_report: u32,
    last: Security,
}

/// What was seen lately.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    followed: HashMap<(IpAddr, SecurityKind), Followed>,
    is_report_due: bool,
    lines: Lines,
    ambiguous: Lines,
}

impl Guard {
    /// Whether the log is to have a line of this address now: how often it had none since the last one. Addresses can be forged, and a line
    /// for each datagram would fill the disk.
    pub(super) fn line_due(&mut self, source: IpAddr, now: Duration) -> Option<u32> {
        self.lines.due(source, now, LINE_EVERY, LINES_MAX)
    }
}

impl Switch {
    /// Notes something suspicious.
    pub(super) fn note_security(&mut self, what: SecurityKind, source: SocketAddr, user: &str, detail: &str) {
        let security = Security { what, source, user: user.to_owned(), detail: detail.to_owned(), count: 1 };
        let key = (source.ip(), what);
        if let Some(followed) = self.guard.followed.get_mut(&key) {
            followed.since_report = followed.since_report.saturating_add(1);
            followed.last = security;
            return;
        }
        if self.guard.followed.len() >= FOLLOWED_MAX || self.refusal_lines().is_some() {
            return;
        }
        self.guard.followed.insert(key, Followed { since_report: 0, last: security.clone() });
        if !self.guard.is_report_due {
            self.guard.is_report_due = true;
            self.timers.arm(self.now.mono + REPORT_EVERY, Due::SecurityReport);
        }
        self.emit(self.lookup.first_tenant(), AccountId::NOBODY, EventBody::Security(security));
    }

    /// Has people told that calls from `source` are refused because several trunks could have sent them: once in [`AMBIGUOUS_EVERY`].
    pub(super) fn tell_ambiguous(&mut self, source: SocketAddr, trunks: &str) {
        if self.refusal_lines().is_some() {
            return;
        }
        let (now, guard) = (self.now.mono, &mut self.guard);
        let Some(unsaid) = guard.ambiguous.due(source.ip(), now, AMBIGUOUS_EVERY, AMBIGUOUS_MAX) else {
            return;
        };
        let detail = format!(
            "trunks {trunks}: set `numbers` or a login for each of them, or `default_for_address` for the one that takes the rest"
        );
        let what = SecurityKind::AmbiguousSource;
        let security =
            Security { what, source, user: String::new(), detail, count: unsaid.saturating_add(1) };
        self.emit(self.lookup.first_tenant(), AccountId::NOBODY, EventBody::Security(security));
    }

    /// Whether something of this kind from this address has been reported a moment ago.
    pub(super) fn is_followed(&self, what: SecurityKind, source: SocketAddr) -> bool {
        self.guard.followed.contains_key(&(source.ip(), what))
    }

    /// Reports what was counted, and forgets what has become quiet.
    pub(super) fn report_security(&mut self) {
        self.guard.is_report_due = false;
        let mut reports = Vec::new();
        self.guard.followed.retain(|_, followed| {
            let count = std::mem::take(&mut followed.since_report);
            if count > 0 {
                reports.push(Security { count, ..followed.last.clone() });
            }
            count > 0
        });
        reports.sort_by_key(|report| (report.source, report.what));
        for report in reports {
            self.emit(self.lookup.first_tenant(), AccountId::NOBODY, EventBody::Security(report));
        }
        if !self.guard.followed.is_empty() {
            self.guard.is_report_due = true;
            self.timers.arm(self.now.mono + REPORT_EVERY, Due::SecurityReport);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_has_one_line_of_an_address_and_minute_with_what_was_left_out() {
        let mut guard = Guard::default();
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let at = Duration::from_secs;
        assert_eq!(guard.line_due(one, at(0)), Some(0));
        assert_eq!([guard.line_due(one, at(1)), guard.line_due(one, at(59))], [None, None]);
        assert_eq!(guard.line_due(other, at(59)), Some(0));
        assert_eq!(guard.line_due(one, at(60)), Some(2));
        assert_eq!(guard.line_due(one, at(61)), None);
    }

    #[test]
    fn forged_addresses_fill_neither_the_log_nor_the_memory() {
        let mut guard = Guard::default();
        let address = |n: u32| IpAddr::from(std::net::Ipv4Addr::from(n));
        let mut lines = |second| {
            (0..2_000).filter(|n| guard.line_due(address(*n), Duration::from_secs(second)).is_some()).count()
        };
        assert_eq!([lines(0), lines(1)], [LINES_MAX, 0]);
        assert_eq!(lines(100), LINES_MAX, "a minute later there is room again");
        assert!(guard.lines.0.len() <= LINES_MAX);
    }
}
