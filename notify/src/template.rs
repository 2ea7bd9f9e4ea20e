//! Words of mails by templates: checked before they are used, filled with the variables of their event.
//!
//! In: a [`MailTemplate`], the variables of an event ([`model::MailEvent::variables`]). Out: [`Words`], or a [`TemplateFault`] with part,
//! line and column. A template reads nothing but its variables, and both its work and what it writes have a limit. Which tenant
//! has which template, and what is sent when one fails, is the binary's to decide.
//!
//! The language is Jinja's, as the `minijinja` crate has it. A template's text begins with `Subject: ...`, then an empty line.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, UndefinedBehavior, Value};
use model::{Language, MailEvent, MailVariable};

/// Steps of one rendering: some thousand times what a letter takes.
const FUEL: u64 = 100_000;

/// What a template may be long, and what it may write, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 256 * 1024;

/// A subject longer than this is cut by most readers.
const SUBJECT_CHARS_MAX: usize = 250;

/// What a template's text begins with.
const SUBJECT: &str = "Subject:";

/// The words of an event as a tenant wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailTemplate {
    /// `Subject: ...`, an empty line, and the plain text.
    pub text: String,
    /// A whole HTML document that says the same; values are escaped in it. `None`: it is made of the plain text.
    pub html: Option<String>,
}

/// What a mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// HTML, if its template had some.
    pub html: Option<String>,
}

/// The two parts of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplatePart {
    /// Subject and plain text.
    Text,
    /// HTML.
    Html,
}

/// What is wrong with a template, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {rule}", match part { TemplatePart::Text => "text", TemplatePart::Html => "html" })]
pub struct TemplateFault {
    /// In which part.
    pub part: TemplatePart,
    /// The first is 1.
    pub line: usize,
    /// In characters; the first is 1.
    pub column: usize,
    /// What is wrong, and what to write.
    pub rule: String,
}

/// The values of an event's variables, by name.
pub type Variables = BTreeMap<String, String>;

/// The words of the program itself for an event. Alerts and balances speak English in every language.
pub const fn own_template(event: MailEvent, language: Language) -> &'static str {
    match (event, language) {
        (MailEvent::Invoice, Language::English) => include_str!("../templates/invoice.en.txt"),
        (MailEvent::Invoice, Language::German) => include_str!("../templates/invoice.de.txt"),
        (MailEvent::Invoice, Language::Vietnamese) => include_str!("../templates/invoice.vi.txt"),
        (MailEvent::CreditNote, Language::English) => include_str!("../templates/credit_note.en.txt"),
        (MailEvent::CreditNote, Language::German) => include_str!("../templates/credit_note.de.txt"),
        (MailEvent::CreditNote, Language::Vietnamese) => include_str!("../templates/credit_note.vi.txt"),
        (MailEvent::Reminder, Language::English) => include_str!("../templates/reminder.en.txt"),
        (MailEvent::Reminder, Language::German) => include_str!("../templates/reminder.de.txt"),
        (MailEvent::Reminder, Language::Vietnamese) => include_str!("../templates/reminder.vi.txt"),
        (MailEvent::FraudWarning | MailEvent::FraudLock, _) => include_str!("../templates/fraud.txt"),
        (MailEvent::LowBalance, _) => include_str!("../templates/low_balance.txt"),
    }
}

/// Fills the program's own template; a subject that gets too long, as by the name of a customer, is cut.
///
/// # Errors
///
/// [`TemplateFault`] when `variables` lacks one.
pub fn own_words(
    event: MailEvent,
    language: Language,
    variables: &Variables,
) -> Result<Words, TemplateFault> {
    let template = MailTemplate { text: own_template(event, language).to_owned(), html: None };
    let mut words = template.filled(variables)?;
    if words.subject.chars().count() > SUBJECT_CHARS_MAX {
        words.subject = words.subject.chars().take(SUBJECT_CHARS_MAX - 1).chain(['…']).collect();
    }
    Ok(words)
}

/// The examples of an event's variables.
pub fn sample_variables(event: MailEvent) -> Variables {
    let of = |variable: &MailVariable| (variable.name.to_owned(), variable.sample.to_owned());
    event.variables().iter().map(of).collect()
}

