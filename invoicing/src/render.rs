//! Typesets an invoice as PDF/A-3a.
//!
//! In: an [`Invoice`], a [`Template`]. Out: the bytes of an A4 PDF, the same for the same invoice and template, whatever the day
//! and the machine. Where EN 16931 can express the invoice the PDF carries it as XML (Factur-X 1.0, ZUGFeRD 2). The template
//! sees the invoice as `invoice.json`, its words as `words.json`, the payment code as `payment-qr.svg`, the files of its own folder
//! and nothing else: no other file, no package, no clock. Text from the invoice is data to it and never markup, so a
//! name may hold any character. Keeping and sending the bytes is the caller's work.
//!
//! Fonts are the typesetter's own set, compiled in: Libertinus Serif with Latin (Vietnamese, too), Greek, Cyrillic
//! and Hebrew; New Computer Modern; DejaVu Sans Mono, which lends Arabic, Armenian, Georgian and Lao letters where a
//! name needs them. There are no Chinese, Japanese, Korean or Thai glyphs and hardly an Indic one: such a letter prints as an
//! empty box, because PDF/A forbids a missing glyph (ISO 19005-3, 6.2.11.8); the XML has it as it is.

use std::sync::{Mutex, OnceLock, PoisonError};

use chrono::{Datelike, NaiveDate};
use serde_json::Value;
use typst::diag::{FileError, FileResult, SourceDiagnostic};
use typst::ecow::EcoVec;
use typst::foundations::{Bytes, Datetime, Duration, Smart};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World, WorldExt};
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards, Timestamp};

use crate::payment_qr::payment_svg;
use crate::print::{Printed, printed};
use crate::template::{DATA, E_INVOICE, LAYOUT, PAYMENT_QR, Template, WORDS};
use crate::{Invoice, InvoicingError, Profile, missing, to_xml, xmp};

/// Where the typesetter begins: the layout, and the XML beside it, so that no layout can forget it.
const MAIN: &str = "main.typ";

/// In place of a letter that no font has; one of the fonts has this one.
const NO_GLYPH: char = '□';

/// How many renderings a cached piece of layout outlives its last use. The letterhead of one tenant is found again
/// on the next invoice; the lines of a past invoice do not pile up.
const CACHE_AGE_MAX: usize = 2;

/// Layouts that are kept parsed: those of as many tenants as are billed in turns.
const PARSED_MAX: usize = 16;

/// Typesets `invoice` with `template`. A draft says so on every page.
///
/// The first call in a process reads the fonts; later ones find them ready.
///
/// # Errors
///
/// [`InvoicingError::Template`] and [`InvoicingError::Pdf`].
pub fn render_pdf(invoice: &Invoice, template: &Template) -> Result<Vec<u8>, InvoicingError> {
    let xml = match missing(invoice, Profile::FacturX)[..] {
        [] => Some(to_xml(invoice, Profile::FacturX)?),
        [..] => None,
    };
    let mut data = printed(invoice);
    let mut document = typeset(invoice, &data, template, xml.as_deref())?;
    // What a layout knows of the number of its pages costs it a second round, so one page is taken for granted at first.
    if data.is_one_page && document.pages().len() > 1 {
        data.is_one_page = false;
        document = typeset(invoice, &data, template, xml.as_deref())?;
    }
    let date = invoice.issue_date;
    let failed = |message: String| InvoicingError::Pdf { number: invoice.name().to_owned(), message };
    let options = PdfOptions {
        ident: Smart::Custom(format!("invoice {} {} {}", invoice.account, invoice.period, invoice.name())),
        creator: Smart::Custom(Some("Tollbook".to_owned())),
        timestamp: timestamp_of(date),
        standards: PdfStandards::new(&[PdfStandard::A_3a])
            .map_err(|why| failed(why.message().to_string()))?,
        ..PdfOptions::default()
    };
    let pdf = typst_pdf::pdf(&document, &options).map_err(|errors| failed(messages(&errors)));
    typst::comemo::evict(CACHE_AGE_MAX);
    match xml {
        Some(_) => xmp::declare_factur_x(pdf?)
            .map_err(|problem| InvoicingError::Metadata { number: invoice.name().to_owned(), problem }),
        None => pdf,
    }
}

