//! `profile.toml`.

use chrono_tz::Tz;
use model::{
    BillingInterval, BillingProfile, Currency, FeeMatch, Fees, IntervalPrice, IntervalUnit, PeakSplit,
    PriceModel, PriceStep, Rounding, RoundingMode, TariffVersion,
};
use rust_decimal::Decimal;

use super::TariffIds;
use super::issue::Issue;
use super::offpeak::OffPeak;
use super::table::decimal;
use super::toml_file::{self, Keys};

/// The file, checked.
pub(crate) struct ProfileFile {
    handle: String,
    name: String,
    currency: Currency,
    timezone: Tz,
    prepaid: bool,
    rounding: Rounding,
    interval: BillingInterval,
    interval_charge: Decimal,
    interval_free_seconds: u64,
    interval_free_cash: Decimal,
    interval_price: Option<IntervalPrice>,
    pub(crate) fee_match: FeeMatch,
    peak_split: PeakSplit,
    /// `compat = "reference"`.
    compat: bool,
}

impl ProfileFile {
    pub(crate) fn into_version(self, ids: TariffIds, fees: Fees, off_peak: OffPeak) -> TariffVersion {
        TariffVersion {
            id: ids.version,
            profile: BillingProfile {
                id: ids.profile,
                tenant: ids.tenant,
                handle: self.handle,
                name: self.name,
                currency: self.currency,
                timezone: self.timezone,
                prepaid: self.prepaid,
            },
            valid_from: ids.valid_from,
            rounding: self.rounding,
            fee_match: self.fee_match,
            peak_split: self.peak_split,
            compat: self.compat,
            interval: self.interval,
            interval_charge: self.interval_charge,
            interval_free_seconds: self.interval_free_seconds,
            interval_free_cash: self.interval_free_cash,
            interval_price: self.interval_price,
            fees,
            weekdays: off_peak.weekdays,
            specials: off_peak.specials,
        }
    }
}

const KEYS: &[&str] = &[
    "handle",
    "name",
    "currency",
    "timezone",
    "prepaid",
    "rounding",
    "interval",
    "interval_charge",
    "interval_free_seconds",
    "interval_free_cash",
    "interval_price",
    "fee_match",
    "split_at_peak",
    "compat",
];

/// Reads the file; `None` when something without which it means nothing is missing (and reported).
pub(crate) fn read(file: &str, text: &str, issues: &mut Vec<Issue>) -> Option<ProfileFile> {
    toml_file::parse(file, text, issues, read_keys)?
}

fn read_keys(keys: &Keys<'_>, issues: &mut Vec<Issue>) -> Option<ProfileFile> {
    keys.allow(KEYS, issues);
    keys.require("handle", "name the profile: handle = \"retail\"", issues);
    keys.require("currency", "name the currency of all prices: currency = \"EUR\"", issues);
    keys.require("timezone", "name the zone of the peak times: timezone = \"Europe/Vienna\"", issues);
    let handle = keys.parsed("handle", "such as \"retail_2026\"", issues, handle_of);
    let name = keys.parsed("name", "such as \"Retail\"", issues, |text| Ok(text.to_owned()));
    let currency = keys.word::<Currency>("currency", "give the currency of all prices", issues);
    let timezone = keys.parsed("timezone", "use a name such as \"Europe/Vienna\"", issues, |text| {
        text.parse::<Tz>().map_err(|_| format!("{text:?} is not an IANA time zone"))
    });
    let prepaid = keys.boolean("prepaid", issues).unwrap_or(false);
    let rounding = keys.table("rounding", issues).map_or(Rounding::default(), |keys| rounding(&keys, issues));
    let interval =
        keys.table("interval", issues).map_or(BillingInterval::default(), |k| interval(&k, issues));
    let money = "write a quoted decimal such as \"9.90\"";
    let interval_charge = keys.parsed("interval_charge", money, issues, decimal).unwrap_or_default();
    let interval_free_cash = keys.parsed("interval_free_cash", money, issues, decimal).unwrap_or_default();
    if interval_free_cash.is_sign_negative() && !interval_free_cash.is_zero() {
        issues.push(keys.issue("interval_free_cash", "below 0", "use 0 or more"));
    }
    let interval_free_seconds = keys.number("interval_free_seconds", 0, issues).unwrap_or(0);
    let interval_price = keys.table("interval_price", issues).and_then(|k| interval_price(&k, issues));
    if interval_price.is_some() && keys.has("compat") {
        let rule = "the reference has no prices by usage";
        issues.push(keys.issue("interval_price", rule, "remove it, or compat"));
    }
    let fee_match =
        keys.word("fee_match", "use \"prefix\" or \"reference\"", issues).unwrap_or(FeeMatch::Prefix);
    let peak_split = keys
        .word("split_at_peak", "use \"interval_start\", \"boundary\" or \"reference_fragments\"", issues)
        .unwrap_or(PeakSplit::IntervalStart);
    let remove = "write compat = \"reference\", or remove the key to price exactly";
    let compat = keys.parsed("compat", remove, issues, |text| match text {
        "reference" => Ok(()),
        other => Err(format!("{other:?} is nothing to be compatible with")),
    });
    let handle = handle?;
    Some(ProfileFile {
        name: name.unwrap_or_else(|| handle.clone()),
        handle,
        currency: currency?,
        timezone: timezone?,
        prepaid,
        rounding,
        interval,
        interval_charge,
        interval_free_seconds,
        interval_free_cash,
        interval_price,
        fee_match,
        peak_split,
        compat: compat.is_some(),
    })
}

