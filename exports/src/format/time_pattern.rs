//! Times as a file writes them: a pattern of `%` letters, and a clock that knows the offset of a zone.
//!
//! The letters are those of `strftime` that a partner's reader can be told in one line. Anything else is refused when
//! a description is loaded, so writing cannot fail.

use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeZone, Utc};
use chrono_tz::Tz;

use super::digits::{PAIRS, push_number, push_padded, push_pair};

/// One part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Byte(u8),
    Year,
    YearOfCentury,
    Month,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millis,
    Micros,
    /// `+0100`.
    Offset,
    /// `+01:00`.
    OffsetWithColon,
    /// Seconds since 1970.
    Unix,
}

/// The letters, for the pattern and for the message that lists them.
const LETTERS: &[(&str, Part)] = &[
    ("Y", Part::Year),
    ("y", Part::YearOfCentury),
    ("m", Part::Month),
    ("d", Part::Day),
    ("j", Part::DayOfYear),
    ("H", Part::Hour),
    ("M", Part::Minute),
    ("S", Part::Second),
    ("3f", Part::Millis),
    ("6f", Part::Micros),
    (":z", Part::OffsetWithColon),
    ("z", Part::Offset),
    ("s", Part::Unix),
    ("%", Part::Byte(b'%')),
];

/// A pattern, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimePattern(Vec<Part>);

impl TimePattern {
    /// Reads `%Y-%m-%d %H:%M:%S.%3f` and the like.
    ///
    /// # Errors
    ///
    /// What is not understood, and what would be.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix('%') {
                let Some((letters, part)) = LETTERS.iter().find(|(letters, _)| after.starts_with(letters))
                else {
                    let known: Vec<String> =
                        LETTERS.iter().map(|(letters, _)| format!("%{letters}")).collect();
                    let given: String = after.chars().take(1).collect();
                    return Err(format!("%{given} is no part of a time; there are {}", known.join(" ")));
                };
                parts.push(*part);
                rest = &after[letters.len()..];
            } else if first.is_ascii() && !first.is_ascii_control() {
                parts.push(Part::Byte(u8::try_from(first).unwrap_or(b' ')));
                rest = &rest[1..];
            } else {
                return Err(format!("{first:?} cannot be part of a time; use ASCII"));
            }
        }
        if parts.iter().all(|part| matches!(part, Part::Byte(_))) {
            return Err("it shows no part of a time; write it like \"%Y-%m-%d %H:%M:%S\"".to_owned());
        }
        Ok(Self(parts))
    }

    /// Characters it writes; `None` where that differs from time to time.
    pub(crate) fn width(&self) -> Option<usize> {
        self.0.iter().map(|part| part.width()).sum()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>, at: DateTime<Utc>, clock: &mut ZoneClock) {
        let local = clock.local(at);
        for part in &self.0 {
            match part {
                Part::Byte(byte) => out.push(*byte),
                Part::Year => push_padded(out, u64::try_from(local.year).unwrap_or(0), 4),
                Part::YearOfCentury => push_pair(out, u32::try_from(local.year.rem_euclid(100)).unwrap_or(0)),
                Part::Month => push_pair(out, local.month),
                Part::Day => push_pair(out, local.day),
                Part::DayOfYear => push_padded(out, u64::from(local.day_of_year), 3),
                Part::Hour => push_pair(out, local.second_of_day / 3600),
                Part::Minute => push_pair(out, local.second_of_day / 60 % 60),
                Part::Second => push_pair(out, local.second_of_day % 60),
                // A leap second is its last millisecond for a second long.
                Part::Millis => push_padded(out, u64::from(at.timestamp_subsec_millis().min(999)), 3),
                Part::Micros => push_padded(out, u64::from(at.timestamp_subsec_micros().min(999_999)), 6),
                Part::Offset => push_offset(out, local.offset_seconds, b""),
                Part::OffsetWithColon => push_offset(out, local.offset_seconds, b":"),
                Part::Unix => push_number(out, at.timestamp()),
            }
        }
    }

    /// Whether `text` is a time of this pattern, on a day that there is.
    pub(crate) fn accepts(&self, text: &[u8]) -> bool {
        self.read(text).is_some_and(<[u8]>::is_empty)
    }

    /// What follows a time of this pattern at the beginning of `text`.
    pub(crate) fn read<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (mut year, mut month, mut day) = (2000, 1, 1);
        let mut rest = text;
        for part in &self.0 {
            let width = match part.width() {
                Some(width) => width,
                None => rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'-').count(),
            };
            let (this, after) = rest.split_at_checked(width)?;
            rest = after;
            let within = |low: u32, high: u32| {
                let value = number(this)?;
                (low..=high).contains(&value).then_some(value)
            };
            match part {
                Part::Byte(byte) => {
                    if this != [*byte] {
                        return None;
                    }
                }
                Part::Year => year = i32::try_from(within(0, 9999)?).ok()?,
                Part::YearOfCentury => year = 2000 + i32::try_from(within(0, 99)?).ok()?,
                Part::Month => month = within(1, 12)?,
                Part::Day => day = within(1, 31)?,
                Part::DayOfYear => {
                    within(1, 366)?;
                }
                Part::Hour => {
                    within(0, 23)?;
                }
                Part::Minute => {
                    within(0, 59)?;
                }
                Part::Second => {
                    within(0, 60)?;
                }
                Part::Millis | Part::Micros => {
                    number(this)?;
                }
                Part::Offset | Part::OffsetWithColon => {
                    let (sign, digits) = this.split_first()?;
                    let digits: Vec<u8> = digits.iter().copied().filter(|byte| *byte != b':').collect();
                    if !matches!(sign, b'+' | b'-') || digits.len() != 4 || number(&digits)? > 2359 {
                        return None;
                    }
                }
                Part::Unix => {
                    std::str::from_utf8(this).ok()?.parse::<i64>().ok()?;
                }
            }
        }
        NaiveDate::from_ymd_opt(year, month, day)?;
        Some(rest)
    }
}

