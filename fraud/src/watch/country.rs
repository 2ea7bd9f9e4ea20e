//! Countries of telephone numbers, by country code (ITU-T E.164, list of assigned codes, annex to the Operational Bulletin).

/// Country codes of two digits; 1 and 7 have one, all others three.
const TWO_DIGITS: [u64; 44] = [
    20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58,
    60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98,
];

/// The country code of a number: its first digit for 1 and 7, two or three digits else; 0 for one too short to tell.
pub(crate) fn country_of(number: u64) -> u16 {
    let n_digits = u32::from(super::price_list::digits(number));
    let first = |n: u32| if n_digits >= n { number / 10_u64.pow(n_digits - n) } else { 0 };
    // A short code is nobody's country.
    if n_digits < 7 {
        return 0;
    }
    let code = match first(1) {
        one @ (1 | 7) => one,
        _ if TWO_DIGITS.contains(&first(2)) => first(2),
        _ => first(3),
    };
    u16::try_from(code).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_has_one_two_or_three_digits() {
        for (number, code) in [
            (43_660_555_123, 43),
            (12_025_550_123, 1),
            (79_161_234_567, 7),
            (37_123_456_789, 371),
            (2_215_551_234, 221),
            (442_071_234_567, 44),
            (112, 0),
        ] {
            assert_eq!(country_of(number), code, "{number}");
        }
    }
}
