//! The reference's way to choose a fee: four match modes, one after the other, in two rounds.
//!
//! In: fees with their match modes, and a call's two numbers, with or without a domain. Out: the fees that match, best first. What
//! is in force is decided by the caller. Text is compared without regard to case, as the reference's database does.
//!
//! Source: billing-reference 3.4. Patterns that only ask how a number begins (`^4366`, `^4366.*$`), which is nearly all of
//! them, are kept in a prefix tree; the others are tried one by one.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use model::MatchMode;

use crate::fee_index::{Entries, SourceTrees, Sources};
use crate::prefix_tree::PrefixTree;

/// Steps a pattern with look-around or back-references may take before it is given up.
const BACKTRACKS_MAX: usize = 100_000;

/// A pattern took more than [`BACKTRACKS_MAX`] steps on a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PatternTooSlow;

/// The fees of one direction.
#[derive(Debug, Clone)]
pub(crate) struct ReferenceIndex {
    /// By destination; all sources, in the order of the tariff.
    exact: HashMap<String, Vec<Entries>>,
    prefix: PrefixTree<Sources>,
    by_source: SourceTrees,
    longest_match: PatternTable,
    longest_pattern: PatternTable,
}

/// Fees of one match mode, destination and source.
pub(crate) struct SameKey {
    pub(crate) mode: MatchMode,
    pub(crate) destination: String,
    pub(crate) source: String,
    pub(crate) entries: Entries,
}

/// Patterns that are no patterns: one of a fee, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadPattern {
    pub(crate) pattern: String,
    pub(crate) why: String,
}

impl ReferenceIndex {
    /// `fees` in the order of the tariff: of fees that match equally well the first wins.
    pub(crate) fn build(fees: Vec<SameKey>) -> Result<Self, BadPattern> {
        let mut exact: HashMap<String, Vec<Entries>> = HashMap::new();
        let mut prefix: BTreeMap<String, Vec<(String, Entries)>> = BTreeMap::new();
        let (mut by_match, mut by_pattern) = (Vec::new(), Vec::new());
        for fee in fees {
            let SameKey { mode, destination, source, entries } = fee;
            match mode {
                MatchMode::ExactDestination => {
                    exact.entry(destination.to_lowercase()).or_default().push(entries);
                }
                MatchMode::Prefix => prefix
                    .entry(destination.to_lowercase())
                    .or_default()
                    .push((source.to_lowercase(), entries)),
                MatchMode::RegexLongestMatch => by_match.push((destination, source, entries)),
                // The reference's panel fills in this source where none is given (billing-reference 3.2).
                MatchMode::RegexLongestPattern if source.is_empty() => {
                    by_pattern.push((destination, ".".to_owned(), entries));
                }
                MatchMode::RegexLongestPattern => by_pattern.push((destination, source, entries)),
            }
        }
        let mut by_source = SourceTrees::default();
        let prefix = prefix
            .into_iter()
            .map(|(destination, sources)| (destination, by_source.sources(sources)))
            .collect();
        Ok(Self {
            exact,
            prefix: PrefixTree::build(prefix),
            by_source,
            longest_match: PatternTable::build(by_match)?,
            longest_pattern: PatternTable::build(by_pattern)?,
        })
    }

    /// The best fee that `pick` takes: with the domains, then without.
    pub(crate) fn find<T>(
        &self,
        source: &str,
        destination: &str,
        pick: impl Fn(Entries) -> Option<T>,
    ) -> Result<Option<T>, PatternTooSlow> {
        let (source, destination) = (lower_case(source), lower_case(destination));
        if let Some(found) = self.round(&source, &destination, &pick)? {
            return Ok(Some(found));
        }
        let bare = (without_domain(&source), without_domain(&destination));
        if bare == (&*source, &*destination) {
            return Ok(None);
        }
        self.round(bare.0, bare.1, &pick)
    }

    fn round<T>(
        &self,
        source: &str,
        destination: &str,
        pick: &impl Fn(Entries) -> Option<T>,
    ) -> Result<Option<T>, PatternTooSlow> {
        let exact = self.exact.get(destination).into_iter().flatten().find_map(|entries| pick(*entries));
        if exact.is_some() {
            return Ok(exact);
        }
        let mut prefixes = self.prefix.longest_first(destination);
        let by_prefix = prefixes.find_map(|sources| self.by_source.find(*sources, source, pick));
        if by_prefix.is_some() {
            return Ok(by_prefix);
        }
        let by_match = self.longest_match.best(source, destination, pick, |_pattern_len, matched| matched)?;
        if by_match.is_some() {
            return Ok(by_match);
        }
        self.longest_pattern.best(source, destination, pick, |pattern_len, _matched| pattern_len)
    }

    /// Bytes kept by the tables, compiled patterns left out.
    pub(crate) fn bytes(&self) -> usize {
        let patterns = |table: &PatternTable| {
            table.starts.bytes()
                + table.groups.iter().map(|group| 64 + group.sources.len() * 48).sum::<usize>()
        };
        let exact = self.exact.capacity() * size_of::<(String, Vec<Entries>)>();
        exact
            + self.prefix.bytes()
            + self.by_source.bytes()
            + patterns(&self.longest_match)
            + patterns(&self.longest_pattern)
    }
}

fn lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

fn without_domain(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(user, _)| user)
}

/// Of the destination, of the source, and of two that weigh the same the first in the tariff.
type Weight = (usize, usize, std::cmp::Reverse<usize>);

