//! How a command ends badly: our failure (exit code 1) or the user's input (2), each in one clear line.

use std::fmt;

/// An error the user can put right: what, where, and what to try.
#[derive(Debug)]
pub(crate) struct UserError {
    what: String,
    remedy: String,
}

impl UserError {
    /// `what` names the thing and the place; `remedy` says what to try.
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for UserError {}

/// 2 when the user's input is at fault, 1 when we are.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| cause.is::<UserError>()) { 2 } else { 1 }
}

/// `error: what the operator was doing`, and below it what caused it.
#[expect(clippy::print_stderr, reason = "the last word of a command")]
pub(crate) fn print(error: &anyhow::Error) {
    eprintln!("error: {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        // Many libraries repeat their cause in their own message.
        if !last.contains(&text) {
            eprintln!("  caused by: {text}");
        }
        last = text;
    }
}
