//! Which fee prices a call. Only the zone is looked at, which names the fee.

use super::{Files, PLAIN, check, check_zones};

const AT: &str = "2026-03-02T12:00:00+01:00 60";

/// One call for each destination, which may carry keys.
#[track_caller]
fn zones(files: Files<'_>, cases: &[(&str, &str, &str)]) {
    for (name, call, zone) in cases {
        check_zones(files, &[(name, &[&format!("{AT} {call}")], &[zone])]);
    }
}

#[test]
fn longest_prefix() {
    let files = Files {
        fees: "43 1 1 1/1\n4366 1 1 1/1\n4366 1 1 1/1 source=43660 zone=own_network\n- 1 1 1/1 zone=world\n\
            49 1 1 1/1 source=43 zone=from_austria\n43 0.5 0.5 1/1 direction=in zone=incoming\nalice@ 1 1 1/1 zone=alice",
        ..PLAIN
    };
    zones(
        files,
        &[
            ("longest_destination", "43664 from=1", "4366"),
            ("shorter_destination", "4317 from=1", "43"),
            ("then_longest_source", "43664 from=43660555", "own_network"),
            ("empty_prefix_is_any_number", "8613800 from=1", "world"),
            // 49 has no fee for this caller: the next shorter destination, here the empty one.
            ("no_source_fits_the_longest_destination", "4930 from=1", "world"),
            ("source_decides_at_the_longest_destination", "4930 from=43", "from_austria"),
            ("incoming_fees_are_apart", "43664 from=1 dir=in", "incoming"),
            // An incoming call that no fee covers costs nothing and has no zone.
            ("missing_incoming_fee", "4930 dir=in", ""),
            ("anonymous_caller_takes_a_fee_for_any_source", "43664 from=anonymous@anonymous.invalid", "4366"),
            ("caller_without_a_number", "43664 from=", "4366"),
            ("user_of_a_domain", "alice@example.org", "alice"),
            ("number_with_a_domain_is_a_number", "43664@example.org from=1", "4366"),
        ],
    );
    let files = Files { fees: "43 1 1 1/1", ..PLAIN };
    check(files, &[("missing_outgoing_fee", &["2026-03-02T12:00:00+01:00 60 4930"], &["no_rate"])]);
    check(
        files,
        &[("missing_incoming_fee_costs_0", &["2026-03-02T12:00:00+01:00 60 4930 dir=in"], &["0 0+0"])],
    );
}

#[test]
fn fee_in_force_at_the_start() {
    let files = Files {
        fees: "49 1 1 1/1 zone=old valid_to=2026-07-01T00:00:00+02:00\n49 1 1 1/1 zone=new valid_from=2026-07-01T00:00:00+02:00\n\
            43 1 1 1/1 zone=short\n4366 1 1 1/1 zone=over valid_to=2026-02-01T00:00:00+01:00\n44 1 1 1/1 valid_from=2027-01-01T00:00:00Z",
        ..PLAIN
    };
    check_zones(
        files,
        &[
            ("last_second_of_the_old_fee", &["2026-06-30T23:59:59.999999+02:00 60 4930"], &["old"]),
            // valid_from is included, valid_to is not.
            ("first_second_of_the_new_fee", &["2026-07-01T00:00:00+02:00 60 4930"], &["new"]),
            ("fee_that_is_over_leaves_the_shorter_one", &["2026-03-02T12:00:00+01:00 60 43664"], &["short"]),
            ("fee_was_in_force_then", &["2026-01-31T23:59:59+01:00 60 43664"], &["over"]),
            ("only_fee_is_not_in_force_yet", &["2026-03-02T12:00:00+01:00 60 44"], &["no_rate"]),
        ],
    );
}

const MODES: &str = "4366 1 1 1/1 match_mode=exact_destination zone=exact\n436 1 1 1/1 match_mode=prefix zone=prefix\n\
    ^43 1 1 1/1 match_mode=regex_longest_match zone=match_start\n3$ 1 1 1/1 match_mode=regex_longest_match zone=match_end\n\
    ^4.* 1 1 1/1 match_mode=regex_longest_match zone=match_all source=^1\n\
    ^49 1 1 1/1 zone=pattern\n^49[0-9]+$ 1 1 1/1 zone=long_pattern source=^43\n. 1 1 1/1 zone=catch_all";

