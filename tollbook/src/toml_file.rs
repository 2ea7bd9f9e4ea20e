//! TOML files of people: what is wrong with one is told with file, line, column, rule and the nearest word that would do.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::failure::UserError;

/// Reads `file`; `if_missing` says what to do when it cannot be read at all.
pub(crate) fn read<T: DeserializeOwned>(file: &Path, if_missing: &str) -> Result<T, UserError> {
    let text = std::fs::read_to_string(file)
        .map_err(|why| UserError::new(format!("{}: {why}", file.display()), if_missing))?;
    parse(&text, file)
}

/// Reads `text`, which came from `file`.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, file: &Path) -> Result<T, UserError> {
    toml::from_str(text).map_err(|error| {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        let rule = error.message().replace('\n', " ");
        let remedy = remedy(&rule);
        UserError::new(format!("{}:{line}:{column}: {rule}", file.display()), remedy)
    })
}

/// Line and column, counted from 1, of a byte.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

/// How values of a kind are written, by the words that say the kind in a rule.
const FORMS: &[(&str, &str)] = &[
    ("socket address", "write address and port, such as \"127.0.0.1:5060\""),
    ("a duration", "write it like \"10s\", \"5m\" or \"4h\""),
    ("timezone", "use an IANA name such as \"Europe/Vienna\""),
    ("Decimal", "write it like \"9.90\""),
    ("expected a boolean", "write true or false, without quotes"),
    ("expected a string", "put it in quotes"),
    ("expected u", "write a whole number from 0 on, without quotes"),
    ("RFC 3339", "write it like \"2026-12-01T00:00:00+01:00\""),
    ("expected a sequence", "write a list: [\"...\"], or [[...]] for sections"),
    ("duplicate key", "remove one of the two"),
    ("E.164", "write all digits with the country code, such as \"43660555123\""),
    ("ISO 4217", "name the currency by its code"),
    ("missing field", "add it to this section"),
];

/// What to try: the nearest of the words that the parser expected, if one is near.
fn remedy(rule: &str) -> String {
    let mut quoted = rule.split('`').skip(1).step_by(2);
    let (Some(given), true) = (quoted.next(), rule.starts_with("unknown")) else {
        let form = FORMS.iter().find(|(kind, _)| rule.contains(kind)).map(|(_, form)| *form);
        return form.unwrap_or("see the comments in the files that `tollbook init` writes").to_owned();
    };
    let nearest = quoted
        .map(|known| (strsim::damerau_levenshtein(given, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().max(3) / 2);
    match nearest {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None => "remove it, or see the comments in the files that `tollbook init` writes".to_owned(),
    }
}
