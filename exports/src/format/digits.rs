//! Whole numbers and decimal fractions as bytes, without a detour through a formatter.

/// `00` to `99`.
pub(super) const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let (mut tens, mut place) = (b'0', 0);
    while place < 100 {
        let mut ones = b'0';
        while ones <= b'9' {
            pairs[place] = [tens, ones];
            place += 1;
            ones += 1;
        }
        tens += 1;
    }
    pairs
};

/// 10 to each power that 64 bits hold.
const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut power = 1;
    while power < 20 {
        powers[power] = powers[power - 1] * 10;
        power += 1;
    }
    powers
};

/// 10 to that power; of those beyond 64 bits the largest number there is.
#[inline(always)]
pub(super) fn power_of_ten(power: usize) -> u64 {
    POWERS.get(power).copied().unwrap_or(u64::MAX)
}

/// The last two digits of `number`.
pub(super) fn push_pair(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&PAIRS[usize::try_from(number % 100).unwrap_or(0)]);
}

/// The last `width` digits of `number`, with leading zeros.
pub(super) fn push_padded(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut digits = [b'0'; 24];
    let shown = itoa_into(&mut digits, number);
    let have = digits.len() - shown;
    for _ in have..width {
        out.push(b'0');
    }
    out.extend_from_slice(&digits[digits.len() - have.min(width)..]);
}

pub(super) fn push_number(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Where in `digits` the number begins; it ends at the end.
fn itoa_into(digits: &mut [u8; 24], number: u64) -> usize {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number).as_bytes();
    let begin = digits.len() - text.len();
    digits[begin..].copy_from_slice(text);
    begin
}

/// `scaled` with its last `decimals` digits behind `point`: 24000000 with six is `24.000000`.
pub(super) fn push_scaled(out: &mut Vec<u8>, scaled: i128, decimals: usize, point: &[u8]) {
    if scaled < 0 {
        out.push(b'-');
    }
    let magnitude = scaled.unsigned_abs();
    let split = 10_u128.pow(u32::try_from(decimals).unwrap_or(0));
    // Nearly every amount fits 64 bits, where a division costs a tenth.
    let (whole, fraction) = match (u64::try_from(magnitude), u64::try_from(split)) {
        (Ok(magnitude), Ok(split)) => (u128::from(magnitude / split), magnitude % split),
        _ => (magnitude / split, u64::try_from(magnitude % split).unwrap_or(0)),
    };
    match u64::try_from(whole) {
        Ok(whole) => out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes()),
        Err(_) => out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes()),
    }
    if decimals > 0 {
        out.extend_from_slice(point);
        push_padded(out, fraction, decimals);
    }
}

/// `numerator / denominator` times 10^`decimals`, rounded half away from zero; `None` beyond 127 bits.
pub(super) fn scale(numerator: i128, denominator: i128, decimals: usize) -> Option<i128> {
    let raised = numerator.checked_mul(10_i128.checked_pow(u32::try_from(decimals).ok()?)?)?;
    if let (Ok(raised), Ok(denominator)) = (i64::try_from(raised), i64::try_from(denominator)) {
        let (quotient, rest) = (raised / denominator, raised % denominator);
        let is_up = rest.unsigned_abs() >= denominator.unsigned_abs() - rest.unsigned_abs();
        return Some(i128::from(quotient + if is_up && rest != 0 { raised.signum() } else { 0 }));
    }
    let (quotient, rest) = (raised / denominator, raised % denominator);
    let is_up = rest.unsigned_abs() >= denominator.unsigned_abs() - rest.unsigned_abs();
    Some(quotient + if is_up && rest != 0 { raised.signum() } else { 0 })
}

/// `scaled`, with `from` digits behind its point, as a number with `to` of them, rounded half away from zero; `None` where that
/// needs more than 64 bits.
#[inline(always)]
pub(super) fn rescaled(scaled: i64, from: usize, to: usize) -> Option<i64> {
    if to >= from {
        return scaled.checked_mul(i64::try_from(power_of_ten(to - from)).ok()?);
    }
    let split = i64::try_from(power_of_ten(from - to)).ok()?;
    let (quotient, rest) = (scaled / split, scaled % split);
    let is_up = rest.unsigned_abs() >= split.unsigned_abs() - rest.unsigned_abs();
    Some(quotient + if is_up { scaled.signum() } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rust_decimal::{Decimal, RoundingStrategy};

    fn scaled(numerator: i128, denominator: i128, decimals: usize) -> String {
        let mut out = Vec::new();
        push_scaled(&mut out, scale(numerator, denominator, decimals).unwrap(), decimals, b".");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn halves_round_away_from_zero_on_both_sides() {
        assert_eq!(scaled(499, 1_000_000, 3), "0.000");
        assert_eq!(scaled(500, 1_000_000, 3), "0.001");
        assert_eq!(scaled(-500, 1_000_000, 3), "-0.001");
        assert_eq!(scaled(59_999_500, 1_000_000, 3), "60.000");
        assert_eq!(scaled(i128::from(u64::MAX), 1_000_000, 3), "18446744073709.552");
        assert_eq!(scaled(90, 60, 0), "2");
        assert_eq!(scaled(89, 60, 0), "1");
    }

    #[test]
    fn padding_cuts_and_fills() {
        let mut out = Vec::new();
        push_padded(&mut out, 7, 3);
        push_padded(&mut out, 12_345, 3);
        push_pair(&mut out, 9);
        push_pair(&mut out, 99);
        assert_eq!(out, b"0073450999");
    }

    #[test]
    fn what_no_file_can_hold_is_said_so() {
        assert_eq!(scale(i128::MAX, 1, 6), None);
        assert_eq!(scale(1, 1, 40), None);
    }

    proptest! {
        #[test]
        fn the_quick_way_gives_the_same_or_nothing(number: i64, from in 0_usize..12, to in 0_usize..10) {
            if let Some(quick) = rescaled(number, from, to) {
                let slow = scale(i128::from(number), 10_i128.pow(u32::try_from(from).unwrap()), to).unwrap();
                prop_assert_eq!(i128::from(quick), slow);
            }
        }

        #[test]
        fn a_scaled_number_is_the_decimal_rounded_half_up(mantissa in any::<i64>(), scale_in in 0_u32..12, decimals in 0_usize..9) {
            let mut expected = Decimal::from_i128_with_scale(i128::from(mantissa), scale_in)
                .round_dp_with_strategy(u32::try_from(decimals).unwrap(), RoundingStrategy::MidpointAwayFromZero);
            expected.rescale(u32::try_from(decimals).unwrap());
            let shown = scaled(i128::from(mantissa), 10_i128.pow(scale_in), decimals);
            // Decimal keeps the sign of a zero.
            let digits = expected.to_string();
            prop_assert_eq!(shown.trim_start_matches('-'), digits.trim_start_matches('-'));
            prop_assert_eq!(shown.starts_with('-'), expected < Decimal::ZERO);
        }
    }
}
