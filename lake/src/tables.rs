//! The mirrored tables, column by column.

use crate::column::ColumnDoc;
use crate::table::Guard::{self, AnyPrice, CustomerPrice, Number, Open, Prose};
use crate::table::Kind::{self, Amount, Day, Flag, Instant, Integer, Price, Text};
use crate::table::{Table, TableColumn};

const fn column(
    name: &'static str,
    kind: Kind,
    nullable: bool,
    guard: Guard,
    unit: &'static str,
    meaning: &'static str,
    example: &'static str,
) -> TableColumn {
    let doc = ColumnDoc { name, sql_type: kind.sql_type(), nullable, unit, meaning, example };
    TableColumn { doc, kind, guard }
}

macro_rules! table_columns {
    ($($name:literal $kind:ident $null:ident $guard:ident, $unit:literal, $meaning:literal, $example:literal;)+) => {
        &[$(column($name, $kind, table_columns!(@$null), $guard, $unit, $meaning, $example)),+]
    };
    (@always) => { false };
    (@nullable) => { true };
}

/// Every mirrored table. Those whose rows come from the bus are added to; the others are replaced when they change.
pub static MIRRORED: [&Table; 8] =
    [&CALL_POSTINGS, &OTHER_POSTINGS, &EVENTS, &ALERTS, &INVOICES, &INVOICE_LINES, &RATES, &PREFIXES];

const POSTING_COLUMNS: &[TableColumn] = table_columns! {
    "posting_id" Text always Open, "32 hexadecimal digits", "The posting.", "5f0c3a9d1be24f70a6c1d2e3f4051627";
    "tenant" Integer always Open, "tenant id", "Whose platform.", "1";
    "account" Integer always Open, "account id", "The billing account it concerns.", "1001";
    "at" Instant always Open, "UTC", "When the call started or the money moved.", "2026-10-05T08:15:30.250000";
    "debit" Text always Open, "kind:id", "The side that grows: receivable, payable, revenue, sales, cost or bank, and whose.", "receivable:1001";
    "credit" Text always Open, "kind:id", "The side that shrinks.", "revenue:1";
    "amount" Amount always Open, "currency", "How much; negative for a credit.", "0.109708";
    "currency" Text always Open, "ISO 4217", "Currency of amount.", "EUR";
    "reason" Text always Open, "call, reversal, recurring_fee, payment, adjustment", "Why.", "call";
    "cdr_id" Text nullable Open, "32 hexadecimal digits", "For which call; NULL for none.", "8f14e45fceea167a5a36dedd4bea2543";
    "reverses" Text nullable Open, "32 hexadecimal digits", "The posting it takes back; NULL for none.", "6a1d3b9e1be24f70a6c1d2e3f4051627";
};

/// Postings of calls, as they came over the bus.
#[rustfmt::skip]
pub static CALL_POSTINGS: Table = Table {
    name: "call_postings",
    meaning: "One row for each posting of a call; part of postings.",
    sort: "at",
    columns: POSTING_COLUMNS,
};

/// Postings without a call: payments, fees, corrections by hand.
#[rustfmt::skip]
pub static OTHER_POSTINGS: Table = Table {
    name: "other_postings",
    meaning: "One row for each posting without a call: payments, fees, adjustments; part of postings.",
    sort: "at",
    columns: POSTING_COLUMNS,
};

/// Event detail records.
#[rustfmt::skip]
pub static EVENTS: Table = Table {
    name: "events",
    meaning: "One row for each event (EDR): registrations, profiles, locks, trunks, security.",
    sort: "at",
    columns: table_columns! {
        "event_id" Text always Open, "", "The event; the same after a replay.", "sw1-3-815";
        "tenant" Integer always Open, "tenant id", "Whose platform.", "1";
        "account" Integer always Open, "account id", "Which account; 0 is nobody.", "1001";
        "subscriber" Integer nullable Open, "subscriber id", "Which subscriber; NULL for none.", "42";
        "kind" Text always Open, "word", "What happened: registered, unregistered, register_failed, start_profile, update_profile, end_profile, number_assigned, number_released, trunk_state, lock_changed, security and others.", "registered";
        "old_status" Text always Prose, "", "State before, in the words of the kind.", "";
        "new_status" Text always Prose, "", "State after.", "registered";
        "detail" Text always Prose, "", "Contact, address, user agent and the like.", "sip:42@192.0.2.10:5060 udp";
        "at" Instant always Open, "UTC", "When.", "2026-10-05T08:15:30.250000";
        "reseller" Integer nullable Open, "account id", "Reseller above the account; NULL for none.", "11";
        "subscriber_uuid" Text nullable Open, "", "Uuid of the subscriber; NULL for none.", "9b2e2c8e-1d1f-4a77-8a53-1f2e3d4c5b6a";
        "number" Text nullable Number, "E.164 digits", "The number it is about; NULL for none.", "43660555123";
    },
};

