//! Rewriting of numbers at the four crossings: calling and called, coming in and going out.
//!
//! In: a number as somebody writes it. Out: the same in canonical form, or the other way round. A party's set is compiled once for
//! each country and area code it is used with, for patterns may name both. Source: switch-reference 6.1.

use std::collections::HashMap;
use std::sync::Arc;

use model::{CountryDialling, OutForm, RewriteRule, RewriteSet, TenantId};
use regex::Regex;

use super::pattern::compile;

/// Which number crosses, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crossing {
    InCaller,
    InCallee,
    OutCaller,
    OutCallee,
}

/// Country and area code of a party.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Places {
    pub(crate) country_code: String,
    pub(crate) area_code: String,
}

#[derive(Debug)]
struct Rule {
    pattern: Regex,
    replace: Vec<Piece>,
    shown: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
    CallerCountry,
    CallerArea,
}

/// One set, compiled for one party's places.
#[derive(Debug, Default)]
pub(crate) struct CompiledSet {
    in_caller: Vec<Rule>,
    in_callee: Vec<Rule>,
    out_caller: Vec<Rule>,
    out_callee: Vec<Rule>,
}

/// How a party writes numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct NumberPlan {
    pub(crate) set: Option<Arc<CompiledSet>>,
    pub(crate) places: Places,
}

impl NumberPlan {
    /// The number on the other side of the crossing. `caller` is where the caller is at home.
    pub(crate) fn cross(&self, crossing: Crossing, number: &str, caller: &Places) -> String {
        self.find(crossing, number, caller).map_or_else(|| number.to_owned(), |(_, number)| number)
    }

    /// The rule that matches first, as shown to people, and its result.
    fn find(&self, crossing: Crossing, number: &str, caller: &Places) -> Option<(&str, String)> {
        let set = self.set.as_deref()?;
        let rules = match crossing {
            Crossing::InCaller => &set.in_caller,
            Crossing::InCallee => &set.in_callee,
            Crossing::OutCaller => &set.out_caller,
            Crossing::OutCallee => &set.out_callee,
        };
        rules.iter().find_map(|rule| {
            let found = rule.pattern.captures(number)?;
            let whole = found.get(0)?;
            let mut out = number[..whole.start()].to_owned();
            for piece in &rule.replace {
                match piece {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Group(idx) => out.push_str(found.get(*idx).map_or("", |group| group.as_str())),
                    Piece::CallerCountry => out.push_str(&caller.country_code),
                    Piece::CallerArea => out.push_str(&caller.area_code),
                }
            }
            out.push_str(&number[whole.end()..]);
            Some((rule.shown.as_str(), out))
        })
    }
}

impl Rule {
    fn compile(rule: &RewriteRule, places: &Places) -> Result<Self, String> {
        let country = regex::escape(&places.country_code);
        let pattern = rule.pattern.replace("${cc}", &country);
        let pattern = compile(&pattern.replace("${ac}", &regex::escape(&places.area_code)))?;
        let replace = pieces(&rule.replace, places)?;
        let groups = pattern.captures_len();
        let beyond = replace.iter().find_map(|piece| match piece {
            Piece::Group(idx) => (*idx >= groups).then_some(*idx),
            Piece::Text(_) | Piece::CallerCountry | Piece::CallerArea => None,
        });
        if let Some(idx) = beyond {
            return Err(format!("{:?}: \\{idx} stands for no group of {:?}", rule.replace, rule.pattern));
        }
        Ok(Self { pattern, replace, shown: format!("{} -> {}", rule.pattern, rule.replace) })
    }
}

fn pieces(replace: &str, places: &Places) -> Result<Vec<Piece>, String> {
    let mut pieces = vec![Piece::Text(String::new())];
    let mut rest = replace;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let piece = match c {
            '\\' if after.starts_with(|c: char| c.is_ascii_digit()) => {
                rest = &after[1..];
                Piece::Group(usize::from(after.as_bytes()[0] - b'0'))
            }
            '$' if after.starts_with('{') => {
                let end = after.find('}').ok_or_else(|| format!("{replace:?}: a brace is not closed"))?;
                rest = &after[end + 1..];
                match &after[1..end] {
                    "cc" => Piece::Text(places.country_code.clone()),
                    "ac" => Piece::Text(places.area_code.clone()),
                    "caller_cc" => Piece::CallerCountry,
                    "caller_ac" => Piece::CallerArea,
                    other => {
                        return Err(format!(
                            "{replace:?}: there is no variable {other:?}; use cc, ac, caller_cc or caller_ac"
                        ));
                    }
                }
            }
            plain => {
                rest = after;
                Piece::Text(plain.to_string())
            }
        };
        match (pieces.last_mut(), piece) {
            (Some(Piece::Text(before)), Piece::Text(more)) => before.push_str(&more),
            (_, piece) => pieces.push(piece),
        }
    }
    Ok(pieces)
}

