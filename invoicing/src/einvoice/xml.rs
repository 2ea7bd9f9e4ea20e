//! A writer of XML elements that cannot be left open, and of text that every reader takes.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

/// A document being written.
pub(super) struct Xml(Writer<Vec<u8>>);

impl Xml {
    /// With its declaration. Indented, because people do open these files.
    pub(super) fn new() -> Self {
        let mut xml = Self(Writer::new_with_indent(Vec::new(), b' ', 2));
        xml.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        xml
    }

    /// An element whose content `inside` writes.
    pub(super) fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.root(name, &[], inside);
    }

    /// The same, with attributes.
    pub(super) fn root(&mut self, name: &str, attributes: &[(&str, &str)], inside: impl FnOnce(&mut Self)) {
        self.event(Event::Start(start(name, attributes)));
        inside(self);
        self.event(Event::End(BytesEnd::new(name)));
    }

    /// An element with text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.with(name, &[], text);
    }

    /// The same, unless the text is empty: an empty element is an error in every profile.
    pub(super) fn optional(&mut self, name: &str, text: &str) {
        if !text.trim().is_empty() {
            self.text(name, text);
        }
    }

    /// An element with attributes and text.
    pub(super) fn with(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.event(Event::Start(start(name, attributes)));
        self.event(Event::Text(BytesText::new(&printable(text))));
        self.event(Event::End(BytesEnd::new(name)));
    }

    /// The bytes, UTF-8.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.0.into_inner();
        bytes.push(b'\n');
        bytes
    }

    fn event(&mut self, event: Event<'_>) {
        self.0.write_event(event).expect("a vector takes every byte");
    }
}

fn start<'a>(name: &'a str, attributes: &[(&'a str, &'a str)]) -> BytesStart<'a> {
    let mut start = BytesStart::new(name);
    for attribute in attributes {
        start.push_attribute(*attribute);
    }
    start
}

/// Without what XML 1.0 cannot hold (2.2, `Char`), and on one line.
fn printable(text: &str) -> String {
    let spaced = text.chars().map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c });
    spaced
        .filter(|&c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}'))
        .collect::<String>()
        .trim()
        .to_owned()
}
