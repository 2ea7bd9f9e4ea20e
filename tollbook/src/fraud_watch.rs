//! The watch as configured: rule files and number lists are read and checked before anything starts.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use fraud::rule::{Rule, RuleFile, presets};
use fraud::watch::{Gate, HotList, HotListBuilder, Watch, WatchRules, WatchSnapshot};
use model::{AccountId, Attempt, Directory, FraudRule};
use serde::Deserialize;
use switch::Screen;
use tracing::{error, warn};

use crate::failure::UserError;

/// What the delivered rules may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Presets {
    /// Nothing; they are not looked at.
    Off,
    /// Tell people.
    Alert,
    /// What they say: end calls and lock accounts too.
    Act,
}

/// The watch on calls as they happen.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FraudConfig {
    /// What the delivered rules may do: `"off"`, `"alert"`, or `"act"`: end calls and lock accounts as each says. Default: `"alert"`.
    pub(crate) presets: Presets,
    /// Files with rules of your own, which do what they say. One with the name of a delivered rule takes its place.
    pub(crate) rules: Vec<PathBuf>,
    /// Who is told of every alert, mail addresses. Default: nobody.
    pub(crate) notify: Vec<String>,
    /// Files with numbers and ranges that are called for fraud.
    pub(crate) hot_lists: Vec<PathBuf>,
    /// Files with numbers and ranges that never call out.
    pub(crate) never_originate: Vec<PathBuf>,
}

impl Default for FraudConfig {
    fn default() -> Self {
        Self {
            presets: Presets::Alert,
            rules: Vec::new(),
            notify: Vec::new(),
            hot_lists: Vec::new(),
            never_originate: Vec::new(),
        }
    }
}

impl FraudConfig {
    /// Paths become those of files beside the configuration.
    pub(crate) fn resolve(&mut self, base: &Path) {
        for path in self.rules.iter_mut().chain(&mut self.hot_lists).chain(&mut self.never_originate) {
            *path = base.join(&*path);
        }
    }

    /// The rules in force: the delivered ones, and those of the files.
    ///
    /// # Errors
    ///
    /// A [`UserError`] with file, line, fault and remedy.
    pub(crate) fn rules(&self) -> Result<Vec<Rule>, UserError> {
        let mut rules = match self.presets {
            Presets::Off => Vec::new(),
            Presets::Alert => presets().into_iter().map(Rule::only_alerting).collect(),
            Presets::Act => presets(),
        };
        for file in &self.rules {
            for own in read_rules(file)? {
                rules.retain(|rule| rule.name != own.name);
                rules.push(letting_help_through(own));
            }
        }
        if let Some(address) = self.notify.iter().find(|address| !address.contains('@')) {
            return Err(UserError::new(
                format!("fraud.notify: {address:?} is not a mail address"),
                "write it like \"fraud@example.com\"",
            ));
        }
        Ok(rules)
    }
}

/// Highest version that may be written: the next one is above it, and the number must not run out.
const VERSION_MAX: u32 = 1_000_000;

/// A rule of before that would stop emergency calls tells people of them and does no more; a new one is not taken ([`one_rule`]).
fn letting_help_through(rule: Rule) -> Rule {
    if let Some(action) = rule.action_against_help() {
        warn!(rule = rule.name, %action, "a rule would stop emergency calls; it tells people and lets them through");
    }
    rule.letting_help_through()
}

