//! Rule files: TOML, one `[[rule]]` a rule. What is wrong is told with line, column, rule and remedy.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{LockLevel, Span};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::Deserialize;
use toml::Spanned;

use super::{
    Action, Barred, Bound, CallerNumber, Condition, Exceptions, Filter, Flow, Key, MONEY_SCALE, Measure,
    Rule, Throttle,
};

/// The rules delivered with the program, one for each pattern of fraud and some more.
const PRESETS: &str = include_str!("presets.toml");

/// Rules in one file at most: each is looked at with every event.
const RULES_MAX: usize = 64;

/// The longest window: the state of a longer one would be mostly history.
const WINDOW_MAX_SECONDS: u32 = 7 * 86_400;

/// The shortest: its sixth is one second.
const WINDOW_MIN_SECONDS: u32 = 6;

/// Letters of a rule's mark.
const TAG_LETTERS_MAX: usize = 40;

/// What is wrong with a rule file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {fault}")]
pub struct RuleFault {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
    /// What is wrong.
    pub fault: String,
    /// What to do.
    pub remedy: String,
}

/// A rule file that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFile {
    /// Its rules, in their order.
    pub rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    rule: Vec<Spanned<WrittenRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    name: String,
    version: u32,
    title: String,
    key: Key,
    window: Span,
    #[serde(default, rename = "where")]
    filter: WrittenFilter,
    when: Vec<WrittenCondition>,
    #[serde(default)]
    warm_up: Option<Span>,
    #[serde(default)]
    action: Vec<Action>,
    #[serde(default)]
    lock: Option<LockLevel>,
    #[serde(default)]
    lock_for: Option<Span>,
    #[serde(default)]
    block: Option<Barred>,
    #[serde(default)]
    block_for: Option<Span>,
    #[serde(default)]
    calls_per_minute: Option<u32>,
    #[serde(default)]
    throttle_for: Option<Span>,
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    notify: Vec<String>,
    #[serde(default)]
    cool_down: Option<Span>,
    #[serde(default)]
    except: WrittenExceptions,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct WrittenFilter {
    flow: Option<Flow>,
    new_country: bool,
    hot_listed: bool,
    off_hours: bool,
    rate_min: Option<Decimal>,
    account_younger: Option<Span>,
    new_user_agent: bool,
    caller_number: Option<CallerNumber>,
    abroad: bool,
    emergency: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCondition {
    measure: Measure,
    #[serde(default)]
    at_least: Option<Amount>,
    #[serde(default)]
    at_most: Option<Amount>,
    #[serde(default)]
    above_usual: Option<Decimal>,
    #[serde(default)]
    above_others: Option<i64>,
}

/// A count as a number, money as a quoted decimal.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a count such as 40, or money such as \"2.50\"")]
enum Amount {
    Count(i64),
    Money(Decimal),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct WrittenExceptions {
    accounts: BTreeSet<String>,
    callees: Vec<String>,
    sources: BTreeSet<IpAddr>,
}

/// The delivered rules.
///
/// # Panics
///
/// Never: a test reads them.
pub fn presets() -> Vec<Rule> {
    RuleFile::read(PRESETS).expect("the delivered rules are read by a test").rules
}

/// The text of one of the delivered rules, with the comment above it left out.
pub fn preset_text(name: &str) -> Option<String> {
    rule_text(PRESETS, name)
}

/// The text of the rule of this name in a file that was read.
pub fn rule_text(file: &str, name: &str) -> Option<String> {
    const HEAD: &str = "[[rule]]";
    let begins: Vec<usize> = file
        .match_indices(HEAD)
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || file.as_bytes().get(at - 1) == Some(&b'\n'))
        .collect();
    begins.iter().enumerate().find_map(|(n, begin)| {
        let end = begins.get(n + 1).copied().unwrap_or(file.len());
        // Comments at the end belong to the rule that follows.
        let mut lines: Vec<&str> = file.get(*begin..end)?.lines().collect();
        while lines.last().is_some_and(|line| line.trim().is_empty() || line.starts_with('#')) {
            lines.pop();
        }
        let text = lines.join("\n") + "\n";
        let rules = RuleFile::read(&text).ok()?.rules;
        rules.first().is_some_and(|rule| rule.name == name).then_some(text)
    })
}

impl RuleFile {
    /// Reads and checks a file's text.
    ///
    /// # Errors
    ///
    /// The first fault, with its place and what to do.
    pub fn read(text: &str) -> Result<Self, RuleFault> {
        let fault_at = |byte: usize, fault: String, remedy: String| {
            let (line, column) = place(text, byte);
            RuleFault { line, column, fault, remedy }
        };
        let written: Written = toml::from_str(text).map_err(|error| {
            let fault = error.message().replace('\n', " ");
            let remedy = remedy_of(&fault);
            fault_at(error.span().map_or(0, |span| span.start), fault, remedy)
        })?;
        let mut rules: Vec<Rule> = Vec::new();
        for spanned in written.rule {
            let at = spanned.span().start;
            let named = spanned.get_ref().name.clone();
            let rule = checked(spanned.into_inner()).map_err(|(fault, remedy)| {
                fault_at(at, format!("rule {named:?}: {fault}"), remedy.to_owned())
            })?;
            if rules.iter().any(|earlier| earlier.name == rule.name) {
                let fault = format!("rule {named:?} is in the file twice");
                return Err(fault_at(at, fault, "rename or remove one".to_owned()));
            }
            rules.push(rule);
            if rules.len() > RULES_MAX {
                let fault = format!("more than {RULES_MAX} rules");
                return Err(fault_at(at, fault, "remove those that are not needed".to_owned()));
            }
        }
        Ok(Self { rules })
    }
}

type Fault = (String, &'static str);

fn checked(written: WrittenRule) -> Result<Rule, Fault> {
    check_form(&written)?;
    let conditions = written
        .when
        .iter()
        .map(|condition| condition_of(condition, &written))
        .collect::<Result<Vec<_>, _>>()?;
    let actions: BTreeSet<Action> = written.action.iter().copied().chain([Action::Alert]).collect();
    let lock = lock_of(&written, &actions)?;
    let throttle = barring_terms(&written, &actions)?;
    check_tag(written.tag.as_deref(), actions.contains(&Action::Tag))?;
    if actions.contains(&Action::Refuse) {
        needs_no_history(&written, &conditions)?;
    }
    check_lists(&written)?;
    Ok(Rule {
        name: written.name,
        version: written.version,
        title: written.title,
        key: written.key,
        window: written.window,
        filter: filter_of(&written.filter)?,
        conditions,
        warm_up: written.warm_up,
        actions,
        lock,
        lock_for: written.lock_for,
        block: written.block.unwrap_or(Barred::Account),
        block_for: written.block_for,
        throttle,
        tag: written.tag,
        notify: written.notify,
        cool_down: written.cool_down.unwrap_or(written.window),
        except: Exceptions {
            accounts: written.except.accounts,
            callees: written.except.callees,
            sources: written.except.sources,
        },
    })
}

/// Name, window, conditions and key, each by itself.
fn check_form(written: &WrittenRule) -> Result<(), Fault> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if written.name.is_empty() || !written.name.chars().all(is_letter) {
        let fault = "a name has letters, digits, - and _ only, and at least one".to_owned();
        return Err((fault, "choose such a name"));
    }
    if !(WINDOW_MIN_SECONDS..=WINDOW_MAX_SECONDS).contains(&written.window.seconds()) {
        return Err((
            format!("window = \"{}\" is not between 6s and 7d", written.window),
            "choose another window",
        ));
    }
    if written.when.is_empty() {
        return Err(("`when` is empty: it would fire at every event".to_owned(), "add a condition"));
    }
    let is_not_of_calls = written.filter.flow == Some(Flow::Registrations);
    if is_not_of_calls && written.key != Key::Source {
        let fault = format!("flow = \"registrations\" belongs to no {}", written.key);
        return Err((fault, "use key = \"source\""));
    }
    Ok(())
}

/// The level where there is the action, and none where there is not.
fn lock_of(written: &WrittenRule, actions: &BTreeSet<Action>) -> Result<LockLevel, Fault> {
    let lock = written.lock.unwrap_or(LockLevel::None);
    match (actions.contains(&Action::Lock), lock) {
        (true, LockLevel::None) => {
            let fault = "action \"lock\" does not say which".to_owned();
            Err((fault, "add lock = \"foreign\", \"outgoing\", \"all\" or \"global\""))
        }
        (false, level) if level != LockLevel::None => {
            let fault = format!("lock = \"{level}\" is never set");
            Err((fault, "add \"lock\" to `action`"))
        }
        (true | false, level) => Ok(level),
    }
}

/// Prefixes and addresses.
fn check_lists(written: &WrittenRule) -> Result<(), Fault> {
    if let Some(prefix) = written.except.callees.iter().find(|prefix| {
        prefix.is_empty() || prefix.len() > 15 || !prefix.bytes().all(|byte| byte.is_ascii_digit())
    }) {
        return Err((format!("except.callees: {prefix:?} is no prefix"), "write 1 to 15 digits, without +"));
    }
    if let Some(address) = written.notify.iter().find(|address| !address.contains('@')) {
        return Err((
            format!("notify: {address:?} is no mail address"),
            "write it like \"fraud@example.com\"",
        ));
    }
    Ok(())
}

fn filter_of(written: &WrittenFilter) -> Result<Filter, Fault> {
    let rate_min = written.rate_min.map(|rate| ten_thousandths("where.rate_min", rate)).transpose()?;
    Ok(Filter {
        flow: written.flow,
        new_country: written.new_country,
        hot_listed: written.hot_listed,
        off_hours: written.off_hours,
        rate_min,
        account_younger: written.account_younger,
        new_user_agent: written.new_user_agent,
        caller_number: written.caller_number,
        abroad: written.abroad,
        emergency: written.emergency,
    })
}

/// A mark is a short word, and there is one where it is asked for.
fn check_tag(tag: Option<&str>, is_asked_for: bool) -> Result<(), Fault> {
    match (tag, is_asked_for) {
        (None, false) => Ok(()),
        (None, true) => Err((
            "action \"tag\" does not say which".to_owned(),
            "add tag = \"...\", a word such as \"irsf\"",
        )),
        (Some(tag), false) => Err((format!("tag = \"{tag}\" marks nothing"), "add \"tag\" to `action`")),
        (Some(tag), true) => {
            let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if tag.is_empty() || tag.len() > TAG_LETTERS_MAX || !tag.chars().all(is_letter) {
                let fault = format!("tag = \"{tag}\" is no short word");
                return Err((fault, "use 1 to 40 letters, digits, - and _"));
            }
            Ok(())
        }
    }
}

/// A call is refused before it is counted, so nothing that is counted or remembered can be the reason.
fn needs_no_history(written: &WrittenRule, conditions: &[Condition]) -> Result<(), Fault> {
    let first = Condition { measure: Measure::Attempts, bound: Bound::AtLeast(1) };
    if conditions != [first] {
        let fault = "action \"refuse\" is decided at the INVITE, when nothing is counted yet".to_owned();
        return Err((fault, "let `when` be [{ measure = \"attempts\", at_least = 1 }] alone"));
    }
    let filter = &written.filter;
    let has_history = filter.new_country || filter.new_user_agent || filter.account_younger.is_some();
    if has_history || written.warm_up.is_some() {
        let fault = "action \"refuse\" is decided at the INVITE, where no history is known".to_owned();
        return Err((
            fault,
            "remove new_country, new_user_agent, account_younger and warm_up, or \"refuse\"",
        ));
    }
    if filter.flow == Some(Flow::Registrations) || written.key == Key::VendorCountry {
        let fault = "action \"refuse\" is for calls that come in, whoever carries them on".to_owned();
        return Err((fault, "choose another `flow` or `key`, or remove \"refuse\""));
    }
    Ok(())
}

/// What `block_range` and `throttle` say belongs to them, and is said where they need it.
fn barring_terms(written: &WrittenRule, actions: &BTreeSet<Action>) -> Result<Option<Throttle>, Fault> {
    let has = |action| actions.contains(&action);
    if !has(Action::BlockRange) && (written.block.is_some() || written.block_for.is_some()) {
        let fault = "block or block_for is given, and nothing is ever barred".to_owned();
        return Err((fault, "add \"block_range\" to `action`"));
    }
    if !has(Action::Throttle) && (written.calls_per_minute.is_some() || written.throttle_for.is_some()) {
        let fault = "calls_per_minute or throttle_for is given, and nobody is ever slowed down".to_owned();
        return Err((fault, "add \"throttle\" to `action`"));
    }
    if written.filter.flow == Some(Flow::Registrations) && (has(Action::BlockRange) || has(Action::Throttle))
    {
        let fault = "registrations call no numbers and are paid by no account".to_owned();
        return Err((fault, "remove \"block_range\" and \"throttle\" from `action`"));
    }
    if !has(Action::Throttle) {
        return Ok(None);
    }
    match written.calls_per_minute {
        Some(calls_per_minute @ 1..) => Ok(Some(Throttle { calls_per_minute, span: written.throttle_for })),
        Some(0) | None => {
            let fault = "action \"throttle\" does not say how many calls get through".to_owned();
            Err((fault, "add calls_per_minute, 1 or more; to stop all of them, use \"lock\""))
        }
    }
}

fn condition_of(written: &WrittenCondition, rule: &WrittenRule) -> Result<Condition, Fault> {
    let measure = written.measure;
    let given = [
        written.at_least.as_ref().map(|amount| in_units(measure, amount).map(Bound::AtLeast)),
        written.at_most.as_ref().map(|amount| in_units(measure, amount).map(Bound::AtMost)),
        written.above_usual.map(|sigma| in_tenths(sigma).map(Bound::AboveUsual)),
        written.above_others.map(|points| Ok(Bound::AboveOthers(points))),
    ];
    let mut bounds = given.into_iter().flatten();
    let (Some(bound), None) = (bounds.next(), bounds.next()) else {
        let fault = format!("the condition on {measure} needs one bound");
        return Err((fault, "give one of `at_least`, `at_most`, `above_usual`, `above_others`"));
    };
    let bound = bound?;
    match bound {
        Bound::AboveUsual(_) if !measure.has_usual() => {
            Err((format!("what is usual is not learned for {measure}"), "use it with cost or attempts"))
        }
        Bound::AboveUsual(_) if rule.key != Key::Account => {
            Err((format!("what is usual is not learned by {}", rule.key), "use key = \"account\""))
        }
        Bound::AboveOthers(_) if !measure.is_share() || rule.key != Key::VendorCountry => Err((
            format!("{measure} by {} cannot be compared with others", rule.key),
            "use a share, with key = \"vendor_country\"",
        )),
        Bound::AtLeast(_) | Bound::AtMost(_) | Bound::AboveUsual(_) | Bound::AboveOthers(_) => {
            Ok(Condition { measure, bound })
        }
    }
}

fn in_units(measure: Measure, amount: &Amount) -> Result<i64, Fault> {
    match (measure.is_money(), amount) {
        (false, Amount::Count(count)) => Ok(*count),
        (true, Amount::Money(money)) => ten_thousandths(measure.as_str(), *money),
        (true, Amount::Count(count)) => {
            Err((format!("{measure} is money, {count} is a count"), "write it in quotes, like \"2.50\""))
        }
        (false, Amount::Money(money)) => {
            Err((format!("{measure} is a count, \"{money}\" is money"), "write it without quotes, like 40"))
        }
    }
}

fn ten_thousandths(what: &str, money: Decimal) -> Result<i64, Fault> {
    money
        .checked_mul(Decimal::from(10_i64.pow(MONEY_SCALE)))
        .filter(|scaled| scaled.fract().is_zero())
        .and_then(|scaled| scaled.to_i64())
        .ok_or_else(|| (format!("{what} = \"{money}\" has too many digits"), "use at most four decimals"))
}

fn in_tenths(sigma: Decimal) -> Result<u32, Fault> {
    let tenths = sigma.checked_mul(Decimal::TEN).and_then(|tenths| tenths.trunc().to_u32());
    tenths.filter(|tenths| *tenths > 0).ok_or_else(|| {
        (format!("above_usual = \"{sigma}\" is no number of standard deviations"), "write it like \"4\"")
    })
}

/// Line and column, counted from 1, of a byte.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

/// How values of a kind are written, by the words that say the kind in a fault of the parser.
const FORMS: &[(&str, &str)] = &[
    ("unknown field", "remove it; docs/fraud-rules.md lists what a rule may have"),
    ("unknown variant", "use one of the words named"),
    ("missing field", "add it to this rule"),
    ("duration", "write it like \"10m\", \"4h\" or \"7d\""),
    ("Decimal", "write it in quotes, like \"2.50\""),
    ("expected a boolean", "write true or false, without quotes"),
    ("expected a string", "put it in quotes"),
];

fn remedy_of(fault: &str) -> String {
    let form = FORMS.iter().find(|(kind, _)| fault.contains(kind)).map(|(_, form)| *form);
    form.unwrap_or("see docs/fraud-rules.md").to_owned()
}
