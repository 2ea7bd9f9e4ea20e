use chrono_tz::Europe;
use expect_test::{Expect, expect};
use model::{
    AccountId, AccountKind, AccountStatus, Address, Contact, Direction, FraudPolicy, ProfileVersionId,
    Provider, TenantId,
};
use proptest::prelude::*;

use super::*;
use crate::Totals;

fn tenant() -> Tenant {
    Tenant {
        id: TenantId(1),
        handle: "nordtel".to_owned(),
        contact: contact("Nordtel GmbH"),
        currency: Currency::EUR,
        timezone: Europe::Vienna,
    }
}

fn account(vat_percent: &str) -> Account {
    Account {
        id: AccountId(7),
        tenant: TenantId(1),
        kind: AccountKind::Customer,
        handle: "acme".to_owned(),
        reseller: None,
        status: AccountStatus::Active,
        currency: Currency::EUR,
        timezone: Europe::Vienna,
        contact: contact("Acme AG"),
        vat_percent: decimal(vat_percent),
        calls_max: None,
        fraud: FraudPolicy::default(),
        profiles: Vec::new(),
    }
}

fn contact(name: &str) -> Contact {
    Contact { name: name.to_owned(), address: Address::default(), ..Contact::default() }
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn fee(text: &str) -> RecurringFee {
    let (name, amount) = text.split_once(' ').unwrap();
    RecurringFee { name: name.to_owned(), amount: Money::new(decimal(amount), Currency::EUR) }
}

/// `zone detail calls seconds cost`
fn usage(text: &str) -> UsageLine {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [zone, zone_detail, calls, seconds, cost] = words[..] else { panic!("five words, not {text:?}") };
    UsageLine {
        zone: zone.to_owned(),
        zone_detail: zone_detail.to_owned(),
        calls: calls.parse().unwrap(),
        billed_seconds: seconds.parse().unwrap(),
        cost: decimal(cost),
    }
}

fn charge(zone: &str, cost: &str, currency: Currency) -> Charge {
    Charge {
        provider: Provider::Customer,
        direction: Direction::Out,
        account: AccountId(7),
        version: ProfileVersionId(1),
        profile: "standard".to_owned(),
        fee: None,
        matched: String::new(),
        zone: zone.to_owned(),
        zone_detail: "mobile".to_owned(),
        currency,
        cost: decimal(cost),
        free_seconds: 0,
        free_cash: Decimal::ZERO,
        billed_seconds: 60,
        onpeak_seconds: 60,
        offpeak_seconds: 0,
        flat: Decimal::ZERO,
        rounding: "half_up 6".to_owned(),
        pieces: Vec::new(),
    }
}

fn october() -> Period {
    Period::month("2026-10", Europe::Vienna).unwrap()
}

fn issue_date() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 1).unwrap()
}

fn invoice(account: &Account, fees: &[&str], calls: &[&str]) -> Result<Invoice, InvoicingError> {
    let fees = fees.iter().map(|text| fee(text)).collect();
    let calls = calls.iter().map(|text| usage(text)).collect();
    assemble(&tenant(), account, october(), fees, calls, issue_date())
}

#[track_caller]
fn check(account: &Account, fees: &[&str], calls: &[&str], expected: Expect) {
    let invoice = invoice(account, fees, calls).unwrap();
    invoice.check().unwrap();
    let mut picture = String::new();
    for line in &invoice.lines {
        let text = match &line.item {
            LineItem::Recurring { name, quantity } => format!("{quantity} x {name}"),
            LineItem::Usage { zone, zone_detail, calls, billed_seconds } => {
                format!("{calls} calls to {zone} {zone_detail}, {billed_seconds} s")
            }
        };
        picture += &format!("{text:<36} {:>12}\n", line.net.to_string());
    }
    for rate in &invoice.vat {
        picture +=
            &format!("VAT {} % on {:<25} {:>12}\n", rate.percent, rate.net.to_string(), rate.vat.to_string());
    }
    let Totals { net, vat, gross } = invoice.totals;
    picture += &format!("net {net}, VAT {vat}, total {gross} {}\n", invoice.currency);
    expected.assert_eq(&picture);
}

