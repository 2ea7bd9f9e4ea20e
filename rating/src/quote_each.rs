//! The prices of many calls: what [`crate::quote`] says of each, in a fraction of the time.
//!
//! In: calls and tariffs. Out: quotes, in their order. A call waits for memory once for each step to its fee, and what it looks up next depends on what it
//! found. So sixteen calls take each step beside each other: while one waits, the others have theirs.

use crate::error::RatingError;
use crate::fee_leaves::{Leafed, Way};
use crate::price::{CallToPrice, Quote, quote, quote_by, start_of};
use crate::tariff::{Match, Tariff};

/// Calls that take a step beside each other: as many as a core has memory to wait for.
const BESIDE: usize = 16;

/// Prices of one call.
const FEW: usize = 2;

/// Prices each of `asked` by its tariff, without free time and workings, and tells its place and price in their order.
///
/// # Errors
///
/// For each call, as [`quote`].
pub fn quote_each<'t>(
    asked: &[(&'t Tariff, CallToPrice<'_>)],
    each: impl FnMut(usize, Result<Quote<'t>, RatingError>),
) {
    // What is kept of steps has to be made first, which for the two prices of one call takes longer than to look them up.
    if asked.len() <= FEW { in_blocks::<FEW>(asked, each) } else { in_blocks::<BESIDE>(asked, each) }
}

#[inline(always)]
fn in_blocks<'t, const N: usize>(
    asked: &[(&'t Tariff, CallToPrice<'_>)],
    mut each: impl FnMut(usize, Result<Quote<'t>, RatingError>),
) {
    for (block, first) in asked.chunks(N).zip((0..).step_by(N)) {
        let mut ways = [Way::NOWHERE; N];
        for (way, (tariff, call)) in ways.iter_mut().zip(block) {
            if let Some((leaves, ranges)) = tariff.leaves(call.direction, call.ported) {
                *way = leaves.way_to(ranges, call.destination.as_bytes());
            }
        }
        let mut places = [usize::MAX; N];
        for ((place, way), (tariff, call)) in places.iter_mut().zip(&ways).zip(block) {
            if let Some((leaves, _)) = tariff.leaves(call.direction, call.ported) {
                *place = leaves.leaf_on(way);
            }
        }
        let mut leafed = [Leafed::Elsewhere; N];
        for ((leafed, (way, place)), (tariff, call)) in
            leafed.iter_mut().zip(ways.iter().zip(places)).zip(block)
        {
            if let Some((leaves, _)) = tariff.leaves(call.direction, call.ported) {
                *leafed = leaves.read(way, place);
            }
        }
        let mut found: [Option<(i64, Match<'t>)>; N] = [None; N];
        for ((found, leafed), (tariff, call)) in found.iter_mut().zip(leafed).zip(block) {
            if let (Leafed::Fee(entry), Ok(start)) = (leafed, start_of(call)) {
                *found = tariff.entry_in_force(entry, start).map(|found| (start, found));
            }
        }
        for ((found, (tariff, call)), place) in found.iter().zip(block).zip(first..) {
            // What the leaves do not know is looked up by itself.
            let quoted = match found {
                Some((start, found)) => quote_by(tariff, call, *start, found),
                None => quote(tariff, call),
            };
            each(place, quoted);
        }
    }
}
