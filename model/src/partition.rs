//! One key: every record of a call carries its paying party, and goes to that party's lane.

use crate::AccountId;

/// Partitions of each topic, unless configured otherwise.
pub const PARTITIONS_DEFAULT: u32 = 16;

/// The lane of `account` among `n_partitions`.
///
/// A fixed hash (the finaliser of SplitMix64), the same on every machine and in every version: a changed one would tear the
/// history of an account in two.
pub const fn partition_of(account: AccountId, n_partitions: u32) -> u32 {
    let mut x = account.0.cast_unsigned();
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a u32")]
    let partition = (x % n_partitions as u64) as u32;
    partition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_the_first_accounts_never_change() {
        let lanes: Vec<u32> = (0..8).map(|id| partition_of(AccountId(id), 16)).collect();
        assert_eq!(lanes, LANES_OF_0_TO_7);
    }

    /// Kept from the first version: a change here would mix up the order of a live system's records.
    const LANES_OF_0_TO_7: [u32; 8] = [0, 5, 10, 0, 4, 12, 12, 4];
}