#[test]
fn calls_are_added_up_before_a_line_is_rounded_once() {
    // Three calls of 0.004: rounded one by one they would be free, added up they are 0.012.
    check(
        &account("20"),
        &["Flat 9.90"],
        &["Austria mobile 1 60 0.004", "Austria fixed 2 125 0.0251", "Austria mobile 2 120 0.008"],
        expect![[r#"
            1 x Flat                                     9.90
            2 calls to Austria fixed, 125 s              0.03
            3 calls to Austria mobile, 180 s             0.01
            VAT 20 % on 9.94                              1.99
            net 9.94, VAT 1.99, total 11.93 EUR
        "#]],
    );
}

#[test]
fn vat_is_right_where_a_binary_fraction_is_a_cent_short() {
    // 5 % of 10.10 is 0.505 and rounds up; in binary fractions it is 0.50499999999999998 and rounds down.
    check(
        &account("5"),
        &["Line 10.10"],
        &[],
        expect![[r#"
            1 x Line                                    10.10
            VAT 5 % on 10.10                             0.51
            net 10.10, VAT 0.51, total 10.61 EUR
        "#]],
    );
    // 1.005 itself is a line of 1.01; in binary fractions it is 1.00499999999999989.
    check(
        &account("0"),
        &[],
        &["Malta mobile 3 180 1.005"],
        expect![[r#"
            3 calls to Malta mobile, 180 s               1.01
            VAT 0 % on 1.01                              0.00
            net 1.01, VAT 0.00, total 1.01 EUR
        "#]],
    );
}

#[test]
fn vat_is_taken_from_the_sum_and_not_line_by_line() {
    // Line by line 20 % of 0.33 is 0.07, three times 0.21; of the sum 0.99 it is 0.20.
    check(
        &account("20"),
        &["A 0.33", "B 0.33", "C 0.33"],
        &[],
        expect![[r#"
            1 x A                                        0.33
            1 x B                                        0.33
            1 x C                                        0.33
            VAT 20 % on 0.99                              0.20
            net 0.99, VAT 0.20, total 1.19 EUR
        "#]],
    );
}

#[test]
fn invoice_of_a_month_without_calls_has_only_the_fee() {
    check(
        &account("8.1"),
        &["Flat 49"],
        &[],
        expect![[r#"
            1 x Flat                                    49.00
            VAT 8.1 % on 49.00                             3.97
            net 49.00, VAT 3.97, total 52.97 EUR
        "#]],
    );
}

#[test]
fn discount_is_a_negative_line_and_half_a_cent_rounds_away_from_zero() {
    check(
        &account("20"),
        &["Flat 10", "Discount -2.505"],
        &[],
        expect![[r#"
            1 x Flat                                    10.00
            1 x Discount                                -2.51
            VAT 20 % on 7.49                              1.50
            net 7.49, VAT 1.50, total 8.99 EUR
        "#]],
    );
}

#[test]
fn account_without_fee_and_calls_gets_an_empty_invoice_for_the_caller_to_skip() {
    let invoice = invoice(&account("20"), &[], &[]).unwrap();
    assert!(invoice.is_empty());
    assert_eq!(invoice.totals.gross.to_string(), "0.00");
    assert_eq!(invoice.vat, []);
}

#[test]
fn dong_have_no_minor_unit() {
    let dong: Currency = "VND".parse().unwrap();
    let account = Account { currency: dong, ..account("10") };
    let calls = vec![usage("Vietnam mobile 3 180 2345.5")];
    let invoice = assemble(&tenant(), &account, october(), Vec::new(), calls, issue_date()).unwrap();
    assert_eq!(invoice.totals.net.to_string(), "2346");
    assert_eq!(invoice.totals.gross.to_string(), "2581");
}

#[test]
fn two_currencies_are_refused_whether_in_a_fee_or_in_a_call() {
    let dollars = "USD".parse().unwrap();
    let fee = RecurringFee { name: "Flat".to_owned(), amount: Money::new(Decimal::TEN, dollars) };
    let error =
        assemble(&tenant(), &account("20"), october(), vec![fee], Vec::new(), issue_date()).unwrap_err();
    expect![[r#"the fee "Flat" is in USD, the account acme is billed in EUR: correct the billing profile's currency or the account's"#]]
        .assert_eq(&error.to_string());

    let mut tally = UsageTally::new(&account("20"));
    tally.add(&charge("Austria", "0.10", Currency::EUR)).unwrap();
    assert_eq!(tally.add(&charge("Austria", "0.10", dollars)).unwrap_err().code(), "INV003");
    let lines = tally.into_lines();
    assert_eq!(lines, [usage("Austria mobile 1 60 0.10")]);
}

#[test]
fn impossible_rate_wrong_tenant_and_absurd_amount_are_refused() {
    assert_eq!(invoice(&account("-1"), &[], &[]).unwrap_err().code(), "INV005");
    assert_eq!(invoice(&account("100.1"), &[], &[]).unwrap_err().code(), "INV005");
    let stranger = Account { tenant: TenantId(2), ..account("20") };
    assert_eq!(invoice(&stranger, &[], &[]).unwrap_err().code(), "INV004");
    let huge = "A 7922816251426433759354395033";
    assert_eq!(invoice(&account("20"), &[huge], &[]).unwrap_err().code(), "INV006");
    let doubled = ["X y 1 1 999999999999999", "X y 1 1 999999999999999"];
    assert_eq!(invoice(&account("20"), &[], &doubled).unwrap_err().code(), "INV006");
}

#[test]
fn number_is_given_once() {
    let mut invoice = invoice(&account("20"), &["Flat 9.90"], &[]).unwrap();
    assert_eq!(invoice.finalise("two\nlines".to_owned()).unwrap_err().code(), "INV007");
    invoice.finalise("2026-000001".to_owned()).unwrap();
    let error = invoice.finalise("2026-000002".to_owned()).unwrap_err();
    assert!(error.to_string().contains("credit note"), "{error}");
    assert_eq!(invoice.number.as_deref(), Some("2026-000001"));
}

#[test]
fn stored_document_is_read_back_and_a_changed_or_later_one_is_refused() {
    let invoice = invoice(&account("20"), &["Flat 9.90"], &["Austria fixed 2 125 0.0251"]).unwrap();
    let json = invoice.to_json().unwrap();
    assert_eq!(Invoice::from_json(&json).unwrap(), invoice);
    assert!(json.contains(r#""gross":"11.92""#), "amounts are text, not binary fractions: {json}");

    let changed = json.replace(r#""net":"9.90""#, r#""net":"9.80""#);
    assert_eq!(Invoice::from_json(&changed).unwrap_err().code(), "INV008");
    let later = json.replace(r#""version":1"#, r#""version":2"#);
    assert_eq!(Invoice::from_json(&later).unwrap_err().code(), "INV009");
    assert_eq!(Invoice::from_json(&json[..40]).unwrap_err().code(), "INV010");
}

/// What left the house: a document of format 1 is read by every later program.
#[test]
fn document_of_format_1_is_still_read() {
    let golden = include_str!("../../golden/v1/invoice.json");
    let mut invoice = invoice(&account("20"), &["Flat 9.90"], &["Austria fixed 2 125 0.0251"]).unwrap();
    invoice.finalise("2026-000001".to_owned()).unwrap();
    assert_eq!(invoice.to_json().unwrap(), golden.trim_end());
    assert_eq!(Invoice::from_json(golden).unwrap(), invoice);
}

#[test]
fn invoice_is_due_after_the_payment_days() {
    let invoice = invoice(&account("20"), &[], &[]).unwrap();
    assert_eq!(invoice.due_date, NaiveDate::from_ymd_opt(2026, 11, 15).unwrap());
}

proptest! {
    #[test]
    fn parts_add_up_and_no_line_is_more_than_half_a_cent_off(
        costs in proptest::collection::vec((0..4_u8, 1..1000_u64, -5_000_000..500_000_000_i64), 0..60),
        percent in 0..1000_i64,
    ) {
        let account = Account { vat_percent: Decimal::new(percent, 1), ..account("0") };
        let usage: Vec<UsageLine> = costs
            .iter()
            .map(|(zone, calls, micros)| UsageLine {
                zone: format!("zone {zone}"),
                zone_detail: String::new(),
                calls: *calls,
                billed_seconds: calls * 60,
                cost: Decimal::new(*micros, 6),
            })
            .collect();
        let exact: Decimal = usage.iter().map(|line| line.cost).sum();
        let calls: u64 = usage.iter().map(|line| line.calls).sum();
        let invoice = assemble(&tenant(), &account, october(), Vec::new(), usage, issue_date()).unwrap();
        invoice.check().unwrap();

        let net: Decimal = invoice.lines.iter().map(|line| line.net).sum();
        let vat: Decimal = invoice.vat.iter().map(|rate| rate.vat).sum();
        prop_assert_eq!(net, invoice.totals.net);
        prop_assert_eq!(net + vat, invoice.totals.gross);
        let half_cents = Decimal::new(5, 3) * Decimal::from(invoice.lines.len());
        prop_assert!((net - exact).abs() <= half_cents);
        let billed: u64 = invoice.lines.iter().map(|line| match &line.item {
            LineItem::Recurring { .. } => 0,
            LineItem::Usage { calls, .. } => *calls,
        }).sum();
        prop_assert_eq!(billed, calls);
    }
}
