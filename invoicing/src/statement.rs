//! The statement of an account's balance as PDF.
//!
//! In: a [`Statement`], whose it is and who keeps it. Out: the bytes of an A4 PDF, the same for the same statement. Labels are in the
//! language of the account's invoices; amounts are written as on the ledger, to their last digit, because calls cost fractions of a cent.

use chrono::TimeDelta;
use chrono_tz::Tz;
use model::{Contact, Held, Language, PostingReason, Statement};
use rust_decimal::Decimal;
use serde::Serialize;

use crate::InvoicingError;
use crate::render::render_statement;

/// Whom a statement is for.
#[derive(Debug, Clone, Copy)]
pub struct StatementOf<'a> {
    /// Who keeps the balance.
    pub issuer: &'a Contact,
    /// Whose it is.
    pub customer: &'a Contact,
    /// Handle of the account.
    pub account: &'a str,
    /// Of the times.
    pub timezone: Tz,
    /// Of the labels.
    pub language: Language,
}

/// Labels.
#[derive(Serialize)]
struct Words {
    title: &'static str,
    account: &'static str,
    period: &'static str,
    currency: &'static str,
    at: &'static str,
    reason: &'static str,
    own: &'static str,
    free_cash: &'static str,
    free_time: &'static str,
    owed: &'static str,
    balance: &'static str,
    before: &'static str,
    after: &'static str,
    #[serde(skip)]
    left: [&'static str; 4],
}

const ENGLISH: Words = Words {
    title: "Statement of balance",
    account: "Account",
    period: "Period",
    currency: "Currency",
    at: "Time",
    reason: "Movement",
    own: "Own money",
    free_cash: "Free cash",
    free_time: "Free time",
    owed: "Owed",
    balance: "Balance",
    before: "Balance before",
    after: "Balance after",
    left: ["Left: own money", "free cash", "free time", "owed"],
};

const GERMAN: Words = Words {
    title: "Kontoauszug",
    account: "Konto",
    period: "Zeitraum",
    currency: "Währung",
    at: "Zeit",
    reason: "Vorgang",
    own: "Guthaben",
    free_cash: "Freibetrag",
    free_time: "Freizeit",
    owed: "Offen",
    balance: "Stand",
    before: "Alter Stand",
    after: "Neuer Stand",
    left: ["Verbleibend: Guthaben", "Freibetrag", "Freizeit", "offen"],
};

const VIETNAMESE: Words = Words {
    title: "Sao kê số dư",
    account: "Tài khoản",
    period: "Kỳ",
    currency: "Tiền tệ",
    at: "Thời gian",
    reason: "Giao dịch",
    own: "Tiền nạp",
    free_cash: "Tiền tặng",
    free_time: "Thời gian tặng",
    owed: "Còn nợ",
    balance: "Số dư",
    before: "Số dư đầu kỳ",
    after: "Số dư cuối kỳ",
    left: ["Còn lại: tiền nạp", "tiền tặng", "thời gian tặng", "còn nợ"],
};

/// What the layout sees.
#[derive(Serialize)]
struct Printed<'a> {
    words: &'a Words,
    language: &'a str,
    issuer: Vec<String>,
    customer: Vec<String>,
    account: &'a str,
    period: String,
    currency: String,
    before: String,
    rows: Vec<[String; 7]>,
    after: String,
    left: String,
}

