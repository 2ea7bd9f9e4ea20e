//! Barrings as a switch holds them, for calls that are imagined or long over.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use model::{AccountId, Barring, TenantId};

/// What is barred now.
#[derive(Debug, Default)]
pub(crate) struct Bars {
    of: BTreeMap<(TenantId, AccountId), Vec<Bar>>,
}

#[derive(Debug)]
struct Bar {
    barring: Barring,
    /// Calls that got through in the last minute.
    through: VecDeque<DateTime<Utc>>,
}

impl Bars {
    /// Nothing was ever barred.
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Sets or lifts one.
    pub(crate) fn set(&mut self, barring: Barring) {
        let bars = self.of.entry((barring.tenant, barring.account)).or_default();
        bars.retain(|bar| bar.barring.key() != barring.key());
        bars.push(Bar { barring, through: VecDeque::new() });
    }

    /// Whether a call of `payer` to `callee` is refused.
    pub(crate) fn refuses(
        &mut self,
        tenant: TenantId,
        payer: AccountId,
        callee: Option<u64>,
        at: DateTime<Utc>,
    ) -> bool {
        let callee = callee.map(|callee| callee.to_string()).unwrap_or_default();
        [payer, AccountId::NOBODY].into_iter().any(|account| {
            let Some(bars) = self.of.get_mut(&(tenant, account)) else { return false };
            bars.retain(|bar| bar.barring.is_in_force(at));
            bars.iter_mut()
                .filter(|bar| callee.starts_with(&bar.barring.range))
                .any(|bar| !bar.lets_through(at))
        })
    }
}

impl Bar {
    fn lets_through(&mut self, at: DateTime<Utc>) -> bool {
        let minute_ago = at - TimeDelta::minutes(1);
        while self.through.front().is_some_and(|before| *before <= minute_ago) {
            self.through.pop_front();
        }
        let most = usize::try_from(self.barring.calls_per_minute).unwrap_or(usize::MAX);
        let is_let = self.through.len() < most;
        if is_let {
            self.through.push_back(at);
        }
        is_let
    }
}

#[cfg(test)]
mod tests {
    use model::LockSource;

    use super::*;

    #[test]
    fn range_is_refused_and_calls_beyond_those_of_a_minute() {
        let at = |second: i64| DateTime::UNIX_EPOCH + TimeDelta::seconds(second);
        let barring = |range: &str, calls_per_minute| Barring {
            tenant: TenantId(1),
            account: AccountId(7),
            range: range.to_owned(),
            calls_per_minute,
            source: LockSource::Fraud,
            reason: String::new(),
            alert: None,
            since: at(0),
            until: Some(at(600)),
        };
        let mut bars = Bars::default();
        bars.set(barring("371", 0));
        bars.set(barring("", 2));
        let mut is_refused =
            |payer, callee, second| bars.refuses(TenantId(1), AccountId(payer), Some(callee), at(second));
        assert!(is_refused(7, 37_112_345, 1));
        assert!(!is_refused(8, 37_112_345, 1), "another account");
        let refused: Vec<bool> = (10..13).map(|second| is_refused(7, 49_301, second)).collect();
        assert_eq!(refused, [false, false, true]);
        assert!(!is_refused(7, 49_301, 71), "the first is a minute ago");
        assert!(!is_refused(7, 37_112_345, 600), "its time is over");
    }
}
