//! What the XML says in words: names and descriptions of lines.

use model::Language;

use crate::{InvoiceLine, LineItem};

/// The words of one language.
pub(super) struct Words {
    calls_to: &'static str,
    other_calls: &'static str,
    calls: &'static str,
    minutes: &'static str,
    later: &'static str,
    discount: &'static str,
    pub(super) credited: &'static str,
}

const ENGLISH: Words = Words {
    calls_to: "Calls",
    other_calls: "Other calls",
    calls: "calls",
    minutes: "min",
    later: "recorded later",
    discount: "Discount on calls",
    credited: "Credited to the account.",
};

const GERMAN: Words = Words {
    calls_to: "Gespräche",
    other_calls: "Sonstige Gespräche",
    calls: "Gespräche",
    minutes: "Min.",
    later: "nachträglich erfasst",
    discount: "Rabatt auf Gespräche",
    credited: "Wird dem Konto gutgeschrieben.",
};

const VIETNAMESE: Words = Words {
    calls_to: "Cuộc gọi",
    other_calls: "Cuộc gọi khác",
    calls: "cuộc gọi",
    minutes: "phút",
    later: "ghi nhận sau",
    discount: "Giảm giá cuộc gọi",
    credited: "Được ghi có vào tài khoản.",
};

pub(super) const fn of(language: Language) -> &'static Words {
    match language {
        Language::English => &ENGLISH,
        Language::German => &GERMAN,
        Language::Vietnamese => &VIETNAMESE,
    }
}

/// BT-153.
pub(super) fn name(line: &InvoiceLine, language: Language) -> String {
    let words = of(language);
    let zone = |zone: &str, detail: &str| match (zone.trim(), detail.trim()) {
        ("", "") => words.other_calls.to_owned(),
        (zone, detail) if detail.is_empty() || detail == zone => format!("{}: {zone}", words.calls_to),
        (zone, detail) => format!("{}: {zone}, {detail}", words.calls_to),
    };
    match &line.item {
        LineItem::Recurring { name, .. } | LineItem::OneOff { name, .. } if name.trim().is_empty() => {
            "–".to_owned()
        }
        LineItem::Recurring { name, .. } | LineItem::OneOff { name, .. } => name.clone(),
        LineItem::Usage { zone: name, zone_detail, .. } => zone(name, zone_detail),
        LineItem::LateUsage { zone: name, zone_detail, .. } => {
            format!("{} ({})", zone(name, zone_detail), words.later)
        }
        LineItem::Discount { percent } => format!("{} {} %", words.discount, percent.normalize()),
        LineItem::Part { text } => text.clone(),
    }
}

/// BT-154; empty if the name says it all.
pub(super) fn description(line: &InvoiceLine, language: Language) -> String {
    let words = of(language);
    let used = |calls: i128, seconds: i128| {
        let sign = if seconds < 0 { "-" } else { "" };
        let seconds = seconds.unsigned_abs();
        format!("{calls} {}, {sign}{}:{:02} {}", words.calls, seconds / 60, seconds % 60, words.minutes)
    };
    match &line.item {
        LineItem::Usage { calls, billed_seconds, .. } => used((*calls).into(), (*billed_seconds).into()),
        LineItem::LateUsage { calls, billed_seconds, .. } => {
            let used = used((*calls).into(), (*billed_seconds).into());
            line.days.map_or(used.clone(), |(day, _)| format!("{day}: {used}"))
        }
        LineItem::Recurring { .. }
        | LineItem::OneOff { .. }
        | LineItem::Discount { .. }
        | LineItem::Part { .. } => String::new(),
    }
}