/// A pattern filled in for one local day: what changes within the day is patched into it, which is quicker than to write
/// all of it.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    pub(super) bytes: [u8; Stamp::BYTES_MAX],
    pub(super) len: usize,
    /// The seconds since 1970 that it is filled in for: those of one day with one offset.
    from: i64,
    until: i64,
    /// When its day began.
    midnight: i64,
    /// The minute of the day that it is filled in for.
    minute: u32,
    /// Where in it the hour and the minute are.
    of_minute: Vec<(usize, Part)>,
    /// Where the parts are that are other ones each time.
    patches: Vec<(usize, Part)>,
}

impl Stamp {
    /// Longer patterns are written in full.
    pub(super) const BYTES_MAX: usize = 32;

    /// `pattern` has a width of [`Stamp::BYTES_MAX`] at most.
    pub(super) fn new(pattern: &TimePattern) -> Self {
        let (mut of_minute, mut patches, mut at) = (Vec::new(), Vec::new(), 0);
        for part in &pattern.0 {
            if matches!(part, Part::Hour | Part::Minute) {
                of_minute.push((at, *part));
            }
            if matches!(part, Part::Second | Part::Millis | Part::Micros) {
                patches.push((at, *part));
            }
            at += part.width().unwrap_or(0);
        }
        let bytes = [0; Self::BYTES_MAX];
        Self { bytes, len: at, from: 0, until: 0, midnight: 0, minute: u32::MAX, of_minute, patches }
    }

    /// Fills it in for the day of a second since 1970, and returns the second of that day; `None` of a second that no calendar has.
    #[inline(always)]
    pub(super) fn turn_to(&mut self, pattern: &TimePattern, unix: i64, clock: &mut ZoneClock) -> Option<u32> {
        if unix < self.from || unix >= self.until {
            self.fill(pattern, unix, clock)?;
        }
        u32::try_from(unix - self.midnight).ok()
    }

    #[cold]
    fn fill(&mut self, pattern: &TimePattern, unix: i64, clock: &mut ZoneClock) -> Option<()> {
        let at = DateTime::from_timestamp(unix, 0)?;
        let mut bytes = Vec::with_capacity(Self::BYTES_MAX);
        pattern.write(&mut bytes, at, clock);
        self.bytes[..self.len].copy_from_slice(&bytes[..self.len]);
        self.midnight = unix - i64::from(clock.local(at).second_of_day);
        self.minute = u32::MAX;
        (self.from, self.until) = clock.same_day(unix);
        Some(())
    }