/// The one rule of a text; else what is wrong with it and what to do.
pub(crate) fn one_rule(text: &str) -> Result<Rule, (String, String)> {
    let mut rules = RuleFile::read(text).map_err(|fault| (fault.to_string(), fault.remedy))?.rules;
    match (rules.pop(), rules.len()) {
        (Some(rule), 0) if rule.version > VERSION_MAX => Err((
            format!("1:1: version {} is above {VERSION_MAX}", rule.version),
            "write 1; what is saved counts up by itself".to_owned(),
        )),
        (Some(rule), 0) => match rule.action_against_help() {
            Some(action) => Err((
                format!("1:1: action \"{action}\" would stop emergency calls"),
                "remove \"end_call\", \"end_calls\" and \"refuse\" from `action`, or `emergency` from `where`".to_owned(),
            )),
            None => Ok(rule),
        },
        (None, _) => Err(("1:1: there is no rule".to_owned(), "write one [[rule]]".to_owned())),
        (Some(_), n) => Err((format!("1:1: there are {} rules", n + 1), "save them one by one".to_owned())),
    }
}

/// The rules of one file.
pub(crate) fn read_rules(file: &Path) -> Result<Vec<Rule>, UserError> {
    let text = std::fs::read_to_string(file).map_err(|why| {
        UserError::new(
            format!("{}: {why}", file.display()),
            "give a file of rules; docs/fraud-rules.md explains them",
        )
    })?;
    let read = RuleFile::read(&text)
        .map_err(|fault| UserError::new(format!("{}:{fault}", file.display()), fault.remedy.clone()))?;
    Ok(read.rules)
}

/// The numbers of all files together.
pub(crate) fn read_lists(files: &[PathBuf]) -> Result<HotList, UserError> {
    let mut builder = HotListBuilder::default();
    for path in files {
        let unreadable = |why: std::io::Error| {
            UserError::new(
                format!("{}: {why}", path.display()),
                "give a text file with one number or range a line",
            )
        };
        let mut file = BufReader::new(std::fs::File::open(path).map_err(unreadable)?);
        let (mut line, mut n_lines) = (String::new(), 0_u64);
        while file.read_line(&mut line).map_err(unreadable)? > 0 {
            n_lines += 1;
            builder.line(line.trim_end()).map_err(|fault| {
                UserError::new(
                    format!("{}:{n_lines}: {fault}", path.display()),
                    "write one number or range a line, with its country code",
                )
            })?;
            line.clear();
        }
    }
    Ok(builder.build())
}

/// What the watch and its gate look up in the provisioning data: worked out once for a revision, whoever asks first.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(Mutex<Option<Arc<WatchSnapshot>>>);

impl Snapshots {
    /// Works it out, so that no lane has to when it takes over the revision.
    pub(crate) fn prepare(&self, directory: &Arc<Directory>) {
        self.of(directory);
    }

    fn of(&self, directory: &Arc<Directory>) -> Arc<WatchSnapshot> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = latest.as_ref().filter(|held| held.revision() == directory.revision) {
            return snapshot.clone();
        }
        let snapshot = Arc::new(WatchSnapshot::build(directory.clone()));
        // A later one may be ready already, for whoever asks next.
        if latest.as_ref().is_none_or(|held| held.revision() < snapshot.revision()) {
            *latest = Some(snapshot.clone());
        }
        snapshot
    }
}

/// Saved rules by name, each in a version.
type SavedVersions = Vec<(String, u32)>;

/// The rules in force: those of the configuration, and those that people saved, which take the place of others of their name.
#[derive(Debug)]
pub(crate) struct RuleBook {
    configured: Vec<Rule>,
    hot: Arc<HotList>,
    never_originate: Arc<HotList>,
    notify: Vec<String>,
    /// Made for these saved versions.
    current: Mutex<(SavedVersions, Arc<WatchRules>)>,
}

impl RuleBook {
    /// Reads rules and lists.
    ///
    /// # Errors
    ///
    /// As [`FraudConfig::rules`].
    pub(crate) fn load(config: &FraudConfig, directory: &Directory) -> Result<Self, UserError> {
        let book = Self {
            configured: config.rules()?,
            hot: Arc::new(read_lists(&config.hot_lists)?),
            never_originate: Arc::new(read_lists(&config.never_originate)?),
            notify: config.notify.clone(),
            current: Mutex::default(),
        };
        let rules = book.make(directory);
        let saved = saved_versions(directory);
        *book.current.lock().unwrap_or_else(PoisonError::into_inner) = (saved, rules);
        Ok(book)
    }