/// Alerts of the fraud desk, with what people made of them.
#[rustfmt::skip]
pub static ALERTS: Table = Table {
    name: "alerts",
    meaning: "One row for each incident the fraud desk was told of, as it stands.",
    sort: "at",
    columns: table_columns! {
        "alert_id" Text always Open, "32 hexadecimal digits", "The alert.", "0b7e4c0d9f0e4d4c8f6a5b4c3d2e1f00";
        "tenant" Integer always Open, "tenant id", "Whose platform.", "1";
        "account" Integer always Open, "account id", "Who crossed the limit.", "1001";
        "rule" Text always Open, "", "Which rule.", "daily_spend";
        "period" Text always Open, "", "Its period, in the account's zone.", "2026-10-05";
        "severity" Text always Open, "warning, breach", "Warned of or crossed.", "breach";
        "limit_amount" Amount always CustomerPrice, "limit_currency", "What was allowed.", "50.000000";
        "limit_currency" Text always Open, "ISO 4217", "Currency of limit_amount.", "EUR";
        "value_amount" Amount always CustomerPrice, "value_currency", "What it came to.", "61.200000";
        "value_currency" Text always Open, "ISO 4217", "Currency of value_amount.", "EUR";
        "lock_level" Text always Open, "word", "The lock that followed.", "outgoing";
        "updates" Integer always Open, "count", "How often the incident was reported again.", "2";
        "begun_at" Instant always Open, "UTC", "When its first word came.", "2026-10-05T08:15:30.250000";
        "at" Instant always Open, "UTC", "When the call of its last word ended.", "2026-10-05T09:15:30.250000";
        "acknowledged_by" Text nullable Open, "user", "Who took it on; NULL: nobody yet.", "maria";
        "acknowledged_at" Instant nullable Open, "UTC", "When.", "2026-10-05T09:20:00";
        "verdict" Text nullable Open, "fraud, clean, unsure", "What people found it to be; NULL: not judged yet.", "fraud";
        "verdict_at" Instant nullable Open, "UTC", "When.", "2026-10-05T10:00:00";
        "tag" Text nullable Open, "word", "The rule's own mark; NULL for none.", "irsf";
        "n_stopped" Integer nullable Open, "count", "Calls that were refused or cut because of it.", "12";
        "saved_amount" Amount nullable CustomerPrice, "value_currency", "What those are reckoned to have cost, three minutes each.", "36.000000";
        "calls" Text nullable Open, "cdr_ids with spaces between", "Records of the calls that showed it; NULL for none.", "8f14e45fceea167a5a36dedd4bea2543";
        "handed_to" Text nullable Open, "user", "Whose case it is; NULL: nobody's.", "maria";
    },
};

/// Invoices, credit notes and corrected invoices.
#[rustfmt::skip]
pub static INVOICES: Table = Table {
    name: "invoices",
    meaning: "One row for each numbered document: invoice, credit note, corrected invoice, as it stands.",
    sort: "issued_at",
    columns: table_columns! {
        "invoice_id" Integer always Open, "invoice id", "The document.", "17";
        "number" Text always Open, "", "Its number.", "R-2026-000001";
        "tenant" Integer always Open, "tenant id", "Whose platform.", "1";
        "seller" Integer nullable Open, "account id", "The reseller that issued it; NULL is the tenant itself.", "11";
        "account" Integer always Open, "account id", "Who is to pay.", "1001";
        "kind" Text always Open, "invoice, credit_note, corrected", "What it is. The sums of a credit note are positive: what the customer gets.", "invoice";
        "corrects" Integer nullable Open, "invoice id", "The document it takes back or replaces; NULL for none.", "16";
        "period_start" Instant always Open, "UTC", "First instant of the period.", "2026-09-30T22:00:00";
        "period_end" Instant always Open, "UTC", "End of the period, exclusive.", "2026-10-31T23:00:00";
        "issued_at" Instant always Open, "UTC", "When it was issued.", "2026-11-02T05:00:00";
        "due_on" Day nullable Open, "day", "To be paid by.", "2026-11-16";
        "net" Amount always CustomerPrice, "currency", "Sum without tax.", "100.000000";
        "tax" Amount always CustomerPrice, "currency", "Tax.", "20.000000";
        "gross" Amount always CustomerPrice, "currency", "What is to be paid.", "120.000000";
        "currency" Text always Open, "ISO 4217", "Currency of its sums.", "EUR";
        "state" Text always Open, "final, queued, sent, paid, void", "How far it is.", "sent";
        "paid_at" Instant nullable Open, "UTC", "When its sum came in; NULL: not yet.", "2026-11-10T00:00:00";
    },
};