/// Typesets a statement.
///
/// # Errors
///
/// [`InvoicingError::Template`] and [`InvoicingError::Pdf`].
pub fn render_statement_pdf(statement: &Statement, of: &StatementOf<'_>) -> Result<Vec<u8>, InvoicingError> {
    let words = match of.language {
        Language::English => &ENGLISH,
        Language::German => &GERMAN,
        Language::Vietnamese => &VIETNAMESE,
    };
    let local = |at: chrono::DateTime<chrono::Utc>, format: &str| {
        at.with_timezone(&of.timezone).format(format).to_string()
    };
    let last = statement.to.checked_sub_signed(TimeDelta::seconds(1)).unwrap_or(statement.to);
    let rows = statement.rows.iter().map(|row| {
        let Held { own, free_cash, free_seconds, owed } = row.change;
        [
            local(row.at, "%Y-%m-%d %H:%M:%S"),
            reason(row.reason, of.language).to_owned(),
            changed(own),
            changed(free_cash),
            if free_seconds.is_zero() { String::new() } else { format!("{} s", free_seconds.normalize()) },
            changed(owed),
            row.after.balance().normalize().to_string(),
        ]
    });
    let after = statement.after();
    let [own, free_cash, free_time, owed] = words.left;
    let printed = Printed {
        words,
        language: of.language.as_str(),
        issuer: lines(of.issuer),
        customer: lines(of.customer),
        account: of.account,
        period: format!("{} – {}", local(statement.from, "%Y-%m-%d"), local(last, "%Y-%m-%d")),
        currency: statement.currency.to_string(),
        before: statement.before.balance().normalize().to_string(),
        rows: rows.collect(),
        after: after.balance().normalize().to_string(),
        left: format!(
            "{own} {}, {free_cash} {}, {free_time} {} s, {owed} {}",
            after.own.normalize(),
            after.free_cash.normalize(),
            after.free_seconds.normalize(),
            after.owed.normalize()
        ),
    };
    let name = format!("statement {} {} {}", of.account, printed.period, printed.currency);
    render_statement(&name, last.with_timezone(&of.timezone).date_naive(), serde_json::to_value(&printed)?)
}

/// Nothing where nothing changed.
fn changed(amount: Decimal) -> String {
    if amount.is_zero() { String::new() } else { amount.normalize().to_string() }
}

/// Name and address, at least one line.
fn lines(contact: &Contact) -> Vec<String> {
    let address = &contact.address;
    let place = format!("{} {}", address.postcode, address.city);
    let all = [contact.name.as_str(), address.street.as_str(), place.trim(), address.country.as_str()];
    let mut lines: Vec<String> = all.into_iter().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

const fn reason(reason: PostingReason, language: Language) -> &'static str {
    let [english, german, vietnamese] = match reason {
        PostingReason::Call => ["call", "Anruf", "cuộc gọi"],
        PostingReason::Reversal => ["taken back", "Storno", "hoàn lại"],
        PostingReason::RecurringFee => ["recurring fee", "Grundgebühr", "phí định kỳ"],
        PostingReason::Payment => ["payment", "Zahlung", "thanh toán"],
        PostingReason::Adjustment => ["adjustment", "Korrektur", "điều chỉnh"],
        PostingReason::TopUp => ["top-up", "Aufladung", "nạp tiền"],
        PostingReason::Voucher => ["voucher", "Gutschein", "thẻ nạp"],
        PostingReason::ServiceCharge => ["service charge", "Servicegebühr", "phí dịch vụ"],
        PostingReason::Grant => ["granted", "Gutschrift", "được tặng"],
        PostingReason::Expiry => ["expired", "Verfall", "hết hạn"],
        PostingReason::Settlement => ["call paid from the balance", "Anruf, vom Guthaben", "trừ vào số dư"],
        PostingReason::OutOfOrder => ["calls out of order", "Anrufe außer der Reihe", "cuộc gọi sai thứ tự"],
        PostingReason::OutOfOrderHeld => [
            "calls out of order, nothing asked for",
            "Anrufe außer der Reihe, ohne Nachforderung",
            "cuộc gọi sai thứ tự, không thu thêm",
        ],
        PostingReason::OutOfOrderUnknown => [
            "calls out of order, kept as priced",
            "Anrufe außer der Reihe, Preis bleibt",
            "cuộc gọi sai thứ tự, giữ nguyên giá",
        ],
    };
    match language {
        Language::English => english,
        Language::German => german,
        Language::Vietnamese => vietnamese,
    }
}