    /// Those of the directory that was asked for last.
    pub(crate) fn current(&self) -> Arc<WatchRules> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Those of a directory.
    pub(crate) fn of(&self, directory: &Directory) -> Arc<WatchRules> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = saved_versions(directory);
        if current.0 != saved {
            *current = (saved, self.make(directory));
        }
        current.1.clone()
    }

    fn make(&self, directory: &Directory) -> Arc<WatchRules> {
        let rules = in_force(&self.configured, &directory.fraud_rules);
        let lists = (self.hot.clone(), self.never_originate.clone());
        Arc::new(WatchRules::new(rules, lists.0, lists.1, self.notify.clone()))
    }

    /// The hot list and the numbers that never call out.
    pub(crate) fn lists(&self) -> (Arc<HotList>, Arc<HotList>) {
        (self.hot.clone(), self.never_originate.clone())
    }

    /// The rules of the configuration.
    pub(crate) fn configured(&self) -> &[Rule] {
        &self.configured
    }
}

fn saved_versions(directory: &Directory) -> Vec<(String, u32)> {
    directory.fraud_rules.iter().map(|rule| (rule.name.clone(), rule.version)).collect()
}

/// The configured rules with the saved ones in their places.
pub(crate) fn in_force(configured: &[Rule], saved: &[FraudRule]) -> Vec<Rule> {
    let mut rules = configured.to_vec();
    for kept in saved {
        if !kept.is_on {
            // Whatever its text says, nothing of its name is looked by.
            rules.retain(|other| other.name != kept.name);
            continue;
        }
        match read_saved(kept) {
            Ok(rule) => {
                rules.retain(|other| other.name != kept.name);
                rules.extend(rule.map(letting_help_through));
            }
            // It was checked when it was saved: another version of this program did that.
            Err(why) => error!(rule = kept.name, version = kept.version, %why, "a saved rule cannot be read"),
        }
    }
    rules
}

/// A saved rule, under the version that it was saved as; `None` for a name that is switched off and has no text.
fn read_saved(kept: &FraudRule) -> Result<Option<Rule>, fraud::rule::RuleFault> {
    let rules = RuleFile::read(&kept.text)?.rules;
    Ok(rules.into_iter().next().map(|rule| Rule { version: kept.version, ..rule }))
}

/// Gives a lane of the watch its rules and its provisioning data.
pub(crate) fn refresh(
    book: Arc<RuleBook>,
    snapshots: Arc<Snapshots>,
) -> impl Fn(&mut Watch, &Arc<Directory>) + Send + Sync {
    move |watch, directory| {
        watch.set_rules(book.of(directory));
        watch.set_snapshot(snapshots.of(directory));
    }
}

/// Makes what the switch asks at each INVITE.
#[derive(Debug, Clone)]
pub(crate) struct Screens {
    pub(crate) book: Arc<RuleBook>,
    pub(crate) snapshots: Arc<Snapshots>,
}

impl Screens {
    /// For one revision of the provisioning data; `None` where no rule refuses anything.
    pub(crate) fn of(&self, directory: &Arc<Directory>) -> Option<Arc<dyn Screen>> {
        let rules = self.book.of(directory);
        if !rules.refuses_any() {
            return None;
        }
        let gate = Gate::new(rules, self.snapshots.of(directory))?;
        Some(Arc::new(InviteGate(gate)))
    }
}

/// What the rule does, in words.
pub(crate) fn does(rule: &Rule) -> String {
    let actions: Vec<&str> = rule.actions.iter().map(|action| action.as_str()).collect();
    match (rule.lock, rule.lock_for) {
        (model::LockLevel::None, _) => actions.join(", "),
        (level, Some(span)) => format!("{} {level} for {span}", actions.join(", ")),
        (level, None) => format!("{} {level}", actions.join(", ")),
    }
}

