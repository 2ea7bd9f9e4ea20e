//! Numbers and ranges that are known for fraud, or that never call out.
//!
//! Exact numbers are 8 bytes each in one sorted array, prefixes in one array for each length: six million numbers are 48 MB, and a
//! look-up is some 23 comparisons. There is no error rate: a number is on the list or it is not.

use model::E164;

/// Entries of all hot lists together at most: 160 MB.
pub const HOT_LIST_MAX: usize = 20_000_000;

/// Lengths of prefixes.
const LENGTHS: usize = 16;

/// Numbers and ranges.
#[derive(Debug, Default)]
pub struct HotList {
    exact: Vec<u64>,
    prefixes: [Vec<u64>; LENGTHS],
}

/// Reads hot lists line by line.
#[derive(Debug, Default)]
pub struct HotListBuilder {
    list: HotList,
    n_entries: usize,
}

/// Why a line is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HotListFault {
    /// Neither a number nor a range.
    #[error("{line:?} is neither a number such as 37112345678 nor a range such as 3711234*")]
    NotANumber {
        /// The line.
        line: String,
    },
    /// More than [`HOT_LIST_MAX`].
    #[error("more than {HOT_LIST_MAX} entries")]
    TooMany,
}

impl HotListBuilder {
    /// Takes one line: a number, or a range with `*` at its end, with or without `+` and spaces; what follows a comma or a `#` is for
    /// people. An empty line is skipped.
    ///
    /// # Errors
    ///
    /// [`HotListFault`].
    pub fn line(&mut self, line: &str) -> Result<(), HotListFault> {
        let entry = line.split([',', ';', '#', '\t']).next().unwrap_or_default().trim();
        let entry = entry.trim_matches('"').trim();
        if entry.is_empty() {
            return Ok(());
        }
        let not_a_number = || HotListFault::NotANumber { line: line.chars().take(60).collect() };
        let (digits, is_range) = match entry.strip_suffix('*') {
            Some(digits) => (digits, true),
            None => (entry, false),
        };
        let digits: String = digits.chars().filter(|c| *c != ' ').collect();
        let number: E164 = digits.parse().map_err(|_| not_a_number())?;
        if self.n_entries >= HOT_LIST_MAX {
            return Err(HotListFault::TooMany);
        }
        self.n_entries += 1;
        if is_range {
            let length = digits.trim_start_matches('+').len();
            self.list.prefixes.get_mut(length).ok_or_else(not_a_number)?.push(number.as_u64());
        } else {
            self.list.exact.push(number.as_u64());
        }
        Ok(())
    }

    /// The list.
    pub fn build(mut self) -> HotList {
        for numbers in self.list.prefixes.iter_mut().chain([&mut self.list.exact]) {
            numbers.sort_unstable();
            numbers.dedup();
            numbers.shrink_to_fit();
        }
        self.list
    }
}

impl HotList {
    /// Whether `number` or a range that it lies in is on the list.
    pub fn contains(&self, number: u64) -> bool {
        if self.exact.binary_search(&number).is_ok() {
            return true;
        }
        let mut rest = number;
        let mut length = usize::from(super::price_list::digits(number));
        while length > 0 {
            let is_there = self
                .prefixes
                .get(length)
                .is_some_and(|prefixes| !prefixes.is_empty() && prefixes.binary_search(&rest).is_ok());
            if is_there {
                return true;
            }
            rest /= 10;
            length -= 1;
        }
        false
    }

    /// Entries, each once.
    pub fn len(&self) -> usize {
        self.exact.len() + self.prefixes.iter().map(Vec::len).sum::<usize>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        (self.exact.capacity() + self.prefixes.iter().map(Vec::capacity).sum::<usize>()) * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(lines: &[&str]) -> HotList {
        let mut builder = HotListBuilder::default();
        lines.iter().for_each(|line| builder.line(line).unwrap());
        builder.build()
    }

    #[test]
    fn numbers_and_ranges_are_found_and_their_neighbours_are_not() {
        let list = list(&["+371 2345 6789, seen 2026-10-01", "", "# a comment", "2217*", "37123456789"]);
        assert_eq!(list.len(), 2);
        for (number, is_hot) in [
            (37_123_456_789, true),
            (37_123_456_788, false),
            (3_712_345_678, false),
            (221_700_000, true),
            (2_217, true),
            (221_800_000, false),
            (12_217_000, false),
        ] {
            assert_eq!(list.contains(number), is_hot, "{number}");
        }
    }

    #[test]
    fn line_that_is_no_number_is_refused() {
        let mut builder = HotListBuilder::default();
        for line in ["hello", "0043*", "*", "12345678901234567"] {
            assert!(builder.line(line).is_err(), "{line}");
        }
    }
}
