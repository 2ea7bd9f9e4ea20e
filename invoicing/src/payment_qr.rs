//! The payment part as a code that banking programs read: EPC069-12, version 3.0 of 2024, "Quick response code".
//!
//! In: an [`Invoice`]. Out: the text of the code and its picture as SVG; nothing where no SEPA transfer pays it.

use model::Currency;
use qrcode::{Color, EcLevel, QrCode};
use rust_decimal::Decimal;

use crate::Invoice;
use crate::document::rounded;

/// Of the beneficiary's name and of the remittance text, in characters (EPC069-12, 2).
const NAME_CHARS_MAX: usize = 70;
const TEXT_CHARS_MAX: usize = 140;
/// The whole text, in bytes.
const BYTES_MAX: usize = 331;

/// The text of the code. `None`: not in euro, no IBAN, nothing to be paid, or a name too long for it.
pub(crate) fn payment_text(invoice: &Invoice) -> Option<String> {
    let number = invoice.number.as_deref()?;
    let payable = rounded(invoice.totals.payable(), invoice.currency, "").ok()?;
    let iban: String = invoice.issuer.iban.chars().filter(|c| !c.is_whitespace()).collect();
    let is_payable = payable > Decimal::ZERO && payable <= Decimal::new(99_999_999_999, 2);
    if invoice.currency != Currency::EUR || iban.is_empty() || !is_payable || invoice.is_credit_note() {
        return None;
    }
    // One element a line, so none may hold a line end.
    let line = |text: &str, max: usize| {
        text.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(max)
            .collect::<String>()
            .trim()
            .to_owned()
    };
    let name = line(&invoice.issuer.name, NAME_CHARS_MAX);
    if name.is_empty() {
        return None;
    }
    let bic = line(&invoice.issuer_details.bic, 11);
    let text = line(number, TEXT_CHARS_MAX);
    // Service tag, version, UTF-8, SEPA credit transfer; purpose and structured reference stay empty.
    let code = format!("BCD\n002\n1\nSCT\n{bic}\n{name}\n{iban}\nEUR{payable}\n\n\n{text}");
    (code.len() <= BYTES_MAX).then_some(code)
}

/// Modules of the quiet zone on each side (ISO/IEC 18004, 9.1).
const QUIET: usize = 4;

/// The code as a picture, with its quiet zone: one path, a rectangle for the dark modules that lie side by side.
pub(crate) fn payment_svg(invoice: &Invoice) -> Option<String> {
    let code = QrCode::with_error_correction_level(payment_text(invoice)?, EcLevel::M).ok()?;
    let side = code.width() + 2 * QUIET;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{side}\" height=\"{side}\" viewBox=\"0 0 {side} {side}\">\
         <path d=\"M0 0H{side}V{side}H0z\" fill=\"#fff\"/><path fill=\"#000\" d=\""
    );
    for (y, row) in code.to_colors().chunks(code.width()).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|left, right| left == right) {
            if run[0] == Color::Dark {
                let (left, top, n) = (x + QUIET, y + QUIET, run.len());
                svg += &format!("M{left} {top}h{n}v1H{left}z");
            }
            x += run.len();
        }
    }
    svg.push_str("\"/></svg>");
    Some(svg)
}
