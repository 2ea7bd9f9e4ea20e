//! The files an invoice is typeset from: ours, or a tenant's own in place of some of them.

use std::collections::BTreeMap;

use model::Language;

use crate::InvoicingError;

/// The layout.
pub(crate) const LAYOUT: &str = "invoice.typ";
/// Names that a template reads and that are made for each invoice.
pub(crate) const DATA: &str = "invoice.json";
pub(crate) const WORDS: &str = "words.json";
pub(crate) const PAYMENT_QR: &str = "payment-qr.svg";
pub(crate) const E_INVOICE: &str = "factur-x.xml";

const BUILT_IN: [(&str, &str); 4] = [
    (LAYOUT, include_str!("../templates/invoice.typ")),
    ("words-en.json", include_str!("../templates/words-en.json")),
    ("words-de.json", include_str!("../templates/words-de.json")),
    ("words-vi.json", include_str!("../templates/words-vi.json")),
];

/// All files of a template together.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// The files of one template. Nothing else can be read from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Template {
    files: BTreeMap<String, Vec<u8>>,
}

impl Default for Template {
    /// Ours.
    fn default() -> Self {
        let files = BUILT_IN.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
        Self { files: files.collect() }
    }
}

impl Template {
    /// Ours with `files` in place of those of the same name and beside the others: a layout `invoice.typ`, words such as
    /// `words-de.json`, a logo.
    ///
    /// # Errors
    ///
    /// [`InvoicingError::Template`] when they are too large, or a text of ours is replaced by one that is not UTF-8 or no JSON.
    pub fn with(files: BTreeMap<String, Vec<u8>>) -> Result<Self, InvoicingError> {
        let wrong =
            |name: &str, message: String| InvoicingError::Template { place: name.to_owned(), message };
        let n_bytes: usize = files.values().map(Vec::len).sum();
        if n_bytes > BYTES_MAX {
            return Err(wrong("folder", format!("{n_bytes} bytes are too much, at most {BYTES_MAX}")));
        }
        let mut template = Self::default();
        for (name, bytes) in files {
            if BUILT_IN.iter().any(|(ours, _)| *ours == name) {
                let text = std::str::from_utf8(&bytes)
                    .map_err(|why| wrong(&name, format!("is not UTF-8 from byte {}", why.valid_up_to())))?;
                if name != LAYOUT {
                    // The words it does not have are ours.
                    let words = template.words_over(&name, text)?;
                    template.files.insert(name, words);
                    continue;
                }
            }
            template.files.insert(name, bytes);
        }
        Ok(template)
    }

    fn words_over(&self, name: &str, text: &str) -> Result<Vec<u8>, InvoicingError> {
        let read = |text: &[u8]| {
            serde_json::from_slice::<BTreeMap<String, String>>(text).map_err(|why| InvoicingError::Template {
                place: format!("{name}, line {}, column {},", why.line(), why.column()),
                message: why.to_string(),
            })
        };
        let mut words = read(self.files.get(name).map_or(b"{}".as_slice(), Vec::as_slice))?;
        for (word, text) in read(text.as_bytes())? {
            if words.insert(word.clone(), text).is_none() {
                return Err(InvoicingError::Template {
                    place: name.to_owned(),
                    message: format!("no word of ours is named {word:?}"),
                });
            }
        }
        Ok(serde_json::to_vec(&words)?)
    }

    /// Its files by name, those that are ours included.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    pub(crate) fn layout(&self) -> &str {
        self.files.get(LAYOUT).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    pub(crate) fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    pub(crate) fn words(&self, language: Language) -> &[u8] {
        let name = match language {
            Language::English => "words-en.json",
            Language::German => "words-de.json",
            Language::Vietnamese => "words-vi.json",
        };
        self.file(name).unwrap_or(b"{}")
    }
}