/// The rules that a country's way of dialling makes: (in for callers and callees, in for callees alone, out).
fn rules_of_country(
    country: &CountryDialling,
    places: &Places,
) -> (Vec<RewriteRule>, Vec<RewriteRule>, Vec<RewriteRule>) {
    let rule = |pattern: String, replace: &str, note: &str| RewriteRule {
        pattern,
        replace: replace.to_owned(),
        note: note.to_owned(),
    };
    let escaped = regex::escape;
    let mut both = vec![rule(r"^\+([1-9][0-9]+)$".to_owned(), r"\1", "with a plus")];
    if !country.international.is_empty() {
        let pattern = format!("^{}([1-9][0-9]+)$", escaped(&country.international));
        both.push(rule(pattern, r"\1", "international prefix"));
    }
    if !country.national.is_empty() {
        let pattern = format!("^{}([1-9][0-9]+)$", escaped(&country.national));
        both.push(rule(pattern, r"${cc}\1", "national prefix"));
    }
    if let Some(digits) = country.national_digits.filter(|digits| *digits > 1) {
        let pattern = format!("^([1-9][0-9]{{{}}})$", digits - 1);
        both.push(rule(pattern, r"${cc}\1", "national without a prefix"));
    }
    let mut callee = Vec::new();
    if !places.area_code.is_empty() {
        // Short codes, emergency numbers among them, are not local numbers.
        callee.push(rule("^([1-9][0-9]{3,})$".to_owned(), r"${cc}${ac}\1", "local, without area code"));
    }
    let out = match country.out {
        OutForm::Canonical => Vec::new(),
        OutForm::Plus => vec![rule("^([1-9][0-9]{3,})$".to_owned(), r"+\1", "with a plus")],
        OutForm::National => vec![
            rule("^${cc}([1-9][0-9]+)$".to_owned(), &format!(r"{}\1", country.national), "national"),
            rule("^([1-9][0-9]{3,})$".to_owned(), &format!(r"{}\1", country.international), "international"),
        ],
    };
    (both, callee, out)
}

impl CompiledSet {
    /// Compiles every rule that can be; `wrong` gets what cannot.
    pub(super) fn compile(set: &RewriteSet, places: &Places, wrong: &mut Vec<String>) -> Self {
        let mut compiled = Self::default();
        let mut add = |to: &mut Vec<Rule>, rules: &[RewriteRule]| {
            for rule in rules {
                match Rule::compile(rule, places) {
                    Ok(rule) => to.push(rule),
                    Err(why) => wrong.push(why),
                }
            }
        };
        add(&mut compiled.in_caller, &set.in_caller);
        add(&mut compiled.in_callee, &set.in_callee);
        add(&mut compiled.out_caller, &set.out_caller);
        add(&mut compiled.out_callee, &set.out_callee);
        if let Some(country) = &set.country {
            let (both, callee, out) = rules_of_country(country, places);
            add(&mut compiled.in_caller, &both);
            add(&mut compiled.in_callee, &both);
            add(&mut compiled.in_callee, &callee);
            add(&mut compiled.out_caller, &out);
            add(&mut compiled.out_callee, &out);
        }
        compiled
    }
}

/// Sets in use, compiled once for each pair of country and area code.
#[derive(Debug, Default)]
pub(crate) struct RewriteTables {
    compiled: HashMap<(TenantId, String, Places), Arc<CompiledSet>>,
}

impl RewriteTables {
    /// The plan of a party that uses `set` of its tenant.
    pub(crate) fn plan(
        &mut self,
        tenant: TenantId,
        name: Option<&str>,
        set: Option<&RewriteSet>,
        places: Places,
    ) -> NumberPlan {
        let (Some(name), Some(set)) = (name, set) else { return NumberPlan { set: None, places } };
        let key = (tenant, name.to_owned(), places.clone());
        let compiled = self.compiled.entry(key).or_insert_with(|| {
            let mut wrong = Vec::new();
            let compiled = CompiledSet::compile(set, &places, &mut wrong);
            for why in wrong {
                tracing::warn!(set = name, why, "rewrite rule left out");
            }
            Arc::new(compiled)
        });
        NumberPlan { set: Some(compiled.clone()), places }
    }
}

