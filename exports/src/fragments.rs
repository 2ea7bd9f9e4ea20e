//! The fragments of a call as records of their own, as the reference has them (billing-reference 4.1 and 2.1).
//!
//! In: a rated call, and who reads of it. Out: for each fragment the call with that fragment's start, length and prices. Where a call is cut is rating's
//! affair.

use std::borrow::Cow;

use model::{CdrId, Charge, Fragment, Peak, Provider, RatedCdr};
use rust_decimal::Decimal;

use crate::Owner;
use crate::fact::is_shown;

/// Which fragment of a call a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counted from 1.
    pub(crate) number: u32,
    /// Record of the one before.
    pub(crate) previous: Option<CdrId>,
    /// State at its start, by the tariffs that its reader may see and that cut the call.
    peaks: Vec<(Provider, Peak)>,
}

impl Place {
    /// By the tariff of this level; of two sides that of the caller's.
    pub(crate) fn peak_of(&self, provider: Provider) -> Option<Peak> {
        self.peaks.iter().find(|(of, _)| *of == provider).map(|(_, peak)| *peak)
    }
}

/// The records of a call for one reader. A tariff whose price he may not see cuts nothing for him; what a tariff that does not cut comes to is
/// in the first record, so that the records add up to the call.
pub(crate) fn fragments_of(rated: &RatedCdr, viewer: Owner) -> Vec<(Cow<'_, RatedCdr>, Option<Place>)> {
    let is_cutting =
        |charge: &&Charge| !charge.fragments.is_empty() && is_shown(charge.provider, charge.account, viewer);
    let Some(cut) = rated.charges.iter().find(is_cutting) else {
        return vec![(Cow::Borrowed(rated), None)];
    };
    // A record shows no workings, so they are not copied for each.
    let bare = |charge: &Charge| Charge { pieces: Vec::new(), fragments: Vec::new(), ..charge.clone() };
    let bare: Vec<Charge> = rated.charges.iter().map(bare).collect();
    let parts = (1..).zip(&cut.fragments).map(|(number, of_cut)| {
        let idx = number as usize - 1;
        let cdr = model::Cdr {
            id: rated.cdr.id.of_fragment(number),
            start_at: of_cut.start,
            duration_us: of_cut.duration_us,
            ..rated.cdr.clone()
        };
        let charges =
            rated.charges.iter().zip(&bare).map(|(charge, bare)| part_of(charge, bare, idx)).collect();
        let peaks = rated
            .charges
            .iter()
            .filter(is_cutting)
            .filter_map(|charge| Some((charge.provider, charge.fragments.get(idx)?.peak)));
        let place = Place {
            number,
            previous: number
                .checked_sub(1)
                .filter(|before| *before > 0)
                .map(|before| rated.cdr.id.of_fragment(before)),
            peaks: peaks.collect(),
        };
        (Cow::Owned(RatedCdr { cdr, charges }), Some(place))
    });
    parts.collect()
}

/// What of a charge is in the record of a fragment.
fn part_of(charge: &Charge, bare: &Charge, idx: usize) -> Charge {
    let whole = bare.clone();
    match charge.fragments.get(idx) {
        Some(Fragment {
            cost,
            free_seconds,
            free_cash,
            billed_seconds,
            onpeak_seconds,
            offpeak_seconds,
            ..
        }) => Charge {
            cost: *cost,
            free_seconds: *free_seconds,
            free_cash: *free_cash,
            billed_seconds: *billed_seconds,
            onpeak_seconds: *onpeak_seconds,
            offpeak_seconds: *offpeak_seconds,
            ..whole
        },
        None if idx == 0 => whole,
        None => Charge {
            cost: Decimal::ZERO,
            free_seconds: 0,
            free_cash: Decimal::ZERO,
            billed_seconds: 0,
            onpeak_seconds: 0,
            offpeak_seconds: 0,
            ..whole
        },
    }
}