impl MailTemplate {
    /// Whether it can be used for `event`: it reads, names no unknown variable, says something with the examples of all variables, and can be
    /// filled when all are empty. What only some values bring about shows when a mail is worded; the words before it are used then.
    ///
    /// # Errors
    ///
    /// [`TemplateFault`], the first there is.
    pub fn check(&self, event: MailEvent) -> Result<(), TemplateFault> {
        let environment = environment();
        self.known_variables_only(&environment, event)?;
        let full = sample_variables(event);
        self.fill(&full)?;
        let empty: Variables = full.into_keys().map(|name| (name, String::new())).collect();
        // Only that it can be filled: with nothing at all to say, nothing may come of it.
        let (subject, text) = split(&self.text)?;
        for source in [subject, text] {
            write(&environment, TemplatePart::Text, &source, &empty)?;
        }
        if let Some(html) = &self.html {
            write(&environment, TemplatePart::Html, html, &empty)?;
        }
        Ok(())
    }

    /// The words with the values of `variables`.
    ///
    /// # Errors
    ///
    /// [`TemplateFault`].
    pub fn fill(&self, variables: &Variables) -> Result<Words, TemplateFault> {
        let words = self.filled(variables)?;
        if words.subject.chars().count() > SUBJECT_CHARS_MAX {
            let rule = format!("the subject is longer than {SUBJECT_CHARS_MAX} characters");
            return Err(fault(TemplatePart::Text, 1, SUBJECT.len() + 1, rule));
        }
        Ok(words)
    }

    /// As [`Self::fill`], with a subject of any length.
    fn filled(&self, variables: &Variables) -> Result<Words, TemplateFault> {
        let environment = environment();
        let (subject, text) = split(&self.text)?;
        let subject = write(&environment, TemplatePart::Text, &subject, variables)?;
        // A value with a line end must not make a second header, and with another control character the mail would not be sent.
        let is_gap = |c: char| c.is_whitespace() || c.is_control();
        let subject = subject.split(is_gap).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        if subject.is_empty() {
            return Err(fault(TemplatePart::Text, 1, SUBJECT.len() + 1, "the subject is empty"));
        }
        let text = write(&environment, TemplatePart::Text, &text, variables)?;
        let text = text.trim_start_matches(['\r', '\n']).to_owned();
        if text.trim().is_empty() {
            return Err(fault(TemplatePart::Text, 3, 1, "the text is empty"));
        }
        let html = self.html.as_ref().map(|html| write(&environment, TemplatePart::Html, html, variables));
        Ok(Words { subject, text, html: html.transpose()? })
    }

    /// Also in branches that no example takes.
    fn known_variables_only(
        &self,
        environment: &Environment<'_>,
        event: MailEvent,
    ) -> Result<(), TemplateFault> {
        let (subject, text) = split(&self.text)?;
        let mut parts = vec![(TemplatePart::Text, subject), (TemplatePart::Text, text)];
        parts.extend(self.html.clone().map(|html| (TemplatePart::Html, html)));
        for (part, source) in &parts {
            let template = environment
                .template_from_named_str(name_of(*part), source)
                .map_err(|why| of_engine(*part, source, &why))?;
            let mut unknown: Vec<(usize, usize, String)> = template
                .undeclared_variables(true)
                .into_iter()
                .filter(|name| !is_known(event, name))
                .map(|name| {
                    let (line, column) = place_of(source, &name);
                    (line, column, name)
                })
                .collect();
            unknown.sort();
            if let Some((line, column, name)) = unknown.into_iter().next() {
                let known: Vec<&str> = event.variables().iter().map(|variable| variable.name).collect();
                let rule = format!("there is no variable {name}; {event} mails know {}", known.join(", "));
                return Err(fault(*part, line, column, rule));
            }
        }
        Ok(())
    }
}

/// Nothing but variables: functions of the engine count as unknown.
fn is_known(event: MailEvent, name: &str) -> bool {
    event.variables().iter().any(|variable| variable.name == name)
}

/// Subject and text, each with as many lines before it as in the source, so that both know where they are.
fn split(source: &str) -> Result<(String, String), TemplateFault> {
    if source.len() > TEMPLATE_BYTES_MAX {
        let rule = format!("the template is longer than {TEMPLATE_BYTES_MAX} bytes");
        return Err(fault(TemplatePart::Text, 1, 1, rule));
    }
    let source = source.strip_prefix('\u{feff}').unwrap_or(source).replace("\r\n", "\n");
    let (first, rest) = source.split_once('\n').unwrap_or((&source, ""));
    let Some(subject) = first.strip_prefix(SUBJECT) else {
        return Err(fault(
            TemplatePart::Text,
            1,
            1,
            "the first line is no subject; begin with \"Subject: ...\"",
        ));
    };
    let (gap, text) = rest.split_once('\n').unwrap_or((rest, ""));
    if !gap.trim().is_empty() {
        return Err(fault(TemplatePart::Text, 2, 1, "leave the line after the subject empty"));
    }
    // As many characters as were there, for the columns.
    Ok((format!("{:width$}{subject}", "", width = SUBJECT.len()), format!("\n\n{text}")))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_debug(true);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    let syntax =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    if let Ok(syntax) = syntax {
        environment.set_syntax(syntax);
    }
    let functions: Vec<String> = environment.globals().map(|(name, _)| name.to_owned()).collect();
    for name in functions {
        environment.remove_global(&name);
    }
    environment
}