/// The patterns of one mode.
#[derive(Debug, Clone)]
struct PatternTable {
    /// By destination pattern, longest text first.
    groups: Vec<Group>,
    /// Places in `groups` of those that ask for a beginning.
    starts: PrefixTree<Vec<u32>>,
    /// Places of the others, in order.
    others: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Group {
    destination: Pattern,
    destination_len: usize,
    sources: Vec<SourcePattern>,
}

#[derive(Debug, Clone)]
struct SourcePattern {
    pattern: Pattern,
    len: usize,
    /// Place in the tariff.
    place: usize,
    entries: Entries,
}

impl PatternTable {
    fn build(fees: Vec<(String, String, Entries)>) -> Result<Self, BadPattern> {
        let mut compiled = HashMap::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut groups: Vec<Group> = Vec::new();
        for (place, (destination, source, entries)) in fees.into_iter().enumerate() {
            let len = source.chars().count();
            let source = SourcePattern { pattern: pattern(&source, &mut compiled)?, len, place, entries };
            let group = match places.get(&destination) {
                Some(place) => *place,
                None => {
                    groups.push(Group {
                        destination: pattern(&destination, &mut compiled)?,
                        destination_len: destination.chars().count(),
                        sources: Vec::new(),
                    });
                    places.insert(destination, groups.len() - 1);
                    groups.len() - 1
                }
            };
            groups[group].sources.push(source);
        }
        groups.sort_by_key(|group| std::cmp::Reverse(group.destination_len));
        let mut starts: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let mut others = Vec::new();
        for (group, place) in groups.iter().zip(0..) {
            match &group.destination {
                Pattern::Start { text, .. } => starts.entry(text.clone()).or_default().push(place),
                Pattern::Anything | Pattern::OneCharacter | Pattern::Regex(_) => others.push(place),
            }
        }
        Ok(Self { groups, starts: PrefixTree::build(starts.into_iter().collect()), others })
    }

    /// The fee whose destination has the highest `weight`, then whose source has; of equal ones the first. `weight` is told the
    /// length of a pattern, and how many characters it matched.
    fn best<T>(
        &self,
        source: &str,
        destination: &str,
        pick: &impl Fn(Entries) -> Option<T>,
        weight: impl Fn(usize, usize) -> usize,
    ) -> Result<Option<T>, PatternTooSlow> {
        let mut best: Option<(Weight, T)> = None;
        let mut places: Vec<u32> = self.starts.longest_first(destination).flatten().copied().collect();
        places.extend(&self.others);
        places.sort_unstable();
        for place in places {
            let group = &self.groups[place as usize];
            let Some(matched) = group.destination.matched(destination)? else { continue };
            let by_destination = weight(group.destination_len, matched);
            if best.as_ref().is_some_and(|(best, _)| by_destination < best.0) {
                continue;
            }
            for SourcePattern { pattern, len, place, entries } in &group.sources {
                let Some(matched) = pattern.matched(source)? else { continue };
                let weight = (by_destination, weight(*len, matched), std::cmp::Reverse(*place));
                if best.as_ref().is_some_and(|(best, _)| weight <= *best) {
                    continue;
                }
                if let Some(picked) = pick(*entries) {
                    best = Some((weight, picked));
                }
            }
        }
        Ok(best.map(|(_, picked)| picked))
    }
}

/// A regular expression, the frequent ones without the machinery. Cheap to clone.
#[derive(Debug, Clone)]
enum Pattern {
    /// Empty: matches, and nothing of it.
    Anything,
    /// `.`
    OneCharacter,
    /// `^text`, and with `to_the_end` `^text.*`.
    Start {
        text: String,
        to_the_end: bool,
    },
    Regex(Box<fancy_regex::Regex>),
}

impl Pattern {
    /// How many characters of `text` it matches, if it does.
    fn matched(&self, text: &str) -> Result<Option<usize>, PatternTooSlow> {
        Ok(match self {
            Pattern::Anything => Some(0),
            Pattern::OneCharacter => (!text.is_empty()).then_some(1),
            Pattern::Start { text: start, to_the_end } => text
                .starts_with(start)
                .then(|| if *to_the_end { text.chars().count() } else { start.chars().count() }),
            Pattern::Regex(regex) => match regex.find(text) {
                Ok(found) => found.map(|found| found.as_str().chars().count()),
                Err(_) => return Err(PatternTooSlow),
            },
        })
    }
}

/// Compiles `text`, each distinct one once.
fn pattern(text: &str, compiled: &mut HashMap<String, Pattern>) -> Result<Pattern, BadPattern> {
    if let Some(known) = compiled.get(text) {
        return Ok(known.clone());
    }
    let new = parse(text).map_err(|why| BadPattern { pattern: text.to_owned(), why })?;
    compiled.insert(text.to_owned(), new.clone());
    Ok(new)
}

fn parse(text: &str) -> Result<Pattern, String> {
    if let Some(rest) = text.strip_prefix('^') {
        let to_the_end = rest.strip_suffix(".*$").or_else(|| rest.strip_suffix(".*"));
        let start = to_the_end.unwrap_or(rest);
        if start.chars().all(|c| c.is_ascii_alphanumeric() || c == '@') {
            let to_the_end = to_the_end.is_some();
            return Ok(Pattern::Start { text: start.to_lowercase(), to_the_end });
        }
    }
    match text {
        "" => Ok(Pattern::Anything),
        "." => Ok(Pattern::OneCharacter),
        _ => fancy_regex::RegexBuilder::new(text)
            .case_insensitive(true)
            .backtrack_limit(BACKTRACKS_MAX)
            .build()
            .map(|regex| Pattern::Regex(Box::new(regex)))
            .map_err(|why| why.to_string()),
    }
}

/// Why `text` is no regular expression, if it is none.
pub(crate) fn check_pattern(text: &str) -> Result<(), String> {
    parse(text).map(|_pattern| ())
}
