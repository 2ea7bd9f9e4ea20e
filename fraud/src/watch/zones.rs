//! Local time for many calls at nearly the same time: what a zone's clocks are off by is looked up once for a quarter of an hour.

use chrono::{DateTime, Offset, Utc};
use chrono_tz::Tz;

/// Clocks change at whole quarters of an hour.
const QUARTER: i64 = 900;

/// Zones remembered.
const ZONES_MAX: usize = 8;

/// Offsets as they were asked for last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Zones(Vec<(Tz, i64, i64)>);

impl Zones {
    /// Seconds that the clocks of `zone` are ahead of UTC.
    pub(crate) fn offset(&mut self, at: DateTime<Utc>, zone: Tz) -> i64 {
        if zone == Tz::UTC {
            return 0;
        }
        let quarter = at.timestamp().div_euclid(QUARTER);
        let known = self.0.iter().position(|(known, _, _)| *known == zone);
        if let Some((_, since, offset)) = known.and_then(|place| self.0.get(place))
            && *since == quarter
        {
            return *offset;
        }
        let offset = i64::from(at.with_timezone(&zone).offset().fix().local_minus_utc());
        match known.and_then(|place| self.0.get_mut(place)) {
            Some(slot) => *slot = (zone, quarter, offset),
            None => {
                if self.0.len() == ZONES_MAX {
                    self.0.remove(0);
                }
                self.0.push((zone, quarter, offset));
            }
        }
        offset
    }

    /// Outside of Monday to Friday, 07:00 to 19:00, where the zone is.
    pub(crate) fn is_off_hours(&mut self, at: DateTime<Utc>, zone: Tz) -> bool {
        let local = at.timestamp() + self.offset(at, zone);
        // 1970 began on a Thursday.
        let weekday = (local.div_euclid(86_400) + 3).rem_euclid(7);
        let hour = local.rem_euclid(86_400) / 3_600;
        weekday >= 5 || !(7..19).contains(&hour)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, TimeDelta, Timelike, Weekday};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn remembered_offsets_are_those_of_the_zone(
            begin in 0_i64..2_000_000_000,
            steps in prop::collection::vec((0_i64..100_000, 0_usize..4), 1..60),
        ) {
            let zones = [Tz::Europe__Vienna, Tz::Asia__Kathmandu, Tz::America__New_York, Tz::UTC];
            let mut known = Zones::default();
            let mut at = DateTime::UNIX_EPOCH + TimeDelta::seconds(begin);
            for (seconds, zone) in steps {
                at += TimeDelta::seconds(seconds);
                let local = at.with_timezone(&zones[zone]);
                prop_assert_eq!(known.offset(at, zones[zone]), i64::from(local.offset().fix().local_minus_utc()));
                let is_off = matches!(local.weekday(), Weekday::Sat | Weekday::Sun) || !(7..19).contains(&local.hour());
                prop_assert_eq!(known.is_off_hours(at, zones[zone]), is_off);
            }
        }
    }
}