#[derive(Debug)]
struct InviteGate(Gate);

impl Screen for InviteGate {
    fn refuses(&self, payer: AccountId, leg: u16, at: DateTime<Utc>, attempt: &Attempt) -> Option<String> {
        let rule = self.0.refuses(payer, leg, at, attempt)?;
        Some(format!("rule {}, version {}", rule.name, rule.version))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: Expect) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("own.toml");
        std::fs::write(&file, text).unwrap();
        let shown = match read_rules(&file) {
            Ok(rules) => rules.iter().map(|rule| rule.name.clone()).collect::<Vec<_>>().join(" "),
            Err(why) => why.to_string().replace(&dir.path().display().to_string(), "."),
        };
        expected.assert_eq(&shown);
    }

    const GOOD: &str =
        "[[rule]]\nname = \"night\"\nversion = 1\ntitle = \"Night\"\nkey = \"account\"\nwindow = \"1h\"\n";

    #[test]
    fn version_that_leaves_no_room_for_the_next_is_refused() {
        let text = format!("{GOOD}when = [{{ measure = \"attempts\", at_least = 40 }}]\n");
        let written = |version: u32| one_rule(&text.replace("version = 1", &format!("version = {version}")));
        assert_eq!(written(VERSION_MAX).unwrap().version, VERSION_MAX);
        assert_eq!(written(u32::MAX).unwrap_err().0, "1:1: version 4294967295 is above 1000000");
    }

    #[test]
    fn name_that_is_switched_off_is_silent_also_if_its_text_cannot_be_read() {
        let saved = |is_on, text: &str| FraudRule {
            name: "irsf-burst".to_owned(),
            version: 3,
            text: text.to_owned(),
            is_on,
            author: "ann".to_owned(),
            reason: String::new(),
            at: DateTime::UNIX_EPOCH,
        };
        let has_it =
            |saved: FraudRule| in_force(&presets(), &[saved]).iter().any(|rule| rule.name == "irsf-burst");
        assert!(!has_it(saved(false, "of a later version")));
        assert!(has_it(saved(true, "of a later version")), "the configured one goes on");
    }

    #[test]
    fn wrong_rule_is_told_with_file_line_and_remedy() {
        check(&format!("{GOOD}when = [{{ measure = \"attempts\", at_least = 40 }}]\n"), expect!["night"]);
        check(
            &format!("{GOOD}when = [{{ measure = \"attemps\", at_least = 40 }}]\n"),
            expect![
                "./own.toml:7:21: unknown variant `attemps`, expected one of `attempts`, `attempts_per_second`, `answered`, `failed_share`, `answered_share`, `cost`, `cost_rate`, `minutes`, `concurrent`, `distinct_callees`, `distinct_callers`, `distinct_sources`, `distinct_user_agents`, `distinct_share`, `sequential`, `short_share`, `short_ring_share`, `mean_seconds`, `duration_spread`, `asr_change`, `acd_change`; use one of the words named"
            ],
        );
        check(
            &format!("{GOOD}when = [{{ measure = \"cost\", at_least = 40 }}]\n"),
            expect![[
                r#"./own.toml:1:1: rule "night": cost is money, 40 is a count; write it in quotes, like "2.50""#
            ]],
        );
        check(
            &format!("{GOOD}when = [{{ measure = \"minutes\", above_usual = \"4\" }}]\n"),
            expect![[
                r#"./own.toml:1:1: rule "night": what is usual is not learned for minutes; use it with cost or attempts"#
            ]],
        );
        check(
            &format!("{GOOD}when = []\n"),
            expect![[
                r#"./own.toml:1:1: rule "night": `when` is empty: it would fire at every event; add a condition"#
            ]],
        );
        check(
            &format!("{GOOD}when = [{{ measure = \"attempts\" }}]\n"),
            expect![[
                r#"./own.toml:1:1: rule "night": the condition on attempts needs one bound; give one of `at_least`, `at_most`, `above_usual`, `above_others`"#
            ]],
        );
        check(
            &format!("{GOOD}wen = []\n"),
            expect![
                "./own.toml:7:1: unknown field `wen`, expected one of `name`, `version`, `title`, `key`, `window`, `where`, `when`, `warm_up`, `action`, `lock`, `lock_for`, `block`, `block_for`, `calls_per_minute`, `throttle_for`, `tag`, `notify`, `cool_down`, `except`; remove it; docs/fraud-rules.md lists what a rule may have"
            ],
        );
        check(
            &format!("{GOOD}when = [{{ measure = \"attempts\", at_least = 40 }}]\naction = [\"lock\"]\n"),
            expect![[
                r#"./own.toml:1:1: rule "night": action "lock" does not say which; add lock = "foreign", "outgoing", "all" or "global""#
            ]],
        );
        let long = GOOD.replace("\"1h\"", "\"8d\"");
        check(
            &format!("{long}when = [{{ measure = \"attempts\", at_least = 40 }}]\n"),
            expect![[
                r#"./own.toml:1:1: rule "night": window = "8d" is not between 6s and 7d; choose another window"#
            ]],
        );
        let twice = format!("{GOOD}when = [{{ measure = \"attempts\", at_least = 40 }}]\n");
        check(
            &format!("{twice}{twice}"),
            expect![[r#"./own.toml:8:1: rule "night" is in the file twice; rename or remove one"#]],
        );
    }

    #[test]
    fn delivered_rules_only_alert_unless_they_are_let_act() {
        let config = |presets| FraudConfig { presets, ..FraudConfig::default() };
        assert!(config(Presets::Off).rules().unwrap().is_empty());
        let alerting = config(Presets::Alert).rules().unwrap();
        assert!(alerting.iter().all(|rule| rule.lock == model::LockLevel::None && rule.actions.len() == 1));
        let acting = config(Presets::Act).rules().unwrap();
        assert!(acting.iter().any(|rule| rule.lock == model::LockLevel::Outgoing));
    }

    fn text(filter: &str, action: &str) -> String {
        format!(
            "[[rule]]\nname = \"help\"\nversion = 1\ntitle = \"Help\"\nkey = \"account\"\nwindow = \"1h\"\nwhere = {{ {filter} }}\n\
             when = [{{ measure = \"attempts\", at_least = 1 }}]\naction = [\"alert\", \"{action}\"]\n"
        )
    }

    #[test]
    fn rule_that_would_stop_emergency_calls_is_not_taken() {
        for action in ["end_call", "end_calls", "refuse"] {
            let (fault, _) = one_rule(&text("emergency = true", action)).unwrap_err();
            assert_eq!(fault, format!("1:1: action \"{action}\" would stop emergency calls"));
            assert!(one_rule(&text("abroad = true", action)).is_ok(), "{action}");
        }
        assert!(
            one_rule(&text("emergency = true", "tag").replace("\"tag\"]", "\"tag\"]\ntag = \"help\""))
                .is_ok()
        );
    }

    #[test]
    fn rule_saved_before_tells_people_of_emergency_calls_and_stops_none() {
        let saved = FraudRule {
            name: "help".to_owned(),
            version: 3,
            text: text("emergency = true", "end_calls"),
            is_on: true,
            author: "ann".to_owned(),
            reason: "from before".to_owned(),
            at: DateTime::UNIX_EPOCH,
        };
        let rules = in_force(&[], &[saved]);
        assert_eq!(
            rules.iter().map(|rule| (rule.version, rule.action_against_help())).collect::<Vec<_>>(),
            [(3, None)]
        );
        assert!(rules[0].actions.contains(&fraud::rule::Action::Alert), "people are told as before");
    }
}
