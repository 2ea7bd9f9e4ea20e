//! Telephone numbers as a role may see them.

/// Letters of a number that stay at its beginning and at its end.
const KEPT: (usize, usize) = (4, 2);

/// The number with its middle hidden: the first four and the last two digits, as in the log. A short one is hidden whole.
pub(crate) fn masked(number: &str) -> String {
    let letters: Vec<char> = number.chars().collect();
    if letters.len() <= KEPT.0 + KEPT.1 {
        return if letters.is_empty() { String::new() } else { "…".to_owned() };
    }
    let head: String = letters[..KEPT.0].iter().collect();
    let tail: String = letters[letters.len() - KEPT.1..].iter().collect();
    format!("{head}…{tail}")
}

/// The number whole, or masked.
pub(crate) fn shown(number: &str, is_whole: bool) -> String {
    if is_whole { number.to_owned() } else { masked(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middle_is_hidden_and_short_numbers_are_hidden_whole() {
        assert_eq!(masked("43660555123"), "4366…23");
        assert_eq!(masked("431"), "…");
        assert_eq!(masked("123456"), "…");
        assert_eq!(masked(""), "");
        assert_eq!(masked("äöüßäöüß"), "äöüß…üß");
        assert_eq!(shown("43660555123", true), "43660555123");
    }
}
