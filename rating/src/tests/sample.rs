//! The tariffs of the sample world: they load, price real numbers, and nobody sells below cost.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use expect_test::expect;
use model::{Direction, Fee, TariffVersion};

use super::priced;
use crate::workbench::{TariffIds, read_tariff};

fn sample(name: &str) -> TariffVersion {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tollbook/sample/tariffs").join(name);
    read_tariff(&dir, TariffIds::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

const ALL: [&str; 4] = ["carrier-a", "carrier-b", "reseller", "retail"];

#[test]
fn calls_to_the_world_have_plausible_prices_at_every_level() {
    let tariffs = ALL.map(sample);
    let mut picture = format!("{:<16}{:<24}", "", "");
    for name in ALL {
        write!(picture, "{name:>12}").unwrap();
    }
    // Monday noon, two minutes and ten seconds.
    for destination in [
        "4312345678",
        "43664123456",
        "4930555123",
        "4915112345678",
        "447700900123",
        "12125550123",
        "14165550123",
        "18765550123",
        "13055550123",
        "5351234567",
        "37190123456",
        "25261234567",
        "88213123456",
        "881612345678",
        "43900123456",
        "6757012345",
        "43800123456",
    ] {
        let charges = tariffs
            .each_ref()
            .map(|tariff| priced(tariff, &format!("2026-10-05T12:00:00+02:00 130 {destination}")).unwrap());
        let zone = format!("{} {}", charges[3].zone, charges[3].zone_detail);
        write!(picture, "\n{destination:<16}{zone:<24}").unwrap();
        for charge in charges {
            write!(picture, "{:>12}", charge.cost.to_string()).unwrap();
        }
    }
    expect![[r#"
                                                   carrier-a   carrier-b    reseller      retail
        4312345678      Austria fixed               0.010833    0.012567    0.018417      0.0477
        43664123456     Austria mobile                0.0195    0.022533    0.030333       0.065
        4930555123      Germany fixed               0.010833    0.012567    0.018417       0.066
        4915112345678   Germany mobile              0.023833    0.027517      0.0364       0.105
        447700900123    United Kingdom mobile       0.028167      0.0325     0.04225       0.117
        12125550123     United States fixed         0.012133    0.010833    0.017983      0.0462
        14165550123     Canada fixed                0.012133    0.010833    0.017983      0.0462
        18765550123     Jamaica fixed                 0.4368        0.39    0.527583       1.158
        13055550123     United States fixed         0.012133    0.010833    0.017983      0.0462
        5351234567      Cuba mobile                 1.577333    1.408333     1.92522       4.095
        37190123456     Latvia premium              2.936267    2.621667     3.58116       7.696
        25261234567     Somalia mobile              1.504533    1.343333     1.83656       3.906
        88213123456     EMSAT satellite             7.522667    6.716667     9.16938      19.507
        881612345678    Iridium satellite           9.342667    8.341667    11.38698      24.193
        43900123456     Austria premium             2.232533    1.993333      2.7236       5.881
        6757012345      Papua New Guinea mobile     2.062667    1.841667     2.51658       5.346
        43800123456     Austria freephone                  0           0           0           0"#]]
    .assert_eq(&picture);
}

#[test]
fn no_fee_is_sold_below_cost_and_every_level_has_the_same_prefixes() {
    let [carrier_a, carrier_b, reseller, retail] = ALL.map(sample);
    let outgoing = |version: &TariffVersion| -> BTreeMap<String, Fee> {
        let fees = version.fees.iter().filter(|fee| fee.direction == Direction::Out);
        fees.map(|fee| (fee.destination.clone(), fee.clone())).collect()
    };
    let (reseller, retail) = (outgoing(&reseller), outgoing(&retail));
    for carrier in [carrier_a, carrier_b] {
        let carrier = outgoing(&carrier);
        assert!(carrier.keys().eq(reseller.keys()) && reseller.keys().eq(retail.keys()));
        for (prefix, cost) in &carrier {
            let (resold, sold) = (&reseller[prefix], &retail[prefix]);
            let is_free = cost.zone_detail == "freephone";
            assert!(is_free || cost.onpeak_follow.price < resold.onpeak_follow.price, "{prefix}");
            assert!(is_free || resold.onpeak_follow.price < sold.offpeak_follow.price, "{prefix}");
            assert!(sold.offpeak_follow.price <= sold.onpeak_follow.price, "{prefix}");
            assert_eq!(cost.onpeak_follow.interval_seconds, 1, "{prefix}");
        }
    }
}

#[test]
fn retail_covers_the_world() {
    let retail = sample("retail");
    let details: BTreeSet<&str> = retail.fees.iter().map(|fee| fee.zone_detail.as_str()).collect();
    assert_eq!(
        details.into_iter().collect::<Vec<_>>(),
        ["fixed", "freephone", "mobile", "premium", "satellite"]
    );
    let zones: BTreeSet<&str> = retail.fees.iter().map(|fee| fee.zone.as_str()).collect();
    assert!(zones.len() >= 200, "{} zones", zones.len());
    assert!(retail.fees.len() >= 220, "{} fees", retail.fees.len());
}
