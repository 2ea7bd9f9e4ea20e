//! Typesets an invoice as PDF.
//!
//! In: an [`Invoice`]. Out: the bytes of an A4 PDF, the same for the same invoice, whatever the day and the machine.
//! The template sees the invoice as the file `invoice.json` and nothing else: no other file, no package, no clock.
//! Text from the invoice is data to it and never markup, so a name may hold any character. Keeping and sending the
//! bytes is the caller's work.
//!
//! Fonts are the typesetter's own set, compiled in: Libertinus Serif with Latin (Vietnamese, too), Greek, Cyrillic
//! and Hebrew; New Computer Modern; DejaVu Sans Mono, which lends Arabic, Armenian, Georgian and Lao letters where a
//! name needs them. There are no Chinese, Japanese, Korean or Thai glyphs and hardly an Indic one: such a name prints as empty
//! boxes and the invoice goes out all the same.

use std::sync::OnceLock;

use chrono::Datelike;
use typst::diag::{FileError, FileResult, SourceDiagnostic};
use typst::ecow::EcoVec;
use typst::foundations::{Bytes, Datetime, Duration, Smart};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World, WorldExt};
use typst_pdf::{PdfOptions, Timestamp};

use crate::print::printed;
use crate::{Invoice, InvoicingError};

const TEMPLATE: &str = include_str!("../templates/invoice.typ");
const TEMPLATE_NAME: &str = "invoice.typ";
const DATA_NAME: &str = "invoice.json";

/// How many renderings a cached piece of layout outlives its last use. The letterhead of one tenant is found again
/// on the next invoice; the lines of a past invoice do not pile up.
const CACHE_AGE_MAX: usize = 4;

/// Typesets `invoice`. A draft says so on every page.
///
/// The first call in a process reads the fonts; later ones find them ready.
///
/// # Errors
///
/// [`InvoicingError::Template`] and [`InvoicingError::Pdf`].
pub fn render_pdf(invoice: &Invoice) -> Result<Vec<u8>, InvoicingError> {
    let sheet = Sheet { press: press(), data: Bytes::new(serde_json::to_vec(&printed(invoice))?) };
    let document = typst::compile(&sheet).output.map_err(|errors| sheet.template_error(&errors))?;
    let date = invoice.issue_date;
    // A date that a PDF cannot hold leaves the document without one.
    let timestamp = u8::try_from(date.month())
        .ok()
        .zip(u8::try_from(date.day()).ok())
        .and_then(|(month, day)| Datetime::from_ymd_hms(date.year(), month, day, 0, 0, 0))
        .map(Timestamp::new_utc);
    let options = PdfOptions {
        ident: Smart::Custom(format!("invoice {} {} {}", invoice.account, invoice.period, invoice.name())),
        creator: Smart::Custom(Some("Tollbook".to_owned())),
        timestamp,
        ..PdfOptions::default()
    };
    let pdf = typst_pdf::pdf(&document, &options).map_err(|errors| InvoicingError::Pdf {
        number: invoice.name().to_owned(),
        message: messages(&errors),
    });
    typst::comemo::evict(CACHE_AGE_MAX);
    pdf
}

/// What all invoices share.
struct Press {
    library: LazyHash<Library>,
    book: LazyHash<FontBook>,
    fonts: Vec<Font>,
    template: Source,
    data_id: FileId,
}

fn press() -> &'static Press {
    static PRESS: OnceLock<Press> = OnceLock::new();
    PRESS.get_or_init(|| {
        let fonts: Vec<Font> = typst_assets::fonts().flat_map(|data| Font::iter(Bytes::new(data))).collect();
        Press {
            library: LazyHash::new(Library::default()),
            book: LazyHash::new(FontBook::from_fonts(&fonts)),
            fonts,
            template: Source::new(file_id(TEMPLATE_NAME), TEMPLATE.to_owned()),
            data_id: file_id(DATA_NAME),
        }
    })
}

fn file_id(name: &'static str) -> FileId {
    let path = VirtualPath::new(name).expect("the names of our two files are valid paths");
    RootedPath::new(VirtualRoot::Project, path).intern()
}

/// The world one invoice is typeset in: the template, its data, the fonts.
struct Sheet {
    press: &'static Press,
    data: Bytes,
}

impl Sheet {
    fn template_error(&self, errors: &EcoVec<SourceDiagnostic>) -> InvoicingError {
        let place = errors.first().and_then(|error| self.range(error.span)).and_then(|range| {
            let (line, column) = self.press.template.lines().byte_to_line_column(range.start)?;
            Some(format!("{TEMPLATE_NAME}, line {}, column {},", line + 1, column + 1))
        });
        InvoicingError::Template {
            place: place.unwrap_or_else(|| TEMPLATE_NAME.to_owned()),
            message: messages(errors),
        }
    }
}

impl World for Sheet {
    fn library(&self) -> &LazyHash<Library> {
        &self.press.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &self.press.book
    }

    fn main(&self) -> FileId {
        self.press.template.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.press.template.id() {
            Ok(self.press.template.clone())
        } else {
            Err(FileError::AccessDenied)
        }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        if id == self.press.data_id { Ok(self.data.clone()) } else { Err(FileError::AccessDenied) }
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
