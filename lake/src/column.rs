//! The table `calls`, column by column: name, type, unit, meaning, example, and how it is read out of a rated call.
//!
//! This one list makes the Arrow schema, the Parquet files, the table `documentation` and the README.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use model::{AccountId, Charge, Direction, Party, Provider, RatedCdr, RouteTry};
use rust_decimal::Decimal;

use Value::{Amount, Count, Flag, Instant, Integer, Seconds, Text};

/// Digits of a decimal column in all.
pub(crate) const DECIMAL_DIGITS: u8 = 18;
/// Digits of a decimal column behind the point.
pub(crate) const DECIMAL_SCALE: i8 = 6;

/// One column of `calls`.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) example: &'static str,
    /// Whether it may be NULL; the meaning says when.
    pub(crate) nullable: bool,
    pub(crate) value: Value,
}

/// How a column is read out of a call; the variant is its type.
#[derive(Clone, Copy)]
pub(crate) enum Value {
    Text(for<'a> fn(&'a RatedCdr) -> Option<Cow<'a, str>>),
    Integer(fn(&RatedCdr) -> Option<i64>),
    /// An integer that cannot be negative in the record, and may not fit here.
    Count(fn(&RatedCdr) -> Option<u64>),
    Flag(fn(&RatedCdr) -> bool),
    Instant(fn(&RatedCdr) -> DateTime<Utc>),
    Amount(fn(&RatedCdr) -> Option<Decimal>),
    /// Microseconds, kept as decimal seconds.
    Seconds(fn(&RatedCdr) -> u64),
}

/// One column, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnDoc {
    /// Its name.
    pub name: &'static str,
    /// SQL type.
    pub sql_type: &'static str,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Unit of its values.
    pub unit: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// A value.
    pub example: &'static str,
}

/// The columns of `calls` and `calls_history`, in their order.
pub fn columns() -> Vec<ColumnDoc> {
    let stored = COLUMNS.iter().map(|column| ColumnDoc {
        name: column.name,
        sql_type: column.value.sql_type(),
        nullable: column.nullable,
        unit: column.unit,
        meaning: column.meaning,
        example: column.example,
    });
    stored.chain(std::iter::once(DAY)).collect()
}

/// The partition column: it is in the name of the directory, not in the file.
pub(crate) const DAY: ColumnDoc = ColumnDoc {
    name: "day",
    sql_type: "DATE",
    nullable: false,
    unit: "UTC day",
    meaning: "Day of start_at; the directory day=YYYY-MM-DD. A condition on it reads those directories alone.",
    example: "2026-10-05",
};

impl Value {
    fn sql_type(self) -> &'static str {
        match self {
            Text(_) => "VARCHAR",
            Integer(_) | Count(_) => "BIGINT",
            Flag(_) => "BOOLEAN",
            Instant(_) => "TIMESTAMP(6)",
            Amount(_) | Seconds(_) => "DECIMAL(18,6)",
        }
    }
}

/// What a call earned: what its customer pays less what its carrier charges for it.
///
/// `None` when no customer pays for the outgoing side, or when the two are in different currencies.
fn margin(call: &RatedCdr) -> Option<Decimal> {
    let customer = call.charge(Provider::Customer, Direction::Out)?;
    match call.charge(Provider::Carrier, Direction::Out) {
        None => Some(customer.cost),
        Some(carrier) if carrier.currency == customer.currency => customer.cost.checked_sub(carrier.cost),
        Some(_) => None,
    }
}

fn account_of(party: &Party) -> Option<i64> {
    Some(party.account()).filter(|account| *account != AccountId::NOBODY).map(|account| account.0)
}

fn reseller_of(party: &Party) -> Option<i64> {
    match party {
        Party::Subscriber { reseller, .. } => Some(reseller.0).filter(|id| *id != AccountId::NOBODY.0),
        Party::Trunk { .. } | Party::Unknown => None,
    }
}

fn uuid_of(party: &Party) -> Option<Cow<'_, str>> {
    match party {
        Party::Subscriber { uuid, .. } => filled(uuid),
        Party::Trunk { .. } | Party::Unknown => None,
    }
}