/// One number, rewritten for a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// What came out.
    pub number: String,
    /// The rule that did it; `None`: none matched.
    pub rule: Option<String>,
}

/// Rewrites one number by a set, as the switch would for a party with these codes. In the order in: caller, callee; out: caller, callee.
pub fn rewrite(set: &RewriteSet, country_code: &str, area_code: &str, number: &str) -> [Rewritten; 4] {
    let places = Places { country_code: country_code.to_owned(), area_code: area_code.to_owned() };
    let set = Some(Arc::new(CompiledSet::compile(set, &places, &mut Vec::new())));
    let plan = NumberPlan { set, places: places.clone() };
    [Crossing::InCaller, Crossing::InCallee, Crossing::OutCaller, Crossing::OutCallee].map(|crossing| {
        match plan.find(crossing, number, &places) {
            Some((rule, number)) => Rewritten { number, rule: Some(rule.to_owned()) },
            None => Rewritten { number: number.to_owned(), rule: None },
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn austria(out: OutForm) -> RewriteSet {
        let country =
            CountryDialling { international: "00".into(), national: "0".into(), national_digits: None, out };
        RewriteSet { country: Some(country), ..RewriteSet::default() }
    }

    #[track_caller]
    fn check(set: &RewriteSet, cc: &str, ac: &str, number: &str, in_callee: &str, out_callee: &str) {
        let [_, callee, _, out] = rewrite(set, cc, ac, number);
        assert_eq!((callee.number.as_str(), out.number.as_str()), (in_callee, out_callee), "{number}");
    }

    #[test]
    fn generated_rules_know_international_national_and_local_numbers() {
        let set = austria(OutForm::National);
        check(&set, "43", "512", "+49301234", "49301234", "+49301234");
        check(&set, "43", "512", "0049301234", "49301234", "0049301234");
        check(&set, "43", "512", "06601234567", "436601234567", "06601234567");
        check(&set, "43", "512", "900100", "43512900100", "00900100");
        check(&set, "43", "512", "112", "112", "112");
        check(&set, "43", "512", "43512900100", "4351243512900100", "0512900100");
        let plus = austria(OutForm::Plus);
        check(&plus, "43", "", "49301234", "49301234", "+49301234");
    }

    #[test]
    fn north_america_dials_ten_digits() {
        let country = CountryDialling {
            international: "011".into(),
            national: "1".into(),
            national_digits: Some(10),
            out: OutForm::Canonical,
        };
        let set = RewriteSet { country: Some(country), ..RewriteSet::default() };
        check(&set, "1", "", "2125550100", "12125550100", "2125550100");
        check(&set, "1", "", "12125550100", "12125550100", "12125550100");
        check(&set, "1", "", "01149301234", "49301234", "01149301234");
    }

    #[test]
    fn written_rules_come_first_and_variables_are_put_in() {
        let rule = |pattern: &str, replace: &str| RewriteRule {
            pattern: pattern.into(),
            replace: replace.into(),
            note: String::new(),
        };
        let set = RewriteSet {
            in_callee: vec![rule("^0900", "blocked"), rule("^\\*1(.)$", "${cc}${ac}10\\1")],
            out_callee: vec![rule("^112$", "${caller_cc}${caller_ac}112"), rule("^${cc}(.*)$", "9911#\\1")],
            ..austria(OutForm::Canonical)
        };
        check(&set, "43", "1", "09001", "blocked1", "09001");
        check(&set, "43", "1", "*17", "431107", "*17");
        check(&set, "43", "1", "112", "112", "431112");
        check(&set, "43", "1", "4366012", "4314366012", "9911#66012");
    }

    #[test]
    fn replacement_that_names_nothing_is_refused_in_words() {
        let places = Places::default();
        assert!(pieces("${who}", &places).unwrap_err().contains("caller_cc"));
        assert!(pieces("${cc", &places).unwrap_err().contains("not closed"));
        let beyond = RewriteRule { pattern: "^0".into(), replace: r"\1".into(), note: String::new() };
        assert!(Rule::compile(&beyond, &places).unwrap_err().contains("no group"));
    }

    proptest! {
        #[test]
        fn what_goes_out_nationally_comes_back_as_it_was(number in 1_000_000u64..999_999_999_999) {
            let set = austria(OutForm::National);
            let number = number.to_string();
            let [.., out] = rewrite(&set, "43", "", &number);
            let [_, back, ..] = rewrite(&set, "43", "", &out.number);
            // 430... is no number: no area code begins with the national prefix.
            prop_assume!(!number.starts_with("430"));
            prop_assert_eq!(back.number, number);
        }
    }
}
