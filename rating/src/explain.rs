//! The evidence of a charge as text: what `tollbook explain` and `tollbook rate --explain` print.

use std::fmt::Write as _;

use chrono_tz::Tz;
use model::{AccountId, Charge, Conversion};

/// One line for the fee, one for each piece in the time of `zone`, one for the result.
///
/// ```text
/// customer out, account 7: profile retail version 1, fee 3 for 49, zone Germany fixed
///   2026-03-02 17:59:30 CET     60 s  onpeak   first 60 s   0.06 per 60 s  0.06
///   2026-03-02 18:00:30 CET     30 s  offpeak  then 1 s     0.03 per 60 s  0.015
///   90 s billed (60 onpeak, 30 offpeak): 0.075 EUR, half_up 6
/// ```
pub fn explain(charge: &Charge, zone: Tz) -> String {
    let mut text = format!("{} {}", charge.provider, charge.direction);
    // A call of the workbench has an account in its file only.
    if charge.account != AccountId::NOBODY {
        put(&mut text, format_args!(", account {}", charge.account));
    }
    put(&mut text, format_args!(": profile {} version {}, ", charge.profile, charge.version));
    match charge.fee {
        Some(fee) => {
            let matched = if charge.matched.is_empty() { "any number" } else { &charge.matched };
            put(&mut text, format_args!("fee {fee} for {matched}, zone {}", charge.zone));
            if !charge.zone_detail.is_empty() {
                put(&mut text, format_args!(" {}", charge.zone_detail));
            }
            text.push('\n');
        }
        None => text.push_str("no incoming fee, so it costs nothing\n"),
    }
    for piece in &charge.pieces {
        let start = piece.start.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S%.f %Z").to_string();
        let seconds = format!("{} s", piece.seconds);
        let interval =
            format!("{} {} s", if piece.is_init { "first" } else { "then" }, piece.interval_seconds);
        put(
            &mut text,
            format_args!(
                "  {start}  {seconds:>7}  {:<7}  {interval:<11}  {} per {} s  {}\n",
                piece.peak.as_str(),
                piece.rate.normalize(),
                piece.per_seconds,
                piece.price.normalize(),
            ),
        );
    }
    if charge.free_seconds > 0 {
        put(&mut text, format_args!("  {} s of free time\n", charge.free_seconds));
    }
    if !charge.flat.is_zero() {
        put(&mut text, format_args!("  flat amounts and bounds  {}\n", charge.flat));
    }
    if !charge.free_cash.is_zero() {
        put(&mut text, format_args!("  paid from free cash or balance  {}\n", charge.free_cash));
    }
    put(
        &mut text,
        format_args!(
            "  {} s billed ({} onpeak, {} offpeak): {} {}, {}\n",
            charge.billed_seconds,
            charge.onpeak_seconds,
            charge.offpeak_seconds,
            charge.conversion.as_ref().map_or(charge.cost, |conversion| conversion.amount),
            charge.conversion.as_ref().map_or(charge.currency, |conversion| conversion.from),
            charge.rounding,
        ),
    );
    if let Some(Conversion { from, amount, rate, rate_from }) = &charge.conversion {
        let since = rate_from.format("%Y-%m-%d %H:%M:%S UTC");
        let Charge { cost, currency, .. } = charge;
        put(
            &mut text,
            format_args!("  {amount} {from} at {rate}, the rate since {since}: {cost} {currency}\n"),
        );
    }
    text
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a string cannot fail");
}
