//! Patterns on numbers and names: regular expressions and shell patterns, as lists that allow or deny.

use model::{BlockList, ListMode, NcosLevel};
use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

/// Compiled size of one pattern, bytes: rules of a telephone network are short, and thousands of them must fit.
const PATTERN_BYTES_MAX: usize = 1 << 18;

/// Compiles one regular expression.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build().map_err(|error| said(pattern, &error))
}

fn said(pattern: &str, error: &regex::Error) -> String {
    // The library draws the place over several lines; the last one says what is wrong.
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    format!("{pattern:?} is no regular expression of linear time: {}", last.trim_start_matches("error: "))
}

fn compile_set(patterns: &[String]) -> Result<RegexSet, String> {
    for pattern in patterns {
        compile(pattern)?;
    }
    RegexSetBuilder::new(patterns)
        .size_limit(PATTERN_BYTES_MAX * 16)
        .build()
        .map_err(|error| said("the list", &error))
}

/// Regular expressions that match whole numbers only: an exception lets through what it names, and no longer number.
fn whole(patterns: &[String]) -> Result<Vec<String>, String> {
    // By itself first: with what stands around it, `a)(b` would be one.
    patterns.iter().map(|pattern| compile(pattern).map(|_| format!("^(?:{pattern})$"))).collect()
}

/// A shell pattern as a regular expression on the whole text: `*`, `?`, `[0-4]`, `[!0-4]`.
///
/// # Errors
///
/// A bracket that is not closed.
pub(super) fn wildcard(pattern: &str) -> Result<String, String> {
    let mut out = String::from("^");
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => {
                let inside: String = rest.by_ref().take_while(|c| *c != ']').collect();
                if !pattern.contains(']') || inside.is_empty() {
                    return Err(format!("{pattern:?}: a bracket is not closed"));
                }
                let (not, inside) = match inside.strip_prefix(['!', '^']) {
                    Some(inside) => ("^", inside.to_owned()),
                    None => ("", inside),
                };
                let escaped = inside.replace('\\', r"\\").replace('[', r"\[").replace('^', r"\^");
                out.push_str(&format!("[{not}{escaped}]"));
            }
            plain => out.push_str(&regex::escape(plain.encode_utf8(&mut [0; 4]))),
        }
    }
    out.push('$');
    Ok(out)
}

/// Shell patterns, any of which may match.
#[derive(Debug, Clone)]
pub(crate) struct ShellList {
    patterns: Vec<String>,
    set: RegexSet,
}

impl ShellList {
    /// # Errors
    ///
    /// Which pattern is wrong, and why.
    pub(crate) fn compile(patterns: &[String], ignores_case: bool) -> Result<Self, String> {
        let fold = if ignores_case { "(?i)" } else { "" };
        let compiled: Result<Vec<String>, String> =
            patterns.iter().map(|pattern| Ok(format!("{fold}{}", wildcard(pattern)?))).collect();
        Ok(Self { patterns: patterns.to_vec(), set: compile_set(&compiled?)? })
    }

    /// The first pattern that matches.
    pub(crate) fn find(&self, text: &str) -> Option<&str> {
        self.set.matches(text).into_iter().next().map(|idx| self.patterns[idx].as_str())
    }
}

/// A list that allows or denies numbers.
#[derive(Debug, Clone)]
pub(crate) struct Permission {
    mode: ListMode,
    patterns: Vec<String>,
    set: RegexSet,
    /// What passes all the same, each a whole number.
    except: RegexSet,
}

impl Permission {
    /// Lets no number pass.
    pub(crate) fn nothing() -> Self {
        let (set, except) = (RegexSet::empty(), RegexSet::empty());
        Self { mode: ListMode::Allow, patterns: Vec::new(), set, except }
    }

    /// # Errors
    ///
    /// Which pattern is wrong, and why.
    pub(crate) fn of_level(level: &NcosLevel) -> Result<Self, String> {
        let (set, except) = (compile_set(&level.patterns)?, compile_set(&whole(&level.except)?)?);
        Ok(Self { mode: level.mode, patterns: level.patterns.clone(), set, except })
    }

    /// # Errors
    ///
    /// Which pattern is wrong, and why.
    pub(crate) fn of_list(list: &BlockList) -> Result<Self, String> {
        let compiled: Result<Vec<String>, String> = list.numbers.iter().map(|one| wildcard(one)).collect();
        let (set, except) = (compile_set(&compiled?)?, RegexSet::empty());
        Ok(Self { mode: list.mode, patterns: list.numbers.clone(), set, except })
    }

    /// Whether `number` may pass.
    ///
    /// # Errors
    ///
    /// What refused it: the pattern that matched, or that none did.
    pub(crate) fn check(&self, number: &str) -> Result<(), String> {
        if self.except.is_match(number) {
            return Ok(());
        }
        let found = self.set.matches(number).into_iter().next().map(|idx| self.patterns[idx].as_str());
        match (self.mode, found) {
            (ListMode::Deny, Some(pattern)) => Err(format!("pattern {pattern}")),
            (ListMode::Allow, None) => Err("not among those allowed".to_owned()),
            (ListMode::Deny, None) | (ListMode::Allow, Some(_)) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(mode: ListMode, numbers: &[&str]) -> Permission {
        let numbers = numbers.iter().map(|one| (*one).to_owned()).collect();
        Permission::of_list(&BlockList { mode, numbers }).unwrap()
    }

    #[test]
    fn shell_patterns_match_whole_numbers() {
        let deny = list(ListMode::Deny, &["43900*", "4351290010?", "431[0-4]*"]);
        assert_eq!(deny.check("43900123"), Err("pattern 43900*".to_owned()));
        assert_eq!(deny.check("43512900105"), Err("pattern 4351290010?".to_owned()));
        assert_eq!(deny.check("435129001055"), Ok(()), "a pattern matches the whole number");
        assert!(deny.check("4313").is_err() && deny.check("4315").is_ok());
        let allow = list(ListMode::Allow, &["43*"]);
        assert_eq!(allow.check("49301234"), Err("not among those allowed".to_owned()));
        assert_eq!(allow.check("431234"), Ok(()));
    }

    #[test]
    fn exception_lets_through_the_whole_number_and_no_other() {
        let of = |except: &[&str]| {
            let except = except.iter().map(|one| (*one).to_owned()).collect();
            Permission::of_level(&NcosLevel { mode: ListMode::Deny, patterns: vec!["^43".into()], except })
        };
        for except in ["43900123456", "^43900123456$", "43900123456|4390077"] {
            let level = of(&[except]).unwrap();
            assert_eq!(level.check("43900123456"), Ok(()), "{except}");
            for longer in ["439001234567", "4343900123456", "43900770"] {
                assert!(level.check(longer).is_err(), "{except} and {longer}");
            }
        }
        assert!(of(&["4390012.*"]).unwrap().check("439001299").is_ok(), "a range is written out");
        assert!(of(&[""]).unwrap().check("43900").is_err(), "what is empty excepts nothing");
        assert!(of(&["43)(44"]).unwrap_err().contains("43)(44"));
    }

    #[test]
    fn what_is_no_pattern_says_so_and_what_looks_like_a_regex_is_taken_literally() {
        assert!(wildcard("43[0-4").unwrap_err().contains("not closed"));
        let plain = ShellList::compile(&["a.b+*".to_owned()], true).unwrap();
        assert_eq!(plain.find("A.B+c"), Some("a.b+*"));
        assert_eq!(plain.find("axb+c"), None);
        assert!(compile("(?=x)").unwrap_err().contains("linear time"));
        assert!(compile(r"(a)\1").is_err());
    }
}
