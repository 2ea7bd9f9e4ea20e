//! Ported numbers (billing-reference 3.4): the fee for the carrier that serves the number, else that for its type, before all others. A zone
//! is named like its fee's destination.

use super::{Files, PLAIN, check_zones};

const FEES: &str = "49 0.02 0.02 60/60\n4930555123 0.01 0.01 60/60\nlnp:7 0.60 0.60 60/60\nlnpnumbertype:mobile 0.30 0.30 60/60";

/// The last three: from Monday noon in London on, until then, and both within one range.
const PORTED: &str = "4930555123,7,,,\n4930555124,8,mobile,,\n4930555125,8,fixed,,\n4930555126,7,mobile,,\n4930777,7,,,\n49307779,8,mobile,,\n\
    4930888,7,,2026-03-02T12:00:00Z,\n4930999,7,,,2026-03-02T12:00:00Z";

const CASES: &[super::Case<'static>] = &[
    ("ported_number_costs_what_its_carrier_does", &["2026-03-02T12:00:00Z 60 4930555123"], &["lnp:7"]),
    ("neighbour_of_a_ported_number", &["2026-03-02T12:00:00Z 60 4930555122"], &["49"]),
    // There is no fee for carrier 8, but one for mobile numbers.
    (
        "carrier_without_a_fee_goes_by_the_type",
        &["2026-03-02T12:00:00Z 60 4930555124"],
        &["lnpnumbertype:mobile"],
    ),
    ("carrier_and_type_without_a_fee_go_by_the_number", &["2026-03-02T12:00:00Z 60 4930555125"], &["49"]),
    ("carrier_before_type", &["2026-03-02T12:00:00Z 60 4930555126"], &["lnp:7"]),
    ("range_of_ported_numbers", &["2026-03-02T12:00:00Z 60 4930777001"], &["lnp:7"]),
    // 49307779 is longer than 4930777.
    ("longest_entry_holds", &["2026-03-02T12:00:00Z 60 49307779001"], &["lnpnumbertype:mobile"]),
    ("entry_that_begins_later", &["2026-03-02T11:59:59.999999Z 60 4930888001"], &["49"]),
    ("entry_begins_with_its_instant", &["2026-03-02T12:00:00Z 60 4930888001"], &["lnp:7"]),
    ("entry_holds_to_its_last_moment", &["2026-03-02T11:59:59.999999Z 60 4930999001"], &["lnp:7"]),
    ("entry_is_over_at_its_end", &["2026-03-02T12:00:00Z 60 4930999001"], &["49"]),
    // The start decides for all of the call.
    ("ported_during_the_call", &["2026-03-02T11:59:30Z 60 4930888001"], &["49"]),
];

#[test]
fn ported_number_costs_what_its_carrier_or_type_does() {
    check_zones(Files { fees: FEES, ported: PORTED, ..PLAIN }, CASES);
}

#[test]
fn references_order_looks_at_ported_numbers_first_too() {
    // An exact destination is the first of its modes, and comes after the carrier all the same.
    let fees =
        FEES.replace("4930555123 0.01 0.01 60/60", "4930555123 0.01 0.01 60/60 match_mode=exact_destination");
    let fees = fees.replace("49 0.02 0.02 60/60", "49 0.02 0.02 60/60 match_mode=prefix");
    let profile = "fee_match = \"reference\"";
    check_zones(Files { profile, fees: &fees, ported: PORTED, ..PLAIN }, CASES);
    let nobody_ported = Files { profile, fees: &fees, ..PLAIN };
    check_zones(
        nobody_ported,
        &[("exact_number_that_is_not_ported", &["2026-03-02T12:00:00Z 60 4930555123"], &["4930555123"])],
    );
}