/// The reference's rule (billing-reference 3.1).
fn handle_of(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len());
    if fits && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a handle of 1 to 63 letters, digits and underscores"))
    }
}

fn rounding(keys: &Keys<'_>, issues: &mut Vec<Issue>) -> Rounding {
    keys.allow(&["mode", "scale"], issues);
    let default = Rounding::default();
    let modes = "use \"half_up\", \"half_even\", \"up\" or \"down\"";
    let mode = keys.word::<RoundingMode>("mode", modes, issues).unwrap_or(default.mode);
    let scale = keys.number("scale", 0, issues).unwrap_or(default.scale);
    if scale > default.scale {
        issues.push(keys.issue("scale", format!("the ledger keeps 6 decimals, not {scale}"), "use 0 to 6"));
    }
    Rounding { mode, scale }
}

fn interval(keys: &Keys<'_>, issues: &mut Vec<Issue>) -> BillingInterval {
    keys.allow(&["unit", "count"], issues);
    let unit = keys.parsed("unit", "use \"month\" or \"week\"", issues, |text| match text {
        "month" => Ok(IntervalUnit::Month),
        "week" => Ok(IntervalUnit::Week),
        other => Err(format!("{other:?} is not a unit of billing intervals")),
    });
    let count = keys.number("count", 1, issues).unwrap_or(1);
    if count > INTERVAL_COUNT_MAX {
        issues.push(keys.issue(
            "count",
            format!("{count} is too long"),
            format!("use 1 to {INTERVAL_COUNT_MAX}"),
        ));
    }
    BillingInterval { unit: unit.unwrap_or(IntervalUnit::Month), count }
}

/// `interval_price = { model = "tiered", steps = [...] }`.
fn interval_price(keys: &Keys<'_>, issues: &mut Vec<Issue>) -> Option<IntervalPrice> {
    keys.allow(&["model", "zones", "steps", "package_seconds", "package_price"], issues);
    let models = "use \"tiered\", \"volume\" or \"package\"";
    keys.require("model", models, issues);
    let model = keys.word::<PriceModel>("model", models, issues);
    let zones = keys.texts("zones", "name zones of the fees: zones = [\"Germany\"]", issues);
    let money = "write a quoted decimal such as \"0.06\"";
    let mut steps = Vec::new();
    for step in keys.tables("steps", issues) {
        step.allow(&["from_seconds", "per_minute"], issues);
        step.require("per_minute", money, issues);
        let from_seconds = step.number("from_seconds", 0, issues).unwrap_or(0);
        let per_minute = step.parsed("per_minute", money, issues, decimal).unwrap_or_default();
        steps.push(PriceStep { from_seconds, per_minute });
    }
    let price = IntervalPrice {
        model: model?,
        zones,
        steps,
        package_seconds: keys.number("package_seconds", 1, issues).unwrap_or(0),
        package_price: keys.parsed("package_price", money, issues, decimal).unwrap_or_default(),
    };
    if let Some(rule) = crate::interval_price::fault(&price) {
        issues.push(keys.issue("model", rule, "see docs/balances.md"));
        return None;
    }
    Some(price)
}

/// Ten years of months.
const INTERVAL_COUNT_MAX: u32 = 120;