#[test]
fn reference_asks_mode_after_mode() {
    let files = Files { profile: "fee_match = \"reference\"", fees: MODES, ..PLAIN };
    zones(
        files,
        &[
            ("exact_goes_before_all", "4366 from=1", "exact"),
            // 43660 is not 4366: the prefix 436.
            ("prefix_goes_before_patterns", "43660 from=1", "prefix"),
            // Neither exact nor prefix: `^43` matches two characters, `^4.*` would match all, but wants a caller from 1.
            ("longest_match_of_those_whose_source_fits", "4317 from=43", "match_start"),
            ("longest_matched_text_wins", "4317 from=1", "match_all"),
            // `3$` matches one character; no other pattern of the mode matches.
            ("match_anywhere", "8613", "match_end"),
            // No longest_match pattern: `^49[0-9]+$` is the longest pattern text.
            ("longest_pattern_text_wins", "4930 from=43", "long_pattern"),
            ("pattern_whose_source_does_not_fit", "4930 from=2", "pattern"),
            ("catch_all_is_the_shortest", "8614", "catch_all"),
            // `.` as a source needs a character, and so does the destination.
            ("caller_without_a_number_matches_no_dot", "8614 from=", "no_rate"),
            ("anonymous_caller", "8614 from=anonymous", "catch_all"),
        ],
    );
}

#[test]
fn reference_looks_with_the_domain_first() {
    let fees = "^4930555$ 1 1 1/1 zone=bare_exact\n^4930.*@partner\\.example$ 1 1 1/1 zone=partner\n\
        4311@home.example 1 1 1/1 match_mode=exact_destination zone=exact_with_domain\n\
        4311 1 1 1/1 match_mode=exact_destination zone=exact_bare\n43 1 1 1/1 match_mode=prefix zone=prefix";
    let files = Files { profile: "fee_match = \"reference\"", fees, ..PLAIN };
    zones(
        files,
        &[
            ("domain_round_finds_the_domain", "4930555@partner.example", "partner"),
            // Nothing matches with this domain; without it `^4930555$` does.
            ("bare_round_finds_the_rest", "4930555@other.example", "bare_exact"),
            ("exact_with_its_domain", "4311@home.example", "exact_with_domain"),
            // With the domain the prefix 43 matches already, so the exact fee of the bare number is never asked.
            ("domain_round_hides_the_bare_exact_fee", "4311@other.example", "prefix"),
            ("without_a_domain_exact_is_exact", "4311", "exact_bare"),
            ("case_does_not_matter", "4930555@PARTNER.example", "partner"),
        ],
    );
    // A catch-all of the domain round hides what only the bare number would match.
    let fees = "^4930555$ 1 1 1/1 zone=anchored\n.* 1 1 1/1 zone=catch_all";
    let files = Files { profile: "fee_match = \"reference\"", fees, ..PLAIN };
    zones(
        files,
        &[
            ("catch_all_hides_an_anchored_fee", "4930555@home.example", "catch_all"),
            ("but_not_without_a_domain", "4930555", "anchored"),
        ],
    );
}

#[test]
fn reference_details() {
    let fees = "43 1 1 1/1 match_mode=prefix source=. zone=never\n43 1 1 1/1 match_mode=prefix source=4366 zone=prefix_source\n\
        4 1 1 1/1 match_mode=prefix zone=shorter\n44 1 1 1/1 match_mode=exact_destination source=999 zone=exact_any_source\n\
        ^(?!4930)49 1 1 1/1 zone=look_around\n^49 1 1 1/1 zone=rest_of_49 source=^4\n^86 1 1 1/1 zone=first source=^1\n^8. 1 1 1/1 zone=second source=^11\n\
        ^7 1 1 1/1 zone=old valid_to=2026-01-01T00:00:00Z\n. 1 1 1/1 zone=fallback match_mode=regex_longest_pattern source=^4";
    let files = Files { profile: "fee_match = \"reference\"", fees, ..PLAIN };
    zones(
        files,
        &[
            // A dot is no beginning of a number.
            ("prefix_fee_with_a_dot_as_source", "4311 from=1", "shorter"),
            ("prefix_source", "4311 from=43660", "prefix_source"),
            ("exact_ignores_the_source", "44 from=1", "exact_any_source"),
            // 4 is a prefix of 49 too, and prefixes go first.
            ("prefix_before_any_pattern", "4912 from=4", "shorter"),
            // Equally long patterns: the longer source pattern wins.
            ("of_equal_destinations_the_longer_source", "8613 from=11", "second"),
            ("its_source_does_not_match", "8613 from=12", "first"),
            // The fee that matches is over; the next best is taken.
            ("fee_out_of_force_is_passed_over", "7123 from=43", "fallback"),
        ],
    );
    let fees = "^(?!4930)49 1 1 1/1 zone=look_around\n^49 1 1 1/1 zone=rest\n^(43)(6)\\2 1 1 1/1 zone=back_reference\n^43 1 1 1/1 zone=austria";
    let files = Files { profile: "fee_match = \"reference\"", fees, ..PLAIN };
    zones(
        files,
        &[
            ("look_around", "4912", "look_around"),
            ("look_around_that_fails", "4930", "rest"),
            ("back_reference", "43660", "back_reference"),
            ("back_reference_that_fails", "43650", "austria"),
        ],
    );
}
