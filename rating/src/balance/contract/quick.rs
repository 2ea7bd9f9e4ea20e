//! Reads a contract from its JSON as it was written here, several times as fast as the generated code: a start reads all of them.
//!
//! In: bytes. Out: the contract if they are in the form in which [`serde_json`] writes a usual one, to the last byte. Of all others
//! the generated code decides; a property holds the two to the same contracts.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use chrono_tz::Tz;
use model::{BalanceLength, BalanceUnit};

use super::{Cadence, Contract, Grant, Interval, Order, Stretch};
use crate::balance::cadence::MonthArithmetic;
use crate::balance::order::Stated;

/// What is left to be read.
pub(crate) struct Quick<'b> {
    left: &'b [u8],
}

/// Words that most contracts have alike.
#[derive(Debug, Default)]
pub(crate) struct Words {
    zone: Option<(Vec<u8>, Tz)>,
}

impl<'b> Quick<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { left: bytes }
    }

    /// Nothing is left.
    pub(crate) fn is_at_end(&self) -> bool {
        self.left.is_empty()
    }

    /// Reads `text`, or says that it is not there.
    pub(crate) fn has(&mut self, text: &str) -> bool {
        let rest = self.left.strip_prefix(text.as_bytes());
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }

    /// Reads `text`, which must be there.
    pub(crate) fn eat(&mut self, text: &str) -> Option<()> {
        self.has(text).then_some(())
    }

    /// A whole number as JSON has them: no zeros before it.
    pub(crate) fn unsigned(&mut self) -> Option<u64> {
        let n_digits = self.left.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if n_digits == 0 || n_digits > 1 && self.left[0] == b'0' {
            return None;
        }
        let (digits, rest) = self.left.split_at(n_digits);
        self.left = rest;
        digits
            .iter()
            .try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
    }

    fn signed(&mut self) -> Option<i64> {
        if !self.has("-") {
            return i64::try_from(self.unsigned()?).ok();
        }
        // The lowest of all is left to the generated code, and so is -0, which is no whole number to it.
        i64::try_from(self.unsigned()?).ok().filter(|value| *value > 0).map(|value| -value)
    }

    fn flag(&mut self) -> Option<bool> {
        if self.has("true") {
            return Some(true);
        }
        self.eat("false").map(|()| false)
    }

    /// A text without anything that is written in another way than it is.
    pub(crate) fn text(&mut self) -> Option<&'b [u8]> {
        self.eat("\"")?;
        let n_bytes = self.left.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..b' ' | 0x7f..))?;
        let (text, rest) = self.left.split_at(n_bytes);
        self.left = rest;
        self.eat("\"")?;
        Some(text)
    }

    fn digits(&mut self, n_digits: usize) -> Option<u32> {
        let (digits, rest) = self.left.split_at_checked(n_digits)?;
        self.left = rest;
        digits.iter().try_fold(0_u32, |value, digit| {
            digit.is_ascii_digit().then(|| value * 10 + u32::from(digit - b'0'))
        })
    }

    /// `2026-11-26T11:00:00`, with a fraction of three, six or nine digits if it has one.
    fn wall(&mut self) -> Option<NaiveDateTime> {
        let year = self.digits(4)?;
        self.eat("-")?;
        let month = self.digits(2)?;
        self.eat("-")?;
        let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, self.digits(2)?)?;
        self.eat("T")?;
        let hour = self.digits(2)?;
        self.eat(":")?;
        let minute = self.digits(2)?;
        self.eat(":")?;
        let second = self.digits(2)?;
        let mut nanos = 0;
        if self.has(".") {
            let n_digits = self.left.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let unit = match n_digits {
                3 => 1_000_000,
                6 => 1_000,
                9 => 1,
                _ => return None,
            };
            nanos = self.digits(n_digits)? * unit;
        }
        date.and_hms_nano_opt(hour, minute, second, nanos)
    }

    fn time(&mut self) -> Option<DateTime<Utc>> {
        self.eat("\"")?;
        let wall = self.wall()?;
        self.eat("Z\"")?;
        Some(wall.and_utc())
    }

    fn zone(&mut self, words: &mut Words) -> Option<Tz> {
        let name = self.text()?;
        if let Some((_, zone)) = words.zone.as_ref().filter(|(known, _)| known == name) {
            return Some(*zone);
        }
        let zone = std::str::from_utf8(name).ok()?.parse().ok()?;
        words.zone = Some((name.to_owned(), zone));
        Some(zone)
    }

    fn grant(&mut self) -> Option<Grant> {
        self.eat("{\"seconds\":")?;
        let seconds = self.unsigned()?;
        self.eat(",\"micros\":")?;
        let micros = self.signed()?;
        self.eat("}")?;
        Some(Grant { seconds, micros })
    }

    fn interval(&mut self) -> Option<Interval> {
        self.eat("{\"stretch\":{\"start\":")?;
        let start = self.time()?;
        self.eat(",\"end\":")?;
        let end = if self.has("null") { None } else { Some(self.time()?) };
        self.eat("},\"granted\":")?;
        let granted = self.grant()?;
        self.eat(",\"left\":")?;
        let left = self.grant()?;
        self.eat(",\"debit_micros\":")?;
        let debit_micros = self.signed()?;
        self.eat(",\"n_topups\":")?;
        let n_topups = u32::try_from(self.unsigned()?).ok()?;
        self.eat(",\"n_timely\":")?;
        let n_timely = u32::try_from(self.unsigned()?).ok()?;
        self.eat(",\"ended_with_micros\":")?;
        let ended_with_micros = self.signed()?;
        let own_ended = self.has(",\"own_ended\":true");
        self.eat("}")?;
        let stretch = Stretch { start, end };
        Some(Interval {
            stretch,
            granted,
            left,
            debit_micros,
            n_topups,
            n_timely,
            ended_with_micros,
            own_ended,
        })
    }

    fn stated(&mut self) -> Option<Stated> {
        self.eat("{\"number\":")?;
        let number = self.unsigned()?;
        self.eat(",\"cdr\":")?;
        let cdr = serde_json::from_slice(&[b"\"", self.text()?, b"\""].concat()).ok()?;
        self.eat(",\"at\":")?;
        let at = self.time()?;
        self.eat("}")?;
        Some(Stated { number, cdr, at })
    }

    fn order(&mut self) -> Option<Order> {
        self.eat("{\"interval\":")?;
        let interval = self.time()?;
        self.eat(",\"own_micros\":")?;
        let own_micros = self.signed()?;
        self.eat(",\"expired_micros\":")?;
        let expired_micros = self.signed()?;
        if self.has(",\"revived_micros\":") {
            // Earlier releases counted it.
            self.signed()?;
        }
        let own_ended_at = if self.has(",\"own_ended_at\":") { Some(self.time()?) } else { None };
        self.eat(",\"credit_micros\":")?;
        let credit_micros = self.signed()?;
        self.eat(",\"lacks_micros\":")?;
        let lacks_micros = self.signed()?;
        self.eat(",\"forgiven_micros\":")?;
        let forgiven_micros = self.signed()?;
        let carried_micros = if self.has(",\"carried_micros\":") { self.signed()? } else { 0 };
        self.eat(",\"last\":")?;
        let last = if self.has("null") { None } else { Some(self.time()?) };
        self.eat(",\"stated\":")?;
        let stated = if self.has("null") { None } else { Some(self.stated()?) };
        self.eat(",\"is_unknown\":")?;
        let is_unknown = self.flag()?;
        self.eat("}")?;
        Some(Order {
            interval,
            own_micros,
            expired_micros,
            own_ended_at,
            // Few have any.
            ended_again: Vec::new(),
            credit_micros,
            lacks_micros,
            forgiven_micros,
            carried_micros,
            last,
            stated,
            is_unknown,
        })
    }

    fn cadence(&mut self, words: &mut Words) -> Option<Cadence> {
        self.eat("{\"anchor\":\"")?;
        let anchor = self.wall()?;
        self.eat("\",\"zone\":")?;
        let zone = self.zone(words)?;
        self.eat(",\"length\":{\"unit\":")?;
        let unit: BalanceUnit = std::str::from_utf8(self.text()?).ok()?.parse().ok()?;
        self.eat(",\"count\":")?;
        let length = BalanceLength { unit, count: u32::try_from(self.unsigned()?).ok()? };
        self.eat("},\"months\":")?;
        let months = match self.text()? {
            b"EndOfMonth" => MonthArithmetic::EndOfMonth,
            b"Overflow" => MonthArithmetic::Overflow,
            _ => return None,
        };
        self.eat("}")?;
        Some(Cadence { anchor, zone, length, months })
    }

    /// A contract without usage, which few have.
    pub(crate) fn contract(&mut self, words: &mut Words) -> Option<Contract> {
        self.eat("{\"created_at\":")?;
        let created_at = self.time()?;
        self.eat(",\"own_micros\":")?;
        let own_micros = self.signed()?;
        self.eat(",\"intervals\":[")?;
        let mut intervals = vec![self.interval()?];
        while self.has(",") {
            intervals.push(self.interval()?);
        }
        let mut orders = Vec::new();
        if self.has("],\"orders\":[") {
            orders.push(self.order()?);
            while self.has(",") {
                orders.push(self.order()?);
            }
        }
        self.eat("],\"cadence\":")?;
        let cadence = if self.has("null") { None } else { Some(self.cadence(words)?) };
        self.eat(",\"last_topup_end\":")?;
        let last_topup_end = self.time()?;
        self.eat(",\"is_under_lock\":")?;
        let is_under_lock = self.flag()?;
        self.eat(",\"is_under_profile\":")?;
        let is_under_profile = self.flag()?;
        self.eat("}")?;
        Some(Contract {
            created_at,
            own_micros,
            intervals,
            usage: Vec::new(),
            orders,
            cadence,
            last_topup_end,
            is_under_lock,
            is_under_profile,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Usage;
    use super::*;
    use crate::balance::order::EndOfOwn;

    fn read(bytes: &[u8], words: &mut Words) -> Option<Contract> {
        let mut quick = Quick::new(bytes);
        let contract = quick.contract(words)?;
        quick.is_at_end().then_some(contract)
    }

    fn times() -> impl Strategy<Value = DateTime<Utc>> {
        let nanos = prop_oneof![Just(0), Just(120_000_000), Just(123_456_000), 0u32..1_000_000_000];
        (-62_000_000_000_i64..200_000_000_000, nanos)
            .prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap())
    }

    fn intervals() -> impl Strategy<Value = Interval> {
        let grant = || (any::<u64>(), any::<i64>()).prop_map(|(seconds, micros)| Grant { seconds, micros });
        let stretch = (times(), prop::option::of(times())).prop_map(|(start, end)| Stretch { start, end });
        let micros = prop::array::uniform2(any::<i64>());
        (stretch, grant(), grant(), micros, any::<u32>(), any::<u32>(), any::<bool>()).prop_map(
            |(stretch, granted, left, micros, n_topups, n_timely, own_ended)| {
                let [debit_micros, ended_with_micros] = micros;
                Interval {
                    stretch,
                    granted,
                    left,
                    debit_micros,
                    n_topups,
                    n_timely,
                    ended_with_micros,
                    own_ended,
                }
            },
        )
    }

    fn cadences() -> impl Strategy<Value = Cadence> {
        let zones =
            vec![Tz::UTC, Tz::Europe__Vienna, Tz::America__Argentina__Buenos_Aires, Tz::Etc__GMTPlus5];
        let months = vec![MonthArithmetic::EndOfMonth, MonthArithmetic::Overflow];
        (
            times(),
            prop::sample::select(zones),
            prop::sample::select(BalanceUnit::ALL.to_vec()),
            any::<u32>(),
            prop::sample::select(months),
        )
            .prop_map(|(anchor, zone, unit, count, months)| Cadence {
                anchor: anchor.naive_utc(),
                zone,
                length: BalanceLength { unit, count },
                months,
            })
    }

    fn orders() -> impl Strategy<Value = Order> {
        let amounts = (prop::array::uniform5(any::<i64>()), prop_oneof![Just(0), any::<i64>()]);
        let stated = (any::<u64>(), any::<u32>(), times()).prop_map(|(number, n, at)| {
            let cdr = model::CdrId::derive(&model::CallUid::new(n.to_string()), 0);
            Stated { number, cdr, at }
        });
        let again = (times(), any::<i64>()).prop_map(|(at, expired_micros)| EndOfOwn { at, expired_micros });
        let again = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(again, 1..3)];
        let ends = (prop::option::of(times()), again);
        let others = (ends, prop::option::of(times()), prop::option::of(stated), any::<bool>());
        (times(), amounts, others).prop_map(
            |(interval, (amounts, carried_micros), (ends, last, stated, is_unknown))| {
                let (own_ended_at, ended_again) = ends;
                let [own_micros, expired_micros, credit_micros, lacks_micros, forgiven_micros] = amounts;
                Order {
                    interval,
                    own_micros,
                    expired_micros,
                    own_ended_at,
                    ended_again,
                    credit_micros,
                    lacks_micros,
                    forgiven_micros,
                    carried_micros,
                    last,
                    stated,
                    is_unknown,
                }
            },
        )
    }

    fn contracts() -> impl Strategy<Value = Contract> {
        let own = prop_oneof![Just(0), Just(i64::MIN), -9_000_000i64..9_000_000, any::<i64>()];
        let used = prop::option::weighted(0.1, (times(), any::<i64>(), any::<u64>(), any::<i64>()));
        let listed = (prop::collection::vec(intervals(), 1..4), prop::collection::vec(orders(), 0..3));
        (times(), own, listed, used, prop::option::of(cadences()), times(), any::<bool>(), any::<bool>())
            .prop_map(
                |(
                    created_at,
                    own_micros,
                    (intervals, orders),
                    used,
                    cadence,
                    last_topup_end,
                    is_under_lock,
                    is_under_profile,
                )| {
                    let used = used.map(|(interval, version, seconds, micros)| Usage {
                        interval,
                        version: model::ProfileVersionId(version),
                        seconds,
                        micros,
                    });
                    Contract {
                        created_at,
                        own_micros,
                        intervals,
                        usage: used.into_iter().collect(),
                        orders,
                        cadence,
                        last_topup_end,
                        is_under_lock,
                        is_under_profile,
                    }
                },
            )
    }

    #[test]
    fn usual_contract_needs_no_other_reader() {
        let entry = br#"{"created_at":"2026-11-26T11:05:06.123456Z","own_micros":-5000000,"intervals":[{"stretch":{"start":"2026-10-31T23:00:00Z","end":"2026-11-30T23:00:00Z"},"granted":{"seconds":3600,"micros":0},"left":{"seconds":0,"micros":0},"debit_micros":0,"n_topups":1,"n_timely":0,"ended_with_micros":0}],"cadence":{"anchor":"2026-11-01T00:00:00","zone":"Europe/Vienna","length":{"unit":"month","count":1},"months":"EndOfMonth"},"last_topup_end":"2026-11-30T23:00:00Z","is_under_lock":false,"is_under_profile":true}"#;
        let contract = read(entry, &mut Words::default()).unwrap();
        assert_eq!(contract, serde_json::from_slice(entry).unwrap());
        assert_eq!(serde_json::to_vec(&contract).unwrap(), entry, "what is written has another form by now");
    }

    proptest! {
        #[test]
        fn what_is_read_quickly_is_what_was_written(written in prop::collection::vec(contracts(), 1..4)) {
            let mut words = Words::default();
            for contract in &written {
                let bytes = serde_json::to_vec(contract).unwrap();
                match read(&bytes, &mut words) {
                    Some(read) => prop_assert_eq!(&read, contract),
                    // The lowest number of all, usage and later ends of own money are the others' to read.
                    None => prop_assert!(
                        !contract.usage.is_empty()
                            || contract.orders.iter().any(|order| !order.ended_again.is_empty())
                            || String::from_utf8(bytes).unwrap().contains(&i64::MIN.to_string())
                    ),
                }
            }
        }

        #[test]
        fn damaged_contract_is_never_read_as_another(
            contract in contracts(),
            place: prop::sample::Index,
            change in prop_oneof![Just(None), any::<u8>().prop_map(Some), prop::sample::select(b"0123456789-.\":,{}[]TZ+e ".to_vec()).prop_map(Some)],
        ) {
            let mut bytes = serde_json::to_vec(&contract).unwrap();
            let place = place.index(bytes.len());
            match change {
                Some(other) => bytes[place] = other,
                None => drop(bytes.remove(place)),
            }
            if let Some(read) = read(&bytes, &mut Words::default()) {
                prop_assert_eq!(read, serde_json::from_slice(&bytes).unwrap());
            }
        }
    }
}
