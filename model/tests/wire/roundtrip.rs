//! Every record comes back as it was, and no bytes make the decoder panic.

use model::wire::WireError;
use model::wire::view::{ChargeView, RatedView};
use model::{Body, Charge, Provider, RatedCdr, Record, wire};
use proptest::prelude::*;

use crate::{any, samples};

/// Equality of decimals ignores trailing zeros; their text does not.
fn exactly(record: &Record) -> String {
    format!("{record:#?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn record_comes_back_from_the_wire_digit_for_digit(record in any::record()) {
        let bytes = wire::encode(&record);
        let back = wire::decode(&bytes).unwrap();
        prop_assert_eq!(exactly(&back), exactly(&record));
        prop_assert_eq!(&back, &record);
        prop_assert_eq!(wire::encode(&back), bytes);
    }

    #[test]
    fn rated_call_comes_back_by_itself(rated in any::rated()) {
        prop_assert_eq!(wire::decode_rated(&wire::encode_rated(&rated)), Ok(rated));
    }

    #[test]
    fn call_read_where_it_lies_is_the_call_read_in_full(rated in any::rated()) {
        let bytes = wire::encode_rated(&rated);
        let mut view = RatedView::default();
        // Twice, over what another call has left.
        let other = wire::encode_rated(&samples::rated());
        view.read(&other, |_, _, _| true).unwrap();
        view.read(&bytes, |_, _, _| true).unwrap();
        prop_assert_eq!(&view, &RatedView::of(&rated));
        for (charge, full) in view.charges.iter().zip(&rated.charges) {
            prop_assert_eq!(charge.cost.mantissa(), full.cost.mantissa());
            prop_assert_eq!(charge.cost.scale(), full.cost.scale());
            prop_assert_eq!(charge.cost.negated().mantissa(), -full.cost.mantissa());
        }
        // Longer ones end beyond the calendar.
        if rated.cdr.duration_us < 1_000_000_000_000_000 {
            prop_assert_eq!(view.end_at_us(), rated.cdr.end_at().timestamp_micros());
        }
        prop_assert_eq!(view.is_answered(), rated.cdr.is_answered());
        view.read(&bytes, |provider, _, _| provider == Provider::Customer).unwrap();
        let is_shown = |charge: &&Charge| charge.provider == Provider::Customer;
        let wanted: Vec<_> = rated.charges.iter().filter(is_shown).map(ChargeView::of).collect();
        prop_assert_eq!(view.charges, wanted);
    }

    /// Of bytes that are no call both say the same; what is skipped may be broken.
    #[test]
    fn call_with_wrong_bytes_is_no_view_where_it_is_no_call(
        wrong in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let mut bytes = wire::encode_rated(&samples::rated());
        for (at, byte) in wrong {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let mut view = RatedView::default();
        match (view.read(&bytes, |_, _, _| true), wire::decode_rated(&bytes)) {
            (Ok(()), Ok(rated)) => prop_assert_eq!(view, RatedView::of(&rated)),
            (Err(why), Err(same)) => prop_assert_eq!(why, same),
            (Ok(()) | Err(WireError::Malformed { .. }), _) => {}
            (Err(why), Ok(_)) => prop_assert!(false, "{why}"),
        }
    }

    #[test]
    fn record_comes_back_from_json(record in any::record()) {
        let text = serde_json::to_string(&record).unwrap();
        let back: Record = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(exactly(&back), exactly(&record));
        prop_assert_eq!(back, record);
    }

    #[test]
    fn any_decimal_keeps_its_digits_and_scale(value in any::decimal()) {
        let mut rated = samples::rated();
        rated.charges[0].cost = value;
        let back: RatedCdr = wire::decode_rated(&wire::encode_rated(&rated)).unwrap();
        prop_assert_eq!(back.charges[0].cost.to_string(), value.to_string());
    }

    #[test]
    fn garbage_is_an_error_or_a_record_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = wire::decode(&bytes);
        let _ = wire::decode_rated(&bytes);
    }

    /// Random bytes seldom get far; a real record with a few wrong ones does.
    #[test]
    fn record_with_wrong_bytes_is_an_error_or_a_record(
        sample in 0..samples::all().len(),
        wrong in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let mut bytes = wire::encode(&samples::all()[sample].1);
        for (idx, byte) in wrong {
            let idx = idx.index(bytes.len());
            bytes[idx] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(record) = wire::decode(&bytes) {
            prop_assert_eq!(wire::decode(&wire::encode(&record)), Ok(record));
        }
    }
}

#[test]
fn record_cut_anywhere_does_not_panic() {
    let bytes = wire::encode(&Record { origin: None, body: Body::Rated(Box::new(samples::rated())) });
    for end in 0..bytes.len() {
        let _ = wire::decode(&bytes[..end]);
    }
}

#[test]
fn record_of_an_absurd_length_has_an_end_all_the_same() {
    for duration_us in [u64::MAX, u64::MAX / 2, 8_300_000_000_000_000_000] {
        let cdr = model::Cdr { duration_us, ..samples::cdr() };
        assert_eq!(cdr.end_at().to_rfc3339(), "9999-12-31T23:59:59+00:00");
    }
}
