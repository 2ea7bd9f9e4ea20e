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