    /// Writes it with the time of day.
    #[inline(always)]
    pub(super) fn write(&mut self, out: &mut [u8; Stamp::BYTES_MAX], second_of_day: u32, micros: u32) {
        // Calls of one file are some seconds apart.
        if second_of_day / 60 != self.minute {
            self.minute = second_of_day / 60;
            for (at, part) in &self.of_minute {
                let number = if *part == Part::Hour { self.minute / 60 } else { self.minute % 60 };
                put_pair(&mut self.bytes, *at, number);
            }
        }
        *out = self.bytes;
        for (at, part) in &self.patches {
            match part {
                Part::Millis => {
                    put_pair(out, *at, micros / 10_000);
                    put_pair(out, *at + 1, micros / 1_000);
                }
                Part::Micros => {
                    put_pair(out, *at, micros / 10_000);
                    put_pair(out, *at + 2, micros / 100);
                    put_pair(out, *at + 4, micros);
                }
                Part::Second => put_pair(out, *at, second_of_day % 60),
                // The same all minute.
                Part::Byte(_)
                | Part::Year
                | Part::YearOfCentury
                | Part::Month
                | Part::Day
                | Part::DayOfYear
                | Part::Hour
                | Part::Minute
                | Part::Offset
                | Part::OffsetWithColon
                | Part::Unix => {}
            }
        }
    }
}

/// The last two digits of a number.
#[inline(always)]
fn put_pair(out: &mut [u8; Stamp::BYTES_MAX], at: usize, number: u32) {
    if let Some(place) = out.get_mut(at..at + 2) {
        place.copy_from_slice(&PAIRS[usize::try_from(number % 100).unwrap_or(0)]);
    }
}