fn subscriber_of(party: &Party) -> Option<i64> {
    match party {
        Party::Subscriber { subscriber, .. } => Some(subscriber.0),
        Party::Trunk { .. } | Party::Unknown => None,
    }
}

fn trunk_of(party: &Party) -> Option<i64> {
    match party {
        Party::Trunk { trunk, .. } => Some(trunk.0),
        Party::Subscriber { .. } | Party::Unknown => None,
    }
}

/// The routes tried, on one line.
fn routes(call: &RatedCdr) -> Option<Cow<'_, str>> {
    let one = |route: &RouteTry| {
        let party = match &route.party {
            Party::Trunk { trunk, .. } => format!("t{trunk}"),
            Party::Subscriber { subscriber, .. } => format!("s{subscriber}"),
            Party::Unknown => "-".to_owned(),
        };
        let pdd_ms = route.pdd_us.map_or_else(|| "-".to_owned(), |us| (us / 1000).to_string());
        format!("{}:{party}:{}:{}:{pdd_ms}", route.attempt, route.code, route.class().as_str())
    };
    let routes: Vec<String> = call.cdr.attempts.iter().map(one).collect();
    (!routes.is_empty()).then(|| routes.join(" ").into())
}

fn text(value: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(value))
}

/// As [`model::CdrId`] shows itself, in a tenth of the time: every row has one.
fn hexadecimal(bytes: &[u8; 16]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let mut text = String::with_capacity(32);
    text.extend(digits.map(|digit| DIGITS[usize::from(digit)]));
    text
}

/// An empty text says nothing: NULL.
fn filled(value: &str) -> Option<Cow<'_, str>> {
    (!value.is_empty()).then_some(Cow::Borrowed(value))
}

fn currency(charge: Option<&Charge>) -> Option<Cow<'_, str>> {
    charge.and_then(|charge| text(charge.currency.as_str()))
}

fn customer(call: &RatedCdr) -> Option<&Charge> {
    call.charge(Provider::Customer, Direction::Out)
}

fn reseller(call: &RatedCdr) -> Option<&Charge> {
    call.charge(Provider::Reseller, Direction::Out)
}

fn carrier(call: &RatedCdr) -> Option<&Charge> {
    call.charge(Provider::Carrier, Direction::Out)
}

fn customer_in(call: &RatedCdr) -> Option<&Charge> {
    call.charge(Provider::Customer, Direction::In)
}

fn reseller_in(call: &RatedCdr) -> Option<&Charge> {
    call.charge(Provider::Reseller, Direction::In)
}

fn carrier_in(call: &RatedCdr) -> Option<&Charge> {
    call.charge(Provider::Carrier, Direction::In)
}

macro_rules! columns {
    ($($name:literal $null:ident $value:expr, $unit:literal, $meaning:literal, $example:literal;)+) => {
        &[$(Column {
            name: $name,
            unit: $unit,
            meaning: $meaning,
            example: $example,
            nullable: columns!(@$null),
            value: $value,
        }),+]
    };
    (@always) => { false };
    (@nullable) => { true };
}