/// Their lines.
#[rustfmt::skip]
pub static INVOICE_LINES: Table = Table {
    name: "invoice_lines",
    meaning: "One row for each line of a document.",
    sort: "invoice_id",
    columns: table_columns! {
        "invoice_id" Integer always Open, "invoice id", "The document.", "17";
        "line" Integer always Open, "count from 1", "Place of the line.", "1";
        "number" Text always Open, "", "Number of the document.", "R-2026-000001";
        "tenant" Integer always Open, "tenant id", "Whose platform.", "1";
        "account" Integer always Open, "account id", "Who is to pay.", "1001";
        "document" Text always Open, "invoice, credit_note, corrected", "Kind of the document.", "invoice";
        "kind" Text always Open, "recurring, usage, one_off, discount, late_usage, part", "What the line is for.", "usage";
        "name" Text nullable Open, "", "Name of the fee, or text of the part; NULL for calls.", "Basic fee";
        "zone" Text nullable Open, "", "Zone of the calls; NULL for anything else.", "Germany";
        "zone_detail" Text nullable Open, "", "Its detail.", "fixed";
        "calls" Integer nullable Open, "count", "How many calls.", "12";
        "billed_seconds" Integer nullable Open, "seconds", "Seconds charged.", "1320";
        "quantity" Integer nullable Open, "count", "How many of a fee.", "1";
        "vat_percent" Amount always Open, "percent", "VAT rate.", "20.000000";
        "net" Amount always CustomerPrice, "currency", "Sum without VAT, rounded once.", "10.970000";
        "currency" Text always Open, "ISO 4217", "Currency of net.", "EUR";
    },
};

/// Every fee of every tariff version.
#[rustfmt::skip]
pub static RATES: Table = Table {
    name: "rates",
    meaning: "One row for each fee of each tariff version, with the time it is in force.",
    sort: "destination",
    columns: table_columns! {
        "fee_id" Integer always Open, "fee id", "The fee.", "99";
        "tenant" Integer always Open, "tenant id", "Whose platform.", "1";
        "tariff" Text always Open, "", "Handle of the billing profile.", "retail_eur";
        "tariff_version" Integer always Open, "version id", "Its version; as in calls.customer_tariff_version.", "7";
        "valid_from" Instant always Open, "UTC", "In force from here on.", "2026-10-01T00:00:00";
        "valid_to" Instant nullable Open, "UTC", "Until here, exclusive; NULL: open.", "2026-11-01T00:00:00";
        "direction" Text always Open, "out, in", "Of the call.", "out";
        "source" Text always Number, "prefix or pattern", "Callers it is for; empty is any.", "";
        "destination" Text always Open, "prefix or pattern", "Numbers it is for.", "49";
        "zone" Text always Open, "", "Its zone.", "Germany";
        "zone_detail" Text always Open, "", "Detail of the zone.", "fixed";
        "currency" Text always Open, "ISO 4217", "Currency of its prices.", "EUR";
        "onpeak_init_price" Price always AnyPrice, "currency for onpeak_init_per_seconds", "Price of the first interval, on-peak.", "0.050000000000";
        "onpeak_init_per_seconds" Integer always Open, "seconds", "Seconds that price is for.", "60";
        "onpeak_init_interval" Integer always Open, "seconds", "First charging interval.", "60";
        "onpeak_follow_price" Price always AnyPrice, "currency for onpeak_follow_per_seconds", "Price of what follows, on-peak.", "0.050000000000";
        "onpeak_follow_per_seconds" Integer always Open, "seconds", "Seconds that price is for.", "60";
        "onpeak_follow_interval" Integer always Open, "seconds", "Charging interval of what follows.", "1";
        "offpeak_init_price" Price always AnyPrice, "currency for offpeak_init_per_seconds", "Price of the first interval, off-peak.", "0.050000000000";
        "offpeak_init_per_seconds" Integer always Open, "seconds", "Seconds that price is for.", "60";
        "offpeak_init_interval" Integer always Open, "seconds", "First charging interval.", "60";
        "offpeak_follow_price" Price always AnyPrice, "currency for offpeak_follow_per_seconds", "Price of what follows, off-peak.", "0.050000000000";
        "offpeak_follow_per_seconds" Integer always Open, "seconds", "Seconds that price is for.", "60";
        "offpeak_follow_interval" Integer always Open, "seconds", "Charging interval of what follows.", "1";
        "connection_fee" Price always AnyPrice, "currency", "Once for each answered call.", "0.000000000000";
    },
};

