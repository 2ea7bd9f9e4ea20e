//! The texts of the records that every call makes.

use std::fmt::{Display, Write as _};

/// A short text: up to fifteen bytes lie where it lies, copies of a longer one share it. A call has some thirty texts, most of them short, and
/// each goes from its event to the record: fetched and freed one by one they are a good part of a mediator's time.
pub type Text = ecow::EcoString;

/// What `shown` prints.
pub fn text_of(shown: impl Display) -> Text {
    let mut text = Text::new();
    // Writing to memory does not fail; a `Display` that does has nothing more to say.
    let _ = write!(text, "{shown}");
    text
}