fn typeset(
    invoice: &Invoice,
    data: &Printed<'_>,
    template: &Template,
    xml: Option<&[u8]>,
) -> Result<PagedDocument, InvoicingError> {
    let sheet = Sheet::new(invoice, data, template, xml)?;
    typst::compile(&sheet).output.map_err(|errors| sheet.template_error(&errors))
}

/// The layout of a statement, and the name under which it finds what it prints.
const STATEMENT_LAYOUT: &str = include_str!("../templates/statement.typ");
const STATEMENT_DATA: &str = "statement.json";

/// Typesets a statement, dated `date`, from what its layout prints.
pub(crate) fn render_statement(
    name: &str,
    date: NaiveDate,
    mut data: Value,
) -> Result<Vec<u8>, InvoicingError> {
    let press = press();
    press.make_printable(&mut data);
    let template = Template::default();
    let sheet = Sheet {
        press,
        template: &template,
        main: Source::new(file_id(MAIN), format!("#include {LAYOUT:?}\n")),
        layout: press.layout(STATEMENT_LAYOUT),
        made: vec![(file_id(STATEMENT_DATA), Bytes::new(serde_json::to_vec(&data)?))],
    };
    let document = typst::compile(&sheet).output.map_err(|errors| sheet.template_error(&errors))?;
    let failed = |message: String| InvoicingError::Pdf { number: name.to_owned(), message };
    let options = PdfOptions {
        ident: Smart::Custom(name.to_owned()),
        creator: Smart::Custom(Some("Tollbook".to_owned())),
        timestamp: timestamp_of(date),
        standards: PdfStandards::new(&[PdfStandard::A_3a])
            .map_err(|why| failed(why.message().to_string()))?,
        ..PdfOptions::default()
    };
    let pdf = typst_pdf::pdf(&document, &options).map_err(|errors| failed(messages(&errors)));
    typst::comemo::evict(CACHE_AGE_MAX);
    pdf
}

/// A date that a PDF cannot hold leaves the document without one.
fn timestamp_of(date: NaiveDate) -> Option<Timestamp> {
    let (month, day) = (u8::try_from(date.month()).ok()?, u8::try_from(date.day()).ok()?);
    Datetime::from_ymd_hms(date.year(), month, day, 0, 0, 0).map(Timestamp::new_utc)
}

/// What all invoices share.
struct Press {
    library: LazyHash<Library>,
    book: LazyHash<FontBook>,
    fonts: Vec<Font>,
    /// Layouts as they were parsed, the one used last at the end.
    parsed: Mutex<Vec<Source>>,
}

fn press() -> &'static Press {
    static PRESS: OnceLock<Press> = OnceLock::new();
    PRESS.get_or_init(|| {
        let fonts: Vec<Font> = typst_assets::fonts().flat_map(|data| Font::iter(Bytes::new(data))).collect();
        Press {
            library: LazyHash::new(Library::default()),
            book: LazyHash::new(FontBook::from_fonts(&fonts)),
            fonts,
            parsed: Mutex::default(),
        }
    })
}

impl Press {
    /// A layout, parsed once for all the documents that have it.
    fn layout(&self, text: &str) -> Source {
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        let source = match parsed.iter().position(|known| known.text() == text) {
            Some(place) => parsed.remove(place),
            None => Source::new(file_id(LAYOUT), text.to_owned()),
        };
        if parsed.len() >= PARSED_MAX {
            parsed.remove(0);
        }
        parsed.push(source.clone());
        source
    }

    fn has_glyph(&self, c: char) -> bool {
        self.fonts.iter().any(|font| font.info().coverage.contains(u32::from(c)))
    }

