//! By what number a switch process names its life. Mediation closes the calls of earlier lives by it, so each life has a higher one than
//! the one before: the time of its start, or, where the clock was set back since, one more than the last.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use chrono::{DateTime, Utc};

/// The number of the life that begins now, in microseconds since 1970 as a rule. It is in `dir` for good before it is returned. A file that
/// is not there or says no number leaves the clock alone to tell.
///
/// # Errors
///
/// What the file system says.
pub(crate) fn next(dir: &Path, now: DateTime<Utc>) -> io::Result<u64> {
    let file = dir.join("switch-boot");
    let last = match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().unwrap_or(0),
        Err(why) if why.kind() == io::ErrorKind::NotFound => 0,
        Err(why) => return Err(why),
    };
    let boot = u64::try_from(now.timestamp_micros()).unwrap_or(0).max(last + 1);
    let fresh = dir.join("switch-boot.new");
    let mut written = File::create(&fresh)?;
    written.write_all(format!("{boot}\n").as_bytes())?;
    written.sync_all()?;
    fs::rename(&fresh, &file)?;
    File::open(dir)?.sync_all()?;
    Ok(boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(micros).unwrap()
    }

    #[test]
    fn life_that_begins_before_the_last_one_has_a_higher_number() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(next(dir.path(), at(5_000_000)).unwrap(), 5_000_000);
        assert_eq!(next(dir.path(), at(6_000_000)).unwrap(), 6_000_000);
        assert_eq!(next(dir.path(), at(2_000_000)).unwrap(), 6_000_001);
        assert_eq!(next(dir.path(), at(2_000_000)).unwrap(), 6_000_002);
        assert_eq!(next(dir.path(), at(7_000_000)).unwrap(), 7_000_000);
    }

    #[test]
    fn file_that_says_no_number_leaves_the_clock_to_tell() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("switch-boot"), "\0\0\0").unwrap();
        assert_eq!(next(dir.path(), at(5)).unwrap(), 5);
    }
}