/// What the first digits of a number say.
#[rustfmt::skip]
pub static PREFIXES: Table = Table {
    name: "prefixes",
    meaning: "One row for each prefix of the numbering plan (ITU-T E.164): the longest one that a number begins with, which number_prefix() gives, says where it is.",
    sort: "prefix",
    columns: table_columns! {
        "prefix" Text always Open, "E.164 digits", "First digits of a number.", "43660";
        "country" Text nullable Open, "ISO 3166-1", "Country, two letters; NULL for ranges of no country.", "AT";
        "name" Text always Open, "", "Its name in English, or that of the range.", "Austria";
        "region" Text always Open, "word", "Part of the world: africa, asia, europe, middle_east, north_america, caribbean, latin_america, oceania, global.", "europe";
        "type" Text always Open, "any, mobile, satellite, freephone, shared_cost, premium, personal, network", "What the numbers are for; any where the prefix does not say.", "mobile";
        "is_eu" Flag always Open, "", "Whether it is a country of the European Union.", "true";
    },
};

/// What is owed for a call, one row for each party.
#[rustfmt::skip]
pub static CHARGES: Table = Table {
    name: "charges",
    meaning: "One row for each charge of a call: who owes or is owed how much for it. A view over calls.",
    sort: "",
    columns: table_columns! {
        "cdr_id" Text always Open, "32 hexadecimal digits", "The leg's record.", "8f14e45fceea167a5a36dedd4bea2543";
        "revision" Integer always Open, "count from 0", "Of that record.", "0";
        "call_id" Text always Open, "", "Our name for the call.", "sw1-3-4711";
        "leg" Integer always Open, "count from 0", "0 is the call itself, 1 its first forward, and so on.", "0";
        "tenant" Integer always Open, "tenant id", "Whose platform.", "1";
        "day" Day always Open, "UTC day", "Day of start_at; a condition on it reads those days alone.", "2026-10-05";
        "start_at" Instant always Open, "UTC", "When the final answer went out.", "2026-10-05T08:15:30.250000";
        "provider" Text always Open, "customer, reseller, carrier", "In which part the account stands in the call.", "customer";
        "direction" Text always Open, "out, in", "For calling (out) or for being called (in).", "out";
        "account" Integer nullable Open, "account id", "Who owes it; of a carrier: who is owed, and for direction in the one who owes the termination fee.", "1001";
        "cost" Amount nullable CustomerPrice, "currency", "How much.", "0.109708";
        "currency" Text nullable Open, "ISO 4217", "Currency of cost and free_cash.", "EUR";
        "zone" Text nullable Open, "", "Zone of the fee; NULL in rows written before the lake kept it.", "Germany";
        "zone_detail" Text nullable Open, "", "Its detail. Of all but the customer's outgoing charge it is NULL in rows written before the lake kept it, as are tariff and onpeak_seconds to free_cash.", "fixed";
        "prefix" Text nullable Open, "", "Destination prefix or pattern of the fee.", "49";
        "tariff" Text nullable Open, "", "Handle of the billing profile.", "retail_eur";
        "tariff_version" Integer nullable Open, "version id", "The tariff version that priced it; as in rates.", "7";
        "billed_seconds" Integer nullable Open, "seconds", "Sum of the charging intervals begun.", "132";
        "onpeak_seconds" Integer nullable Open, "seconds", "Of these on-peak.", "132";
        "offpeak_seconds" Integer nullable Open, "seconds", "Of these off-peak.", "0";
        "free_seconds" Integer nullable Open, "seconds", "Free time used.", "0";
        "free_cash" Amount nullable CustomerPrice, "currency", "Free cash or balance used.", "0.000000";
        "destination_number" Text nullable Number, "E.164 digits", "The number called.", "4930555123";
    },
};

