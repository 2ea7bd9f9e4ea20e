//! The evidence of a charge as text: what `tollbook explain` and `tollbook rate --explain` print.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use model::{AccountId, Charge, Conversion, Fragment, Piece};
use rust_decimal::Decimal;

/// One line for the fee, one for each piece in the time of `zone`, one for the result.
///
/// ```text
/// customer out, account 7: profile retail version 1, fee 3 for 49, zone Germany fixed
///   2026-03-02 17:59:30 CET     60 s  onpeak   first 60 s   0.06 per 60 s  0.06
///   2026-03-02 18:00:30 CET     30 s  offpeak  then 1 s     0.03 per 60 s  0.015
///   90 s billed (60 onpeak, 30 offpeak): 0.075 EUR, half_up 6
/// ```
///
/// Of a call that is cut at peak borders each fragment has a line above its pieces.
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
    let mut fragments = charge.fragments.iter().zip(1..).peekable();
    for piece in &charge.pieces {
        while let Some((fragment, number)) = fragments.next_if(|(fragment, _)| fragment.start <= piece.start)
        {
            put_fragment(&mut text, charge, fragment, number, zone);
        }
        put_piece(&mut text, piece, zone);
    }
    for (fragment, number) in fragments {
        put_fragment(&mut text, charge, fragment, number, zone);
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

fn put_piece(text: &mut String, piece: &Piece, zone: Tz) {
    let start = local(piece.start, zone);
    let seconds = format!("{} s", piece.seconds);
    let interval = format!("{} {} s", if piece.is_init { "first" } else { "then" }, piece.interval_seconds);
    put(
        text,
        format_args!(
            "  {start}  {seconds:>7}  {:<7}  {interval:<11}  {} per {} s  {}\n",
            piece.peak.as_str(),
            piece.rate.normalize(),
            piece.per_seconds,
            piece.price.normalize(),
        ),
    );
}

/// The line of a fragment, above its pieces.
fn put_fragment(text: &mut String, charge: &Charge, fragment: &Fragment, number: usize, zone: Tz) {
    let Fragment { start, duration_us, free_seconds, free_cash, cost, billed_seconds, .. } = fragment;
    let seconds = Decimal::from_i128_with_scale(i128::from(*duration_us), 6).normalize();
    put(
        text,
        format_args!(
            "  fragment {number} from {}, {seconds} s, {billed_seconds} s billed",
            local(*start, zone)
        ),
    );
    if *free_seconds > 0 {
        put(text, format_args!(", {free_seconds} s of free time"));
    }
    if !free_cash.is_zero() {
        put(text, format_args!(", {free_cash} from free cash or balance"));
    }
    put(text, format_args!(": {cost} {}\n", charge.currency));
}

fn local(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S%.f %Z").to_string()
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a string cannot fail");
}