impl Part {
    fn width(self) -> Option<usize> {
        match self {
            Part::Byte(_) => Some(1),
            Part::YearOfCentury | Part::Month | Part::Day | Part::Hour | Part::Minute | Part::Second => {
                Some(2)
            }
            Part::DayOfYear | Part::Millis => Some(3),
            Part::Year => Some(4),
            Part::Offset => Some(5),
            Part::Micros | Part::OffsetWithColon => Some(6),
            Part::Unix => None,
        }
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

fn push_offset(out: &mut Vec<u8>, seconds: i32, colon: &[u8]) {
    out.push(if seconds < 0 { b'-' } else { b'+' });
    let minutes = seconds.unsigned_abs() / 60;
    push_pair(out, minutes / 60);
    out.extend_from_slice(colon);
    push_pair(out, minutes % 60);
}

/// A moment as people in a zone read it.
#[derive(Debug, Clone, Copy)]
struct Local {
    year: i32,
    month: u32,
    day: u32,
    day_of_year: u32,
    second_of_day: u32,
    offset_seconds: i32,
}

/// Zones change their offset at a full quarter of an hour of UTC, if at all.
const SLOT_SECONDS: i64 = 900;
const DAY_SECONDS: i64 = 86_400;
/// 1 January 1970: before that, offsets changed at any second.
const ZONES_SINCE: i64 = 0;

/// A zone, with what it said last: calls of one file are near each other, and looking up a zone costs more than all
/// else that is written of a time.
#[derive(Debug, Clone)]
pub(crate) struct ZoneClock {
    zone: Tz,
    /// The offsets of the slots seen last, each at its place.
    slots: [(i64, i32); REMEMBERED],
    /// Year, month, day and day of the year of the days seen last.
    days: [(i64, (i32, u32, u32, u32)); REMEMBERED],
    /// The last days seen that have one offset from beginning to end; calls around midnight are of two days in turn.
    whole_days: [(i64, i64); 2],
}

/// Slots and days remembered: the beginnings and the ends of calls of one file are some slots apart.
const REMEMBERED: usize = 16;

fn place(number: i64) -> usize {
    usize::try_from(number.rem_euclid(16)).unwrap_or(0)
}

impl ZoneClock {
    pub(crate) fn new(zone: Tz) -> Self {
        Self {
            zone,
            slots: [(i64::MIN, 0); REMEMBERED],
            days: [(i64::MIN, (1970, 1, 1, 1)); REMEMBERED],
            whole_days: [(0, 0); 2],
        }
    }

    fn local(&mut self, at: DateTime<Utc>) -> Local {
        let unix = at.timestamp();
        let slot = unix.div_euclid(SLOT_SECONDS);
        let (known_slot, known_offset) = self.slots[place(slot)];
        let offset_seconds = if slot == known_slot {
            known_offset
        } else {
            let offset_of = |unix: i64| {
                let naive = DateTime::from_timestamp(unix, 0).unwrap_or(at).naive_utc();
                self.zone.offset_from_utc_datetime(&naive).fix().local_minus_utc()
            };
            let offset = offset_of(unix);
            // Before there were zones, offsets changed at odd seconds; such a slot is not kept.
            let first = slot.saturating_mul(SLOT_SECONDS);
            if offset_of(first) == offset && offset_of(first.saturating_add(SLOT_SECONDS - 1)) == offset {
                self.slots[place(slot)] = (slot, offset);
            }
            offset
        };
        let local_unix = unix.saturating_add(i64::from(offset_seconds));
        let day = local_unix.div_euclid(DAY_SECONDS);
        if day != self.days[place(day)].0 {
            let date =
                DateTime::from_timestamp(day.saturating_mul(DAY_SECONDS), 0).unwrap_or(at).naive_utc().date();
            self.days[place(day)] = (day, (date.year(), date.month(), date.day(), date.ordinal()));
        }
        let (year, month, day, day_of_year) = self.days[place(day)].1;
        let second_of_day = u32::try_from(local_unix.rem_euclid(DAY_SECONDS)).unwrap_or(0);
        Local { year, month, day, day_of_year, second_of_day, offset_seconds }
    }

    /// The seconds since 1970 around `unix`, from and until, that are of its local day and have its offset.
    fn same_day(&mut self, unix: i64) -> (i64, i64) {
        let offset_at = |clock: &mut Self, unix: i64| {
            let at = DateTime::from_timestamp(unix, 0)?;
            Some(clock.local(at))
        };
        let Some(here) = offset_at(self, unix) else { return (unix, unix) };
        let midnight = unix - i64::from(here.second_of_day);
        let day = (midnight, midnight + DAY_SECONDS);
        let whole_idx = usize::from(midnight.div_euclid(DAY_SECONDS) % 2 != 0);
        if day == self.whole_days[whole_idx] {
            return day;
        }
        // Whether a zone changes its offset within a day is seen at the ends of its slots.
        let is_whole = (day.0..day.1)
            .step_by(usize::try_from(SLOT_SECONDS).unwrap_or(1))
            .chain([day.1 - 1])
            .all(|other| {
                offset_at(self, other).is_some_and(|there| there.offset_seconds == here.offset_seconds)
            });
        if is_whole && midnight >= ZONES_SINCE {
            self.whole_days[whole_idx] = day;
            return day;
        }
        let slot = unix.div_euclid(SLOT_SECONDS) * SLOT_SECONDS;
        if self.slots[place(slot / SLOT_SECONDS)].0 == slot / SLOT_SECONDS {
            return (slot.max(day.0), (slot + SLOT_SECONDS).min(day.1));
        }
        (unix, unix + 1)
    }

    /// The local day of a moment.
    pub(crate) fn day(&mut self, at: DateTime<Utc>) -> NaiveDate {
        let local = self.local(at);
        NaiveDate::from_ymd_opt(local.year, local.month, local.day).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{America::New_York, Asia::Kathmandu, Europe::Vienna, OffsetName};
    use proptest::prelude::*;

    fn shown(pattern: &str, at: &str, zone: Tz) -> String {
        let mut out = Vec::new();
        TimePattern::parse(pattern).unwrap().write(&mut out, at.parse().unwrap(), &mut ZoneClock::new(zone));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_local_in_summer_and_winter() {
        let pattern = "%Y-%m-%d %H:%M:%S.%3f";
        assert_eq!(shown(pattern, "2026-07-01T22:00:00.0909Z", Vienna), "2026-07-02 00:00:00.090");
        assert_eq!(shown(pattern, "2026-12-31T23:30:00Z", Vienna), "2027-01-01 00:30:00.000");
        assert_eq!(shown("%y%j%H%M%:z", "2026-12-31T23:30:00Z", Kathmandu), "270010515+05:45");
        assert_eq!(shown("%s %z%%", "1970-01-02T00:00:00Z", New_York), "86400 -0500%");
    }

    #[test]
    fn hour_that_comes_twice_is_told_apart_by_its_offset() {
        let pattern = "%H:%M%z";
        assert_eq!(shown(pattern, "2026-10-25T00:30:00Z", Vienna), "02:30+0200");
        assert_eq!(shown(pattern, "2026-10-25T01:30:00Z", Vienna), "02:30+0100");
    }

    #[test]
    fn unknown_letters_are_named() {
        assert!(TimePattern::parse("%Q").unwrap_err().starts_with("%Q is no part of a time; there are %Y"));
        assert!(TimePattern::parse("noon").unwrap_err().contains("no part of a time"));
        assert!(TimePattern::parse("%H\u{2009}%M").is_err());
        assert!(TimePattern::parse("%").is_err());
    }

    #[test]
    fn a_day_that_there_is_not_is_not_accepted() {
        let pattern = TimePattern::parse("%Y-%m-%d %H:%M:%S").unwrap();
        assert!(pattern.accepts(b"2026-02-28 23:59:60"));
        for wrong in
            ["2026-02-29 00:00:00", "2026-13-01 00:00:00", "2026-01-01 24:00:00", "2026-01-01", "26-01-01"]
        {
            assert!(!pattern.accepts(wrong.as_bytes()), "{wrong}");
        }
    }

    proptest! {
        /// The clock that remembers says what chrono says, whatever was asked before.
        #[test]
        fn remembered_offsets_are_those_of_the_zone(moments in prop::collection::vec(0_i64..4_000_000_000, 1..40), base in 1_700_000_000_i64..1_900_000_000) {
            for zone in [Vienna, New_York, Kathmandu, Tz::Australia__Lord_Howe, Tz::UTC] {
                let mut clock = ZoneClock::new(zone);
                for moment in &moments {
                    // Near each other, as in a file, and now and then far away.
                    let unix = if moment % 3 == 0 { *moment } else { base + moment % 2_000_000 };
                    let at = DateTime::from_timestamp(unix, 0).unwrap();
                    let mut out = Vec::new();
                    TimePattern::parse("%Y-%m-%d %H:%M:%S%z %j").unwrap().write(&mut out, at, &mut clock);
                    let expected = at.with_timezone(&zone);
                    prop_assert_eq!(String::from_utf8(out).unwrap(), expected.format("%Y-%m-%d %H:%M:%S%z %j").to_string(), "{:?}", expected.offset().abbreviation());
                }
            }
        }

        /// What is patched into the day's text is what writing all of it gives.
        #[test]
        fn stamps_are_the_pattern_written_in_full(
            // Near each other over the end of a day, and over the days on which clocks are changed.
            moments in prop::collection::vec(0_i64..400_000_000_000, 1..20),
            base in prop::sample::select(vec![1_770_000_000_000_000, 1_774_700_000_000_000, 1_792_850_000_000_000, -70_000_000_000]),
        ) {
            for text in ["%Y-%m-%d %H:%M:%S.%3f", "%S%M%H %j %y %6f%:z", "%H%H%z"] {
                let pattern = TimePattern::parse(text).unwrap();
                for zone in [Vienna, Kathmandu, New_York, Tz::Australia__Lord_Howe] {
                    let (mut clock, mut stamp) = (ZoneClock::new(zone), Stamp::new(&pattern));
                    for moment in &moments {
                        let at = DateTime::from_timestamp_micros(base + moment).unwrap();
                        let second = stamp.turn_to(&pattern, at.timestamp(), &mut clock).unwrap();
                        let mut patched = [0; Stamp::BYTES_MAX];
                        stamp.write(&mut patched, second, at.timestamp_subsec_micros());
                        let patched = patched[..stamp.len].to_vec();
                        let mut out = Vec::new();
                        pattern.write(&mut out, at, &mut clock);
                        prop_assert_eq!(patched, out);
                    }
                }
            }
        }
    }
}