    /// Replaces, in every text of `data`, what cannot be printed.
    fn make_printable(&self, data: &mut Value) {
        match data {
            Value::String(text) => {
                if text.chars().any(|c| !c.is_ascii() || c.is_ascii_control()) {
                    *text = text.chars().filter_map(|c| self.printable(c)).collect();
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.make_printable(value)),
            Value::Object(fields) => fields.values_mut().for_each(|value| self.make_printable(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn printable(&self, c: char) -> Option<char> {
        match c {
            '\t' | '\n' | '\r' => Some(' '),
            // Marks of direction and joining have no glyph and need none; others of the kind are not for paper.
            '\u{200b}'..='\u{200f}' | '\u{2060}' => Some(c),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => None,
            c if c.is_control() => None,
            c if self.has_glyph(c) => Some(c),
            _ => Some(NO_GLYPH),
        }
    }
}

fn file_id(name: &str) -> FileId {
    let path = VirtualPath::new(name).expect("our names are valid paths");
    RootedPath::new(VirtualRoot::Project, path).intern()
}

/// The world one invoice is typeset in: the template, its data, the fonts.
struct Sheet<'a> {
    press: &'static Press,
    template: &'a Template,
    main: Source,
    layout: Source,
    made: Vec<(FileId, Bytes)>,
}

impl<'a> Sheet<'a> {
    fn new(
        invoice: &Invoice,
        data: &Printed<'_>,
        template: &'a Template,
        xml: Option<&[u8]>,
    ) -> Result<Self, InvoicingError> {
        let press = press();
        let mut data = serde_json::to_value(data)?;
        press.make_printable(&mut data);
        let mut main = format!("#include {LAYOUT:?}\n");
        let mut made = vec![
            (file_id(DATA), Bytes::new(serde_json::to_vec(&data)?)),
            (file_id(WORDS), Bytes::new(template.words(invoice.language).to_vec())),
        ];
        if let Some(svg) = payment_svg(invoice) {
            made.push((file_id(PAYMENT_QR), Bytes::new(svg.into_bytes())));
        }
        if let Some(xml) = xml {
            made.push((file_id(E_INVOICE), Bytes::new(xml.to_vec())));
            // "Alternative": the XML says the same as the pages (Factur-X 1.0, 6.2.2).
            main += &format!(
                "#pdf.attach({E_INVOICE:?}, relationship: \"alternative\", mime-type: \"text/xml\", \
                 description: json({WORDS:?}).attachment)\n"
            );
        }
        let main = Source::new(file_id(MAIN), main);
        let layout = press.layout(template.layout());
        Ok(Self { press, template, main, layout, made })
    }

    fn template_error(&self, errors: &EcoVec<SourceDiagnostic>) -> InvoicingError {
        // The first place in the layout: of what happens in a file that it reads, the call that reads it.
        let place = errors.iter().find_map(|error| {
            let spans = std::iter::once(error.span).chain(error.trace.iter().map(|step| step.span.into()));
            spans.filter(|span| span.id() == Some(self.layout.id())).find_map(|span| {
                let range = self.range(span)?;
                let (line, column) = self.layout.lines().byte_to_line_column(range.start)?;
                Some(format!("{LAYOUT}, line {}, column {},", line + 1, column + 1))
            })
        });
        InvoicingError::Template {
            place: place.unwrap_or_else(|| LAYOUT.to_owned()),
            message: messages(errors),
        }
    }
}

impl World for Sheet<'_> {
    fn library(&self) -> &LazyHash<Library> {
        &self.press.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &self.press.book
    }

    fn main(&self) -> FileId {
        self.main.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.main.id() {
            Ok(self.main.clone())
        } else if id == self.layout.id() {
            Ok(self.layout.clone())
        } else {
            let bytes = self.file(id)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| FileError::InvalidUtf8)?;
            Ok(Source::new(id, text.to_owned()))
        }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        if let Some((_, bytes)) = self.made.iter().find(|(made, _)| *made == id) {
            return Ok(bytes.clone());
        }
        if id.root() != &VirtualRoot::Project {
            return Err(FileError::AccessDenied);
        }
        let path = id.vpath().get_without_slash();
        let bytes = self.template.file(path).ok_or(FileError::AccessDenied)?;
        Ok(Bytes::new(bytes.to_vec()))
    }

    fn font(&self, index: usize) -> Option<Font> {
        self.press.fonts.get(index).cloned()
    }

    fn today(&self, _offset: Option<Duration>) -> Option<Datetime> {
        // An invoice printed again next year is the same invoice.
        None
    }
}

fn messages(errors: &EcoVec<SourceDiagnostic>) -> String {
    errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; ")
}