/// The engine escapes values where the name says HTML.
const fn name_of(part: TemplatePart) -> &'static str {
    match part {
        TemplatePart::Text => "mail.txt",
        TemplatePart::Html => "mail.html",
    }
}

fn write(
    environment: &Environment<'_>,
    part: TemplatePart,
    source: &str,
    variables: &Variables,
) -> Result<String, TemplateFault> {
    if source.len() > TEMPLATE_BYTES_MAX {
        return Err(fault(part, 1, 1, format!("the template is longer than {TEMPLATE_BYTES_MAX} bytes")));
    }
    let written = environment
        .template_from_named_str(name_of(part), source)
        .and_then(|template| {
            let values = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let mut written = Limited(Vec::new());
            template.render_captured_to(Value::from_pairs(values), &mut written)?;
            Ok(written.0)
        })
        .map_err(|why| of_engine(part, source, &why))?;
    String::from_utf8(written).map_err(|_| fault(part, 1, 1, "it does not write text"))
}

/// Takes no more than a mail may be long.
struct Limited(Vec<u8>);

impl std::io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > TEMPLATE_BYTES_MAX {
            return Err(std::io::Error::other(format!("it writes more than {TEMPLATE_BYTES_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn of_engine(part: TemplatePart, source: &str, why: &Error) -> TemplateFault {
    let (line, column) = match why.range() {
        Some(range) => place(source, range.start),
        None => (why.line().unwrap_or(1), 1),
    };
    let mut rule = why.kind().to_string();
    if let Some(detail) = why.detail() {
        rule = format!("{rule}: {detail}");
    }
    let mut cause = std::error::Error::source(why);
    while let Some(deeper) = cause {
        rule = format!("{rule}: {deeper}");
        cause = deeper.source();
    }
    fault(part, line, column, rule)
}

fn fault(part: TemplatePart, line: usize, column: usize, rule: impl Into<String>) -> TemplateFault {
    TemplateFault { part, line, column, rule: rule.into() }
}

/// Line and column of a byte.
fn place(source: &str, byte: usize) -> (usize, usize) {
    let before = source.get(..byte).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Where `name` stands between the braces of a template for the first time.
fn place_of(source: &str, name: &str) -> (usize, usize) {
    let first = name.split('.').next().unwrap_or(name);
    let mut at = 0;
    while let Some(open) = source[at..].find("{{").into_iter().chain(source[at..].find("{%")).min() {
        let begin = at + open + 2;
        let end = ["}}", "%}"].iter().filter_map(|close| source[begin..].find(close)).min();
        let end = end.map_or(source.len(), |length| begin + length);
        if let Some(found) =
            word_in(&source[begin..end], name).or_else(|| word_in(&source[begin..end], first))
        {
            return place(source, begin + found);
        }
        at = end;
    }
    (1, 1)
}

/// Where `word` stands for itself in `tag`: not within a longer name, nor as a part of another value.
fn word_in(tag: &str, word: &str) -> Option<usize> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    tag.match_indices(word).map(|(at, _)| at).find(|&at| {
        !tag[..at].ends_with(|c| is_name(c) || c == '.') && !tag[at + word.len()..].starts_with(is_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> MailTemplate {
        MailTemplate { text: text.to_owned(), html: None }
    }

    #[track_caller]
    fn check_fault(text: &str, expected: &str) {
        let found = template(text).check(MailEvent::LowBalance).unwrap_err().to_string();
        assert!(found.starts_with(expected), "{found}");
    }

    #[test]
    fn own_templates_pass_their_own_check_in_every_language() {
        for &event in MailEvent::ALL {
            for &language in Language::ALL {
                let own = template(own_template(event, language));
                own.check(event).unwrap_or_else(|why| panic!("{event} {language}: {why}"));
                let words = own.fill(&sample_variables(event)).unwrap();
                assert!(words.text.ends_with('\n') && !words.text.ends_with("\n\n"), "{words:?}");
                assert!(!words.text.starts_with('\n'), "{words:?}");
            }
        }
    }

    #[test]
    fn subject_of_odd_values_is_one_line_that_can_be_mailed() {
        let mut variables = sample_variables(MailEvent::Invoice);
        for value in variables.values_mut() {
            *value = format!("a\u{1}b\r\n\u{85}{}", "ü".repeat(300));
        }
        let own = own_words(MailEvent::Invoice, Language::German, &variables).unwrap();
        assert_eq!(own.subject.chars().count(), SUBJECT_CHARS_MAX);
        assert!(own.subject.contains(" a b ü") && own.subject.ends_with('…'), "{own:?}");
        assert!(!own.subject.contains(char::is_control), "{own:?}");
        // A tenant is told, and its mails go out in the program's words.
        let fault = template("Subject: {{ number }}\n\nHello\n").fill(&variables).unwrap_err();
        assert!(fault.rule.contains("longer than 250"), "{fault}");
    }

    #[test]
    fn unknown_variable_is_refused_with_its_place_and_those_there_are() {
        check_fault(
            "Subject: Low\n\nHello {{ customer }},\nonly {{ lefft }} left",
            "text:4:9: there is no variable lefft; low_balance mails know account, customer, left, below",
        );
        // Also where the examples never come.
        check_fault(
            "Subject: Low\n\n{% if left == 'x' %}{{ nobody }}{% endif %}text",
            "text:3:24: there is no",
        );
        check_fault("Subject: {{ left }} {{ who }}\n\ntext", "text:1:24: there is no variable who");
        check_fault("Subject: Low\n\n{{ customer.name }}", "text:3:4: there is no variable customer.name");
        // What the engine brings is no variable either.
        check_fault("Subject: Low\n\n{{ debug() }}", "text:3:4: there is no variable debug");
    }

    #[test]
    fn broken_syntax_is_refused_with_its_place() {
        check_fault("Subject: Low\n\nHello {{ customer }\n", "text:3:");
        check_fault("Subject: Low\n\nHello\n{% if left %}x", "text:4:");
        check_fault("Hello", "text:1:1: the first line is no subject");
        check_fault("Subject: Low\nHello", "text:2:1: leave the line");
        check_fault("Subject: {{ '' }}\n\nHello", "text:1:9: the subject is empty");
        check_fault("Subject: Low\n\n{{ left|nofilter }}", "text:3:");
        check_fault("Subject: Low\n\n{% include 'other' %}", "text:3:");
    }

    #[test]
    fn endless_work_and_endless_text_end() {
        let nested = "{% for a in [1,2,3,4,5,6,7,8,9,0] %}".repeat(9);
        let ends = "{% endfor %}".repeat(9);
        let found = template(&format!("Subject: x\n\n{nested}{ends}y")).check(MailEvent::LowBalance);
        assert!(found.unwrap_err().rule.contains("out of fuel"));
        check_fault("Subject: x\n\n{{ 'long ' * 100000 }}", "text:1:1: failed to write output");
    }

    #[test]
    fn values_are_escaped_in_html_and_left_alone_in_text() {
        let own = MailTemplate {
            text: "Subject: For {{ customer }}\n\nDear {{ customer }},\n".to_owned(),
            html: Some("<p>Dear {{ customer }},</p>\n".to_owned()),
        };
        own.check(MailEvent::LowBalance).unwrap();
        let mut variables = sample_variables(MailEvent::LowBalance);
        variables.insert("customer".to_owned(), "A & <B>\nBcc: thief@example.com".to_owned());
        let words = own.fill(&variables).unwrap();
        assert_eq!(words.subject, "For A & <B> Bcc: thief@example.com");
        assert_eq!(words.text, "Dear A & <B>\nBcc: thief@example.com,\n");
        assert!(words.html.as_ref().unwrap().starts_with("<p>Dear A &amp; &lt;B&gt;"), "{words:?}");
    }

    #[test]
    fn branches_and_loops_leave_no_empty_lines() {
        let text =
            "Subject: x\n\n{% if left %}\nleft: {{ left }}\n{% else %}\nnothing left\n{% endif %}\nBye\n";
        let own = template(text);
        own.check(MailEvent::LowBalance).unwrap();
        assert_eq!(own.fill(&sample_variables(MailEvent::LowBalance)).unwrap().text, "left: 1.75 EUR\nBye\n");
    }
}
