//! The runner's room as the rest of the binary knows it, and how far every consumer of the log has come.

mod positions;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use ::runner::is_resent;
pub(crate) use ::runner::{
    Assignment, Begin, COUNTS_KEY, Kind, Pace, Progress, Rooms, Share, ShareKeeper, Watermarks, addressed_to,
    addressee, decode, entries_of, entry, is_for, read_again, run, to_every_partition,
};

pub(crate) use self::positions::{LAKE, LAKE_EVENTS, LAKE_POSTINGS, Positions, check_positions, topic_of};