/// Every route tried.
#[rustfmt::skip]
pub static ATTEMPTS: Table = Table {
    name: "attempts",
    meaning: "One row for each route that a call tried, in order. A view over calls.",
    sort: "",
    columns: table_columns! {
        "cdr_id" Text always Open, "32 hexadecimal digits", "The leg's record.", "8f14e45fceea167a5a36dedd4bea2543";
        "revision" Integer always Open, "count from 0", "Of that record.", "0";
        "call_id" Text always Open, "", "Our name for the call.", "sw1-3-4711";
        "leg" Integer always Open, "count from 0", "0 is the call itself, 1 its first forward, and so on.", "0";
        "tenant" Integer always Open, "tenant id", "Whose platform.", "1";
        "day" Day always Open, "UTC day", "Day of start_at; a condition on it reads those days alone.", "2026-10-05";
        "start_at" Instant always Open, "UTC", "When the final answer of the call went out.", "2026-10-05T08:15:30.250000";
        "attempt" Integer nullable Open, "count from 1", "Place of the route.", "1";
        "trunk" Integer nullable Open, "trunk id", "The trunk tried; NULL for a subscriber.", "3";
        "subscriber" Integer nullable Open, "subscriber id", "The subscriber tried; NULL for a trunk.", "42";
        "code" Integer nullable Open, "SIP code", "Its final answer; 0 is none.", "503";
        "class" Text nullable Open, "pending, answered, redirected, callee, no_such_number, cancelled, timeout, network", "Whose doing that was.", "network";
        "pdd_ms" Integer nullable Open, "milliseconds", "Post-dial delay of this route; NULL: no 18x came.", "120";
        "payer" Integer always Open, "account id", "The paying party of the call.", "1001";
        "zone" Text nullable Open, "", "Zone of the customer's fee; NULL where nothing was paid.", "Germany";
        "destination_number" Text nullable Number, "E.164 digits", "The number called.", "4930555123";
    },
};

/// Calls that bear the mark of a fraud rule.
#[rustfmt::skip]
pub static CALL_MARKS: Table = Table {
    name: "call_marks",
    meaning: "One row for each call and alert whose rule marks it: the calls that showed it, and those that its account pays for from then until a verdict; none of an alert found clean. A view over calls and alerts.",
    sort: "",
    columns: table_columns! {
        "cdr_id" Text always Open, "32 hexadecimal digits", "The leg's record.", "8f14e45fceea167a5a36dedd4bea2543";
        "revision" Integer always Open, "count from 0", "Of that record.", "0";
        "call_id" Text always Open, "", "Our name for the call.", "sw1-3-4711";
        "leg" Integer always Open, "count from 0", "0 is the call itself, 1 its first forward, and so on.", "0";
        "tenant" Integer always Open, "tenant id", "Whose platform.", "1";
        "day" Day always Open, "UTC day", "Day of start_at; a condition on it reads those days alone.", "2026-10-05";
        "start_at" Instant always Open, "UTC", "When the final answer of the call went out.", "2026-10-05T08:15:30.250000";
        "payer" Integer always Open, "account id", "The paying party of the call.", "1001";
        "tag" Text nullable Open, "word", "The mark of the rule.", "irsf";
        "rule" Text always Open, "", "Which rule.", "irsf-burst";
        "alert_id" Text always Open, "32 hexadecimal digits", "The alert.", "0b7e4c0d9f0e4d4c8f6a5b4c3d2e1f00";
        "because" Text always Open, "shown, account", "It showed the alert, or its account is marked.", "shown";
        "destination_number" Text nullable Number, "E.164 digits", "The number called.", "4930555123";
    },
};

/// Registrations of subscribers.
#[rustfmt::skip]
pub static REGISTRATIONS: Table = Table {
    name: "registrations",
    meaning: "One row for each registration that began, ended or was refused. A view over events.",
    sort: "",
    columns: table_columns! {
        "event_id" Text always Open, "", "The event.", "sw1-3-815";
        "tenant" Integer always Open, "tenant id", "Whose platform.", "1";
        "account" Integer always Open, "account id", "Which account; 0 is nobody.", "1001";
        "subscriber" Integer nullable Open, "subscriber id", "Which subscriber; NULL: unknown.", "42";
        "outcome" Text always Open, "registered, unregistered, refused", "What happened.", "registered";
        "detail" Text always Prose, "", "Contact, address, user agent and the like.", "sip:42@192.0.2.10:5060 udp";
        "at" Instant always Open, "UTC", "When.", "2026-10-05T08:15:30.250000";
    },
};

/// All postings.
#[rustfmt::skip]
pub static POSTINGS: Table = Table {
    name: "postings",
    meaning: "One row for each posting of the ledger: the only way a balance changes. A view over call_postings and other_postings.",
    sort: "",
    columns: POSTING_COLUMNS,
};
