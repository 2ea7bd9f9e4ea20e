//! What is wrong in a file, so that a person can put it right: place, rule, remedy.

use std::fmt;
use std::ops::Range;

/// One thing that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its name.
    pub file: String,
    /// Counted from 1; `None` for the file as a whole.
    pub line: Option<u64>,
    /// Counted from 1: the field in a CSV file, the character in a TOML file.
    pub column: Option<u64>,
    /// Name of the column or key; empty if there is none.
    pub field: String,
    /// The rule it breaks, and how.
    pub rule: String,
    /// What to do.
    pub remedy: String,
}

impl Issue {
    pub(crate) fn of_file(file: &str, rule: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            column: None,
            field: String::new(),
            rule: rule.into(),
            remedy: remedy.into(),
        }
    }

    /// At a byte span of `text`.
    pub(crate) fn at_span(file: &str, text: &str, span: &Range<usize>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        Self {
            line: u64::try_from(line).ok(),
            column: u64::try_from(column).ok(),
            ..Self::of_file(file, "", "")
        }
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        for place in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{place}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}; {}", self.rule, self.remedy)
    }
}

/// Issues printed at once; a file of another kind would fill the screen.
const ISSUES_PRINTED_MAX: usize = 50;

/// Why the workbench gave up.
#[derive(Debug, thiserror::Error)]
pub enum WorkbenchError {
    /// The user's files.
    #[error("{}", printed(.issues))]
    Input {
        /// All that is wrong in them.
        issues: Vec<Issue>,
    },
    /// The result could not be written.
    #[error("cannot write the rated calls: {source}; free some space or choose another file")]
    Output {
        /// As the system says it.
        #[from]
        source: std::io::Error,
    },
}

fn printed(issues: &[Issue]) -> String {
    let mut lines: Vec<String> = issues.iter().take(ISSUES_PRINTED_MAX).map(Issue::to_string).collect();
    if issues.len() > ISSUES_PRINTED_MAX {
        lines.push(format!("and {} more", issues.len() - ISSUES_PRINTED_MAX));
    }
    lines.join("\n")
}