/// Every column that is in the files. New ones go to the end: old files have NULL there.
#[rustfmt::skip]
pub(crate) const COLUMNS: &[Column] = columns! {
    "cdr_id" always Text(|c| Some(hexadecimal(c.cdr.id.as_bytes()).into())), "32 hexadecimal digits", "The leg's record, the same over all its revisions.", "8f14e45fceea167a5a36dedd4bea2543";
    "revision" always Integer(|c| Some(i64::from(c.cdr.revision))), "count from 0", "A higher revision of a cdr_id supersedes the lower ones; the table calls has the highest alone.", "0";
    "call_id" always Text(|c| text(c.cdr.call.as_str())), "", "Our name for the call: node, boot, count. All legs of a call share it.", "sw1-3-4711";
    "leg" always Integer(|c| Some(i64::from(c.cdr.leg))), "count from 0", "0 is the call itself, 1 its first forward, and so on.", "0";
    "sip_call_id" always Text(|c| text(&c.cdr.sip_call_id)), "", "SIP Call-ID of the incoming leg, as received.", "a84b4c76e66710@192.0.2.10";
    "node" always Text(|c| text(&c.cdr.node)), "", "The switch that carried the call.", "sw1";
    "tenant" always Integer(|c| Some(c.cdr.tenant.0)), "tenant id", "Whose platform.", "1";
    "payer" always Integer(|c| Some(c.cdr.payer.0)), "account id", "The paying party: the caller's account, or the carrier's for a call that comes in; 0 is nobody.", "1001";
    "source_account" nullable Integer(|c| account_of(&c.cdr.source.party)), "account id", "Account of the calling side; NULL for an unknown source.", "1001";
    "source_reseller" nullable Integer(|c| reseller_of(&c.cdr.source.party)), "account id", "Reseller above the caller's account; NULL if there is none.", "11";
    "source_subscriber" nullable Integer(|c| subscriber_of(&c.cdr.source.party)), "subscriber id", "The caller, if he is a subscriber of ours.", "42";
    "source_trunk" nullable Integer(|c| trunk_of(&c.cdr.source.party)), "trunk id", "The trunk the call came in from, if it did.", "3";
    "source_number" nullable Text(|c| c.cdr.source.cli.map(|cli| cli.to_string().into())), "E.164 digits", "Network-provided number of the caller, the one that is billed; there even if clir is true.", "43660555123";
    "source_user" always Text(|c| text(&c.cdr.source.user)), "", "User part of From, as sent.", "43660555123";
    "source_domain" always Text(|c| text(&c.cdr.source.domain)), "", "Host part of From, as sent.", "sip.example.org";
    "source_user_out" always Text(|c| text(&c.cdr.source.user_out)), "", "Caller as sent on to the called side.", "43660555123";
    "clir" always Flag(|c| c.cdr.source.clir), "", "The caller hides his number from the called side.", "false";
    "source_ip" always Text(|c| text(&c.cdr.source.ip)), "IP address", "Where the INVITE came from.", "192.0.2.10";
    "source_user_agent" nullable Text(|c| filled(&c.cdr.source.user_agent)), "", "User-Agent of the calling side, as sent.", "baresip v3.10";
    "destination_account" nullable Integer(|c| account_of(&c.cdr.destination.party)), "account id", "Account of the side that answered or was tried last: a customer, or the carrier of the trunk.", "9001";
    "destination_reseller" nullable Integer(|c| reseller_of(&c.cdr.destination.party)), "account id", "Reseller above the called account; NULL if there is none.", "12";
    "destination_subscriber" nullable Integer(|c| subscriber_of(&c.cdr.destination.party)), "subscriber id", "The callee, if he is a subscriber of ours.", "43";
    "destination_number" nullable Text(|c| c.cdr.destination.number.map(|number| number.to_string().into())), "E.164 digits", "The number called, after inbound rewriting: what fees match.", "4930555123";
    "destination_user" always Text(|c| text(&c.cdr.destination.user_in)), "", "The same as text; a name where it is not a number.", "4930555123";
    "destination_user_out" always Text(|c| text(&c.cdr.destination.user_out)), "", "The number as sent on, with the trunk's technical prefix.", "00494930555123";
    "dialed" always Text(|c| text(&c.cdr.destination.dialed)), "", "As dialled, before any rewriting.", "004930555123";
    "trunk" nullable Integer(|c| trunk_of(&c.cdr.destination.party)), "trunk id", "The trunk the call went out to, or was tried last on.", "3";
    "call_type" always Text(|c| text(c.cdr.call_type.as_str())), "call, cfu, cfb, cft, cfna, cfr, cfo, xfer", "How the leg came to be: dialled, forwarded (and why), transferred.", "call";
    "status" always Text(|c| text(c.cdr.status.as_str())), "ok, busy, noanswer, cancel, offline, timeout, other, failed", "Outcome by the final SIP code; failed is an answered call whose end was never seen.", "ok";
    "code" always Integer(|c| Some(i64::from(c.cdr.code))), "SIP code", "Final answer of the call.", "200";
    "cause" always Text(|c| text(c.cdr.cause.as_str())), "word", "Why it ended, finer than the code: normal, busy, no_route, locked_out, no_credit and others.", "normal";
    "ended_by" always Text(|c| text(c.cdr.ended_by.as_str())), "caller, callee, switch, operator", "Who ended it.", "caller";
    "answered" always Flag(|c| c.cdr.is_answered()), "", "Somebody picked up; any other call costs its failed-attempt fee, and what its last record carries for calls out of order.", "true";
    "init_at" always Instant(|c| c.cdr.init_at), "UTC", "When the INVITE came in.", "2026-10-05T08:15:27.113905";
    "start_at" always Instant(|c| c.cdr.start_at), "UTC", "When the final answer went out: of an answered call the start of what is billed, and what tariffs, days and months go by.", "2026-10-05T08:15:30.250000";
    "end_at" always Instant(|c| c.cdr.end_at()), "UTC", "When the answered part ended; start_at for a call never answered.", "2026-10-05T08:17:41.900000";
    "duration_seconds" always Seconds(|c| c.cdr.duration_us), "seconds", "Answered for so long, by the monotonic clock; 0 if never.", "131.650000";
    "pdd_ms" nullable Count(|c| c.cdr.pdd_us.map(|us| us / 1000)), "milliseconds", "Post-dial delay: INVITE out to the first 18x of the route that was used, begun milliseconds cut off.", "1240";
    "codec" nullable Text(|c| filled(&c.cdr.codec)), "", "First audio codec; NULL if never answered.", "PCMA";
    "attempts" always Integer(|c| i64::try_from(c.cdr.attempts.len()).ok()), "count", "Routes tried.", "1";
    "customer_account" nullable Integer(|c| customer(c).map(|x| x.account.0)), "account id", "The customer who pays for the outgoing side; the customer columns are NULL when nobody does.", "1001";
    "customer_cost" nullable Amount(|c| customer(c).map(|x| x.cost)), "customer_currency", "What the customer pays: after free time and cash, rounded once.", "0.109708";
    "customer_currency" nullable Text(|c| currency(customer(c))), "ISO 4217", "Currency of customer_cost, free_cash and margin.", "EUR";
    "customer_zone" nullable Text(|c| customer(c).and_then(|x| text(&x.zone))), "", "Zone of the customer's fee.", "Germany";
    "customer_zone_detail" nullable Text(|c| customer(c).and_then(|x| text(&x.zone_detail))), "", "Detail of that zone.", "fixed";
    "customer_prefix" nullable Text(|c| customer(c).and_then(|x| text(&x.matched))), "", "Destination prefix or pattern of that fee.", "49";
    "customer_tariff" nullable Text(|c| customer(c).and_then(|x| text(&x.profile))), "", "Handle of the customer's billing profile.", "retail_eur";
    "customer_tariff_version" nullable Integer(|c| customer(c).map(|x| x.version.0)), "version id", "The immutable version of it in force at start_at.", "7";
    "billed_seconds" nullable Count(|c| customer(c).map(|x| x.billed_seconds)), "seconds", "Sum of the customer's charging intervals begun, free ones included.", "132";
    "onpeak_seconds" nullable Count(|c| customer(c).map(|x| x.onpeak_seconds)), "seconds", "Of these on-peak.", "132";
    "offpeak_seconds" nullable Count(|c| customer(c).map(|x| x.offpeak_seconds)), "seconds", "Of these off-peak.", "0";
    "free_seconds" nullable Count(|c| customer(c).map(|x| x.free_seconds)), "seconds", "Free time the call used.", "0";
    "free_cash" nullable Amount(|c| customer(c).map(|x| x.free_cash)), "customer_currency", "Free cash or balance the call used; below 0 where its record gives back what others had.", "0.000000";
    "reseller_account" nullable Integer(|c| reseller(c).map(|x| x.account.0)), "account id", "The reseller who pays us for the outgoing side; the reseller columns are NULL when there is none.", "11";
    "reseller_cost" nullable Amount(|c| reseller(c).map(|x| x.cost)), "reseller_currency", "What the reseller pays.", "0.066000";
    "reseller_currency" nullable Text(|c| currency(reseller(c))), "ISO 4217", "Currency of reseller_cost.", "EUR";
    "reseller_tariff_version" nullable Integer(|c| reseller(c).map(|x| x.version.0)), "version id", "The tariff version that priced it.", "5";
    "carrier_account" nullable Integer(|c| carrier(c).map(|x| x.account.0)), "account id", "The carrier who is owed for the outgoing side; the carrier columns are NULL when the call stayed in the house.", "9001";
    "carrier_cost" nullable Amount(|c| carrier(c).map(|x| x.cost)), "carrier_currency", "What the carrier is owed.", "0.030717";
    "carrier_currency" nullable Text(|c| currency(carrier(c))), "ISO 4217", "Currency of carrier_cost.", "EUR";
    "carrier_zone" nullable Text(|c| carrier(c).and_then(|x| text(&x.zone))), "", "Zone of the carrier's fee.", "DE fixed";
    "carrier_prefix" nullable Text(|c| carrier(c).and_then(|x| text(&x.matched))), "", "Destination prefix or pattern of that fee.", "4930";
    "carrier_billed_seconds" nullable Count(|c| carrier(c).map(|x| x.billed_seconds)), "seconds", "Sum of the carrier's charging intervals begun.", "132";
    "carrier_tariff_version" nullable Integer(|c| carrier(c).map(|x| x.version.0)), "version id", "The tariff version that priced it.", "3";
    "margin" nullable Amount(margin), "customer_currency", "customer_cost less carrier_cost (0 if no carrier is owed); NULL without a paying customer, or when the currencies differ.", "0.078991";
    "customer_in_account" nullable Integer(|c| customer_in(c).map(|x| x.account.0)), "account id", "The called customer, where he pays to receive.", "1002";
    "customer_in_cost" nullable Amount(|c| customer_in(c).map(|x| x.cost)), "customer_in_currency", "Termination fee he pays.", "0.010000";
    "customer_in_currency" nullable Text(|c| currency(customer_in(c))), "ISO 4217", "Currency of customer_in_cost.", "EUR";
    "customer_in_zone" nullable Text(|c| customer_in(c).and_then(|x| text(&x.zone))), "", "Zone of the fee for receiving.", "Incoming";
    "customer_in_billed_seconds" nullable Count(|c| customer_in(c).map(|x| x.billed_seconds)), "seconds", "Sum of the charging intervals begun.", "132";
    "customer_in_tariff_version" nullable Integer(|c| customer_in(c).map(|x| x.version.0)), "version id", "The tariff version that priced it.", "7";
    "reseller_in_account" nullable Integer(|c| reseller_in(c).map(|x| x.account.0)), "account id", "The called side's reseller, where he pays for receiving.", "12";
    "reseller_in_cost" nullable Amount(|c| reseller_in(c).map(|x| x.cost)), "reseller_in_currency", "Termination fee he pays.", "0.004000";
    "reseller_in_currency" nullable Text(|c| currency(reseller_in(c))), "ISO 4217", "Currency of reseller_in_cost.", "EUR";
    "reseller_in_tariff_version" nullable Integer(|c| reseller_in(c).map(|x| x.version.0)), "version id", "The tariff version that priced it.", "5";
    "carrier_in_account" nullable Integer(|c| carrier_in(c).map(|x| x.account.0)), "account id", "The carrier the call came in from, where a termination fee is agreed with it.", "9002";
    "carrier_in_cost" nullable Amount(|c| carrier_in(c).map(|x| x.cost)), "carrier_in_currency", "That fee.", "0.008000";
    "carrier_in_currency" nullable Text(|c| currency(carrier_in(c))), "ISO 4217", "Currency of carrier_in_cost.", "EUR";
    "carrier_in_tariff_version" nullable Integer(|c| carrier_in(c).map(|x| x.version.0)), "version id", "The tariff version that priced it.", "4";
    "config_revision" always Integer(|c| Some(c.cdr.config_revision)), "count", "Revision of the provisioning data in force at the call.", "17";
    "partial" always Flag(|c| c.cdr.partial), "", "Closed without its end having been seen, or still up (cause in_progress); a later revision may correct it.", "false";
    "reason" nullable Text(|c| filled(&c.cdr.detail.reason)), "RFC 3326", "Reason header of whoever ended the call, as received.", "Q.850;cause=16";
    "refused_by" nullable Text(|c| filled(&c.cdr.detail.refused_by)), "", "What in our own data refused the call; NULL unless the switch did.", "account 12 lock 2";
    "setup_ms" nullable Count(|c| c.cdr.detail.setup_us.map(|us| us / 1000)), "milliseconds", "INVITE in to the 2xx, begun milliseconds cut off; NULL if never answered.", "5240";
    "transport" nullable Text(|c| c.cdr.detail.transport.and_then(|transport| text(transport.as_str()))), "udp, tcp, tls", "How the INVITE came in; NULL for records made elsewhere.", "udp";
    "auth" nullable Text(|c| c.cdr.detail.auth.and_then(|auth| text(auth.as_str()))), "digest, ip, none", "How the caller proved who he is; NULL for forwarded legs and records made elsewhere.", "digest";
    "asserted_identity" nullable Text(|c| filled(&c.cdr.detail.asserted_identity)), "", "P-Asserted-Identity, as sent.", "<sip:+43660555123@sip.example.org>";
    "diversion" nullable Text(|c| filled(&c.cdr.detail.diversion)), "", "Diversion, as sent.", "<sip:4312345@sip.example.org>;reason=user-busy";
    "routes" nullable Text(routes), "attempt:party:code:class:pdd_ms", "Every route tried, in order, separated by blanks: whom (trunk or subscriber id), with which final code (0 is none), whose doing that was, and the post-dial delay. NULL if none was tried.", "1:t3:503:network:120 2:t4:200:answered:1240";
    "foreign_key" nullable Text(|c| filled(&c.cdr.detail.foreign_key)), "source/key", "Of a record imported from another system, its key there.", "pbx-west/9f3c2a90";
    "emergency" nullable Flag(|c| c.cdr.detail.emergency), "", "To an emergency number of the tenant; NULL in rows older than this column.", "false";
    "stir" nullable Text(|c| filled(&c.cdr.detail.stir)), "", "What a peer says of the caller's number, not verified here: its verstat, else the attestation of its Identity header.", "TN-Validation-Passed";
    "preferred_identity" nullable Text(|c| filled(&c.cdr.detail.preferred_identity)), "", "P-Preferred-Identity, as sent.", "<sip:+43660555123@sip.example.org>";
    "user_to_user" nullable Text(|c| filled(&c.cdr.detail.user_to_user)), "", "User-to-User, as sent.", "56a390f3d2b7310023;encoding=hex";
    "history_info" nullable Text(|c| filled(&c.cdr.detail.history_info)), "", "History-Info, as sent.", "<sip:4930555123@sip.example.org>;index=1";
    "mos_hundredths" nullable Count(|c| c.cdr.detail.media?.mos_hundredths.map(u64::from)), "0.01", "Mean opinion score of the media, as a party told it at the end; this and the next three are NULL if none did.", "412";
    "loss_hundredths" nullable Count(|c| c.cdr.detail.media?.loss_hundredths.map(u64::from)), "0.01 percent", "Packets lost.", "150";
    "jitter_us" nullable Count(|c| c.cdr.detail.media?.jitter_us.map(u64::from)), "microseconds", "Jitter.", "12000";
    "round_trip_us" nullable Count(|c| c.cdr.detail.media?.round_trip_us.map(u64::from)), "microseconds", "Round trip of the media.", "31000";
    "peer_auth_user" nullable Text(|c| filled(&c.cdr.detail.peer_auth_user)), "", "User name with which we prove ourselves to the trunk that was used.", "meridian";
    "peer_auth_realm" nullable Text(|c| filled(&c.cdr.detail.peer_auth_realm)), "", "The realm of that login, if one is configured.", "carrier.example";
    "reseller_zone" nullable Text(|c| reseller(c).and_then(|x| text(&x.zone))), "", "Zone of the reseller's fee.", "Germany";
    "reseller_prefix" nullable Text(|c| reseller(c).and_then(|x| text(&x.matched))), "", "Destination prefix or pattern of that fee.", "49";
    "reseller_billed_seconds" nullable Count(|c| reseller(c).map(|x| x.billed_seconds)), "seconds", "Sum of the reseller's charging intervals begun.", "132";
    "customer_in_prefix" nullable Text(|c| customer_in(c).and_then(|x| text(&x.matched))), "", "Prefix or pattern of the customer's fee for receiving.", "43660";
    "reseller_in_zone" nullable Text(|c| reseller_in(c).and_then(|x| text(&x.zone))), "", "Zone of the reseller's fee for receiving.", "Incoming";
    "reseller_in_prefix" nullable Text(|c| reseller_in(c).and_then(|x| text(&x.matched))), "", "Prefix or pattern of that fee.", "43660";
    "reseller_in_billed_seconds" nullable Count(|c| reseller_in(c).map(|x| x.billed_seconds)), "seconds", "Sum of the charging intervals begun.", "132";
    "carrier_in_zone" nullable Text(|c| carrier_in(c).and_then(|x| text(&x.zone))), "", "Zone of the termination fee agreed with the carrier the call came in from.", "AT mobile";
    "carrier_in_prefix" nullable Text(|c| carrier_in(c).and_then(|x| text(&x.matched))), "", "Prefix or pattern of that fee.", "43660";
    "carrier_in_billed_seconds" nullable Count(|c| carrier_in(c).map(|x| x.billed_seconds)), "seconds", "Sum of the charging intervals begun.", "132";
    "source_uuid" nullable Text(|c| uuid_of(&c.cdr.source.party)), "", "The caller's stable key in CDR files; NULL if he is no subscriber of ours, and in rows older than this column, as in all that follow.", "d7a5c1d6-4f3e-4b0a-9d3e-0d6c1f6b2a11";
    "destination_uuid" nullable Text(|c| uuid_of(&c.cdr.destination.party)), "", "The callee's, likewise.", "5be8a1a0-7c63-4d52-8a45-2d9a1c0f7e34";
    "destination_domain" nullable Text(|c| filled(&c.cdr.destination.domain)), "", "Host part as dialled.", "sip.example.org";
    "pdd_us" nullable Count(|c| c.cdr.pdd_us), "microseconds", "Post-dial delay, to the last digit.", "1240332";
    "setup_us" nullable Count(|c| c.cdr.detail.setup_us), "microseconds", "INVITE in to the 2xx, to the last digit.", "5240118";
    "reseller_zone_detail" nullable Text(|c| reseller(c).and_then(|x| text(&x.zone_detail))), "", "Detail of the zone of the reseller's fee.", "fixed";
    "reseller_tariff" nullable Text(|c| reseller(c).and_then(|x| text(&x.profile))), "", "Handle of the billing profile of that fee.", "wholesale_eur";
    "reseller_onpeak_seconds" nullable Count(|c| reseller(c).map(|x| x.onpeak_seconds)), "seconds", "Of reseller_billed_seconds on-peak.", "132";
    "reseller_offpeak_seconds" nullable Count(|c| reseller(c).map(|x| x.offpeak_seconds)), "seconds", "Of these off-peak.", "0";
    "reseller_free_seconds" nullable Count(|c| reseller(c).map(|x| x.free_seconds)), "seconds", "Free time the call used there.", "0";
    "reseller_free_cash" nullable Amount(|c| reseller(c).map(|x| x.free_cash)), "reseller_currency", "Free cash or balance the call used there.", "0.000000";
    "carrier_zone_detail" nullable Text(|c| carrier(c).and_then(|x| text(&x.zone_detail))), "", "Detail of the zone of the carrier's fee.", "fixed";
    "carrier_tariff" nullable Text(|c| carrier(c).and_then(|x| text(&x.profile))), "", "Handle of the billing profile of that fee.", "wholesale_eur";
    "carrier_onpeak_seconds" nullable Count(|c| carrier(c).map(|x| x.onpeak_seconds)), "seconds", "Of carrier_billed_seconds on-peak.", "132";
    "carrier_offpeak_seconds" nullable Count(|c| carrier(c).map(|x| x.offpeak_seconds)), "seconds", "Of these off-peak.", "0";
    "carrier_free_seconds" nullable Count(|c| carrier(c).map(|x| x.free_seconds)), "seconds", "Free time the call used there.", "0";
    "carrier_free_cash" nullable Amount(|c| carrier(c).map(|x| x.free_cash)), "carrier_currency", "Free cash or balance the call used there.", "0.000000";
    "customer_in_zone_detail" nullable Text(|c| customer_in(c).and_then(|x| text(&x.zone_detail))), "", "Detail of the zone of the customer's fee for receiving.", "fixed";
    "customer_in_tariff" nullable Text(|c| customer_in(c).and_then(|x| text(&x.profile))), "", "Handle of the billing profile of that fee.", "wholesale_eur";
    "customer_in_onpeak_seconds" nullable Count(|c| customer_in(c).map(|x| x.onpeak_seconds)), "seconds", "Of customer_in_billed_seconds on-peak.", "132";
    "customer_in_offpeak_seconds" nullable Count(|c| customer_in(c).map(|x| x.offpeak_seconds)), "seconds", "Of these off-peak.", "0";
    "customer_in_free_seconds" nullable Count(|c| customer_in(c).map(|x| x.free_seconds)), "seconds", "Free time the call used there.", "0";
    "customer_in_free_cash" nullable Amount(|c| customer_in(c).map(|x| x.free_cash)), "customer_in_currency", "Free cash or balance the call used there.", "0.000000";
    "reseller_in_zone_detail" nullable Text(|c| reseller_in(c).and_then(|x| text(&x.zone_detail))), "", "Detail of the zone of the reseller's fee for receiving.", "fixed";
    "reseller_in_tariff" nullable Text(|c| reseller_in(c).and_then(|x| text(&x.profile))), "", "Handle of the billing profile of that fee.", "wholesale_eur";
    "reseller_in_onpeak_seconds" nullable Count(|c| reseller_in(c).map(|x| x.onpeak_seconds)), "seconds", "Of reseller_in_billed_seconds on-peak.", "132";
    "reseller_in_offpeak_seconds" nullable Count(|c| reseller_in(c).map(|x| x.offpeak_seconds)), "seconds", "Of these off-peak.", "0";
    "reseller_in_free_seconds" nullable Count(|c| reseller_in(c).map(|x| x.free_seconds)), "seconds", "Free time the call used there.", "0";
    "reseller_in_free_cash" nullable Amount(|c| reseller_in(c).map(|x| x.free_cash)), "reseller_in_currency", "Free cash or balance the call used there.", "0.000000";
    "carrier_in_zone_detail" nullable Text(|c| carrier_in(c).and_then(|x| text(&x.zone_detail))), "", "Detail of the zone of the termination fee agreed with the carrier.", "fixed";
    "carrier_in_tariff" nullable Text(|c| carrier_in(c).and_then(|x| text(&x.profile))), "", "Handle of the billing profile of that fee.", "wholesale_eur";
    "carrier_in_onpeak_seconds" nullable Count(|c| carrier_in(c).map(|x| x.onpeak_seconds)), "seconds", "Of carrier_in_billed_seconds on-peak.", "132";
    "carrier_in_offpeak_seconds" nullable Count(|c| carrier_in(c).map(|x| x.offpeak_seconds)), "seconds", "Of these off-peak.", "0";
    "carrier_in_free_seconds" nullable Count(|c| carrier_in(c).map(|x| x.free_seconds)), "seconds", "Free time the call used there.", "0";
    "carrier_in_free_cash" nullable Amount(|c| carrier_in(c).map(|x| x.free_cash)), "carrier_in_currency", "Free cash or balance the call used there.", "0.000000";
};

/// Columns that carry a bloom filter, so that one call is found without reading every file.
pub(crate) const BLOOM_COLUMNS: &[&str] = &["cdr_id", "call_id", "sip_call_id", "payer", "customer_account"];

/// The order of rows within a file.
pub(crate) const SORT_COLUMNS: [&str; 3] = ["start_at", "cdr_id", "revision"];
