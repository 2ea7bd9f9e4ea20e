use chrono_tz::Europe;
use expect_test::{Expect, expect};
use model::{
    AccountId, AccountKind, AccountStatus, Address, AgreedFee, Contact, Direction, FraudPolicy, Language,
    Money, ProfileVersionId, Provider, TaxRate, TenantId,
};
use proptest::prelude::*;

use super::*;
use crate::{Credited, Totals, corrected, credit_note, fees_due};

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

fn fee(text: &str) -> FeeLine {
    let (name, amount) = text.split_once(' ').unwrap();
    FeeLine::whole(name.to_owned(), Money::new(decimal(amount), Currency::EUR))
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
        conversion: None,
        fragments: Vec::new(),
    }
}

fn october() -> Period {
    Period::month("2026-10", Europe::Vienna).unwrap()
}

fn issue_date() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 1).unwrap()
}

fn made(account: &Account, fees: Vec<FeeLine>, usage: Vec<UsageLine>) -> Result<Invoice, InvoicingError> {
    on_terms(account, &BillingTerms::default(), |order| {
        order.fees = fees;
        order.usage = usage;
    })
}

/// October on `terms`, with what `change` puts on it.
fn on_terms(
    account: &Account,
    terms: &BillingTerms,
    change: impl FnOnce(&mut Order<'_>),
) -> Result<Invoice, InvoicingError> {
    sold_by(&tenant(), &BillingTerms::default(), account, terms, change)
}

fn sold_by(
    tenant: &Tenant,
    seller_terms: &BillingTerms,
    account: &Account,
    terms: &BillingTerms,
    change: impl FnOnce(&mut Order<'_>),
) -> Result<Invoice, InvoicingError> {
    let mut order = Order {
        tenant,
        seller_terms,
        account,
        terms,
        period: october(),
        fees: Vec::new(),
        usage: Vec::new(),
        late: Vec::new(),
        days: Vec::new(),
        calls: Vec::new(),
        is_prepaid: false,
        issue_date: issue_date(),
    };
    change(&mut order);
    assemble(order)
}

fn invoice(account: &Account, fees: &[&str], calls: &[&str]) -> Result<Invoice, InvoicingError> {
    made(account, fees.iter().map(|text| fee(text)).collect(), calls.iter().map(|text| usage(text)).collect())
}

#[track_caller]
fn check(account: &Account, fees: &[&str], calls: &[&str], expected: Expect) {
    expected.assert_eq(&picture(&invoice(account, fees, calls).unwrap()));
}

/// An invoice in few words.
fn picture(invoice: &Invoice) -> String {
    invoice.check().unwrap();
    let mut picture = String::new();
    for line in &invoice.lines {
        let text = match &line.item {
            LineItem::Recurring { name, quantity } => format!("{quantity} x {name}"),
            LineItem::OneOff { name, quantity } => format!("{quantity} x {name}, once"),
            LineItem::Usage { zone, zone_detail, calls, billed_seconds } => {
                format!("{calls} calls to {zone} {zone_detail}, {billed_seconds} s")
            }
            LineItem::LateUsage { zone, zone_detail, calls, billed_seconds } => {
                format!("late: {calls} calls to {zone} {zone_detail}, {billed_seconds} s")
            }
            LineItem::Discount { percent } => format!("{percent} % off"),
            LineItem::Part { text } => format!("part of {text}"),
        };
        let days = line.days.map_or(String::new(), |(first, last)| format!(" {first}/{last}"));
        let gross = line.gross.map_or(String::new(), |gross| format!(" of {gross}"));
        picture += &format!("{:<36} {:>12}{gross}\n", format!("{text}{days}"), line.net.to_string());
    }
    for rate in &invoice.vat {
        let category = if rate.category == TaxCategory::Standard { "" } else { rate.category.as_str() };
        let category = if category.is_empty() { String::new() } else { format!("{category} ") };
        let reason =
            rate.exemption.as_ref().map_or(String::new(), |why| format!(" ({} {})", why.reason, why.code));
        picture += &format!(
            "VAT {category}{} % on {:<25} {:>12}{reason}\n",
            rate.percent,
            rate.net.to_string(),
            rate.vat.to_string()
        );
    }
    let Totals { net, vat, gross, prepaid, rounding } = invoice.totals;
    picture += &format!("net {net}, VAT {vat}, total {gross} {}\n", invoice.currency);
    if !prepaid.is_zero() || !rounding.is_zero() {
        picture += &format!("rounding {rounding}, prepaid {prepaid}, to pay {}\n", invoice.totals.payable());
    }
    picture
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
            VAT Z 0 % on 1.01                              0.00
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
    let invoice = made(&account, Vec::new(), calls).unwrap();
    assert_eq!(invoice.totals.net.to_string(), "2346");
    assert_eq!(invoice.totals.gross.to_string(), "2581");
}

#[test]
fn two_currencies_are_refused_whether_in_a_fee_or_in_a_call() {
    let dollars = "USD".parse().unwrap();
    let fee = FeeLine::whole("Flat".to_owned(), Money::new(Decimal::TEN, dollars));
    let error = made(&account("20"), vec![fee], Vec::new()).unwrap_err();
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
    let later = json.replace(r#""version":2"#, r#""version":3"#);
    assert_eq!(Invoice::from_json(&later).unwrap_err().code(), "INV009");
    assert_eq!(Invoice::from_json(&json[..40]).unwrap_err().code(), "INV010");
}

/// What left the house: a document of an earlier format is read by every later program.
#[test]
fn document_of_format_1_is_still_read() {
    let read = Invoice::from_json(include_str!("../../golden/v1/invoice.json")).unwrap();
    let mut now = invoice(&account("20"), &["Flat 9.90"], &["Austria fixed 2 125 0.0251"]).unwrap();
    now.finalise("2026-000001".to_owned()).unwrap();
    assert_eq!(read, Invoice { version: 1, ..now });
}

#[test]
fn document_of_format_2_is_still_read() {
    let golden = include_str!("../../golden/v2/credit-note.json");
    let mut of = invoice(&account("0"), &["Flat 9.90"], &["Austria fixed 2 125 0.0251"]).unwrap();
    of.finalise("2026-000001".to_owned()).unwrap();
    let mut note = credit_note(&of, Credited::Whole, "Wrong address", issue_date()).unwrap();
    note.finalise("2026-000002".to_owned()).unwrap();
    assert_eq!(note.to_json().unwrap(), golden.trim_end());
    assert_eq!(Invoice::from_json(golden).unwrap(), note);
}

#[test]
fn customer_in_another_member_state_owes_the_tax_itself() {
    let in_country = |contact: Contact, country: &str, vat_id: &str| Contact {
        address: Address { country: country.to_owned(), ..contact.address },
        vat_id: vat_id.to_owned(),
        ..contact
    };
    let tenant = Tenant { contact: in_country(contact("Nordtel GmbH"), "AT", "ATU12345678"), ..tenant() };
    let german = BillingTerms { language: Language::German, ..BillingTerms::default() };
    let bill = |country: &str, vat_id: &str, terms: &BillingTerms| {
        let account = Account { contact: in_country(contact("Acme AG"), country, vat_id), ..account("0") };
        sold_by(&tenant, &BillingTerms::default(), &account, terms, |order| order.fees = vec![fee("Flat 10")])
            .map(|invoice| picture(&invoice))
    };
    expect![[r#"
        1 x Flat                                    10.00
        VAT AE 0 % on 10.00                             0.00 (Steuerschuldnerschaft des Leistungsempfängers (Reverse Charge) VATEX-EU-AE)
        net 10.00, VAT 0.00, total 10.00 EUR
    "#]].assert_eq(&bill("DE", "DE123456789", &german).unwrap());
    // Not without its VAT ID, at home or outside the Union.
    for (country, vat_id) in [("DE", ""), ("AT", "ATU23456789"), ("CH", "CHE123456788")] {
        assert!(bill(country, vat_id, &german).unwrap().contains("VAT Z 0 %"), "{country}");
    }
    let agreed = BillingTerms { tax_category: Some(TaxCategory::ReverseCharge), ..BillingTerms::default() };
    let error = bill("DE", "", &agreed).unwrap_err();
    assert_eq!(error.code(), "INV014");
    assert!(error.to_string().contains("add vat_id"), "{error}");
}

#[test]
fn category_and_rate_that_contradict_are_refused_with_the_remedy() {
    let refused = |category, percent: &str| {
        let terms = BillingTerms { tax_category: Some(category), ..BillingTerms::default() };
        on_terms(&account(percent), &terms, |order| order.fees = vec![fee("Flat 10")])
            .unwrap_err()
            .to_string()
    };
    assert!(refused(TaxCategory::Standard, "0").contains("a rate above zero"));
    assert!(refused(TaxCategory::Exempt, "0").contains("set tax_exemption"));
    let terms = BillingTerms { tax_category: Some(TaxCategory::OutOfScope), ..BillingTerms::default() };
    let mixed = on_terms(&account("0"), &terms, |order| {
        let mut taxed = fee("Book 5");
        taxed.tax = Some((TaxCategory::Standard, Decimal::TEN));
        order.fees = vec![fee("Flat 10"), taxed];
    });
    assert!(mixed.unwrap_err().to_string().contains("as a whole or not at all"));
}

#[test]
fn rate_is_that_of_the_country_on_the_last_day() {
    let rate = |country: &str, percent: &str, from: &str| TaxRate {
        country: country.to_owned(),
        percent: decimal(percent),
        from: from.parse().unwrap(),
    };
    let seller = BillingTerms {
        tax_rates: vec![
            rate("DE", "19", "2021-01-01"),
            rate("DE", "16", "2020-07-01"),
            rate("DE", "21", "2026-10-31"),
            rate("DE", "25", "2026-11-01"),
        ],
        ..BillingTerms::default()
    };
    let terms = BillingTerms { tax_by_country: true, ..BillingTerms::default() };
    let bill = |country: &str| {
        let address = Address { country: country.to_owned(), ..Address::default() };
        let account = Account { contact: Contact { address, ..contact("Acme AG") }, ..account("20") };
        sold_by(&tenant(), &seller, &account, &terms, |order| order.fees = vec![fee("Flat 100")])
    };
    assert_eq!(bill("DE").unwrap().vat[0].percent, decimal("21"));
    let error = bill("FR").unwrap_err();
    assert_eq!(error.code(), "INV013");
    assert!(error.to_string().contains("\"FR\" on 2026-10-31"), "{error}");
}

#[test]
fn each_rate_is_summed_and_rounded_for_itself() {
    let invoice = on_terms(&account("20"), &BillingTerms::default(), |order| {
        let mut book = fee("Book 0.33");
        book.tax = Some((TaxCategory::Standard, Decimal::TEN));
        order.fees = vec![fee("Flat 0.33"), book.clone(), book];
    });
    expect![[r#"
        1 x Flat                                     0.33
        1 x Book                                     0.33
        1 x Book                                     0.33
        VAT 10 % on 0.66                              0.07
        VAT 20 % on 0.33                              0.07
        net 0.99, VAT 0.14, total 1.13 EUR
    "#]]
    .assert_eq(&picture(&invoice.unwrap()));
}

#[test]
fn prices_that_include_tax_are_paid_to_the_cent() {
    let terms = BillingTerms { prices_include_tax: true, ..BillingTerms::default() };
    let invoice = on_terms(&account("20"), &terms, |order| {
        order.fees = vec![fee("A 9.99"), fee("B 9.99"), fee("C 9.99")];
    });
    // The net amounts are 8.325, so their sum and its tax are a cent more than what was promised.
    expect![[r#"
        1 x A                                        8.33 of 9.99
        1 x B                                        8.33 of 9.99
        1 x C                                        8.33 of 9.99
        VAT 20 % on 24.99                             5.00
        net 24.99, VAT 5.00, total 29.99 EUR
        rounding -0.02, prepaid 0.00, to pay 29.97
    "#]]
    .assert_eq(&picture(&invoice.unwrap()));
}

#[test]
fn discount_is_off_the_calls_and_late_calls_keep_their_price() {
    let terms = BillingTerms { discount_percent: decimal("12.5"), ..BillingTerms::default() };
    let invoice = on_terms(&account("20"), &terms, |order| {
        order.fees = vec![fee("Flat 10")];
        order.usage = vec![usage("Austria fixed 2 125 0.50"), usage("Austria mobile 3 180 1.50")];
        order.late = vec![DayUsage {
            day: "2026-09-30".parse().unwrap(),
            zone: "Austria".to_owned(),
            zone_detail: "fixed".to_owned(),
            calls: -1,
            billed_seconds: -60,
            cost: decimal("-0.045"),
        }];
        order.is_prepaid = true;
    });
    expect![[r#"
        1 x Flat                                    10.00
        2 calls to Austria fixed, 125 s              0.50
        3 calls to Austria mobile, 180 s             1.50
        12.5 % off                                  -0.25
        late: -1 calls to Austria fixed, -60 s 2026-09-30/2026-09-30        -0.05
        VAT 20 % on 11.70                             2.34
        net 11.70, VAT 2.34, total 14.04 EUR
        rounding 0.00, prepaid 14.04, to pay 0.00
    "#]]
    .assert_eq(&picture(&invoice.unwrap()));
    let absurd = BillingTerms { discount_percent: decimal("101"), ..BillingTerms::default() };
    let error =
        on_terms(&account("20"), &absurd, |order| order.usage = vec![usage("A b 1 1 1")]).unwrap_err();
    assert_eq!(error.code(), "INV018");
}

#[test]
fn credit_note_takes_back_all_or_a_part_of_a_line_and_says_why() {
    let mut of = invoice(&account("20"), &["Flat 9.90"], &["Austria fixed 2 125 0.0251"]).unwrap();
    let refused = |of: &Invoice, credited, reason| {
        credit_note(of, credited, reason, issue_date()).unwrap_err().to_string()
    };
    assert!(refused(&of, Credited::Whole, "why").contains("it is a draft"));
    of.finalise("2026-000001".to_owned()).unwrap();
    assert!(refused(&of, Credited::Whole, " ").contains("needs a reason"));
    let part = |line_idx, net| Credited::Part { line_idx, net: decimal(net) };
    assert!(refused(&of, part(2, "1"), "why").contains("it has 2 lines"));
    assert!(refused(&of, part(0, "9.91"), "why").contains("at most that"));
    assert!(refused(&of, part(0, "0"), "why").contains("more than 0"));
    let note = credit_note(&of, part(0, "5"), "Outage", issue_date()).unwrap();
    expect![[r#"
        part of Flat                                 5.00
        VAT 20 % on 5.00                              1.00
        net 5.00, VAT 1.00, total 6.00 EUR
    "#]]
    .assert_eq(&picture(&note));
    let (preceding, reason) = note.preceding().unwrap();
    assert_eq!((preceding.number.as_str(), reason), ("2026-000001", "Outage"));
    let mut whole = credit_note(&of, Credited::Whole, "Wrong address", issue_date()).unwrap();
    assert_eq!((whole.totals.gross, whole.lines.len()), (of.totals.gross, 2));
    whole.finalise("2026-000002".to_owned()).unwrap();
    assert!(refused(&whole, Credited::Whole, "why").contains("a credit note itself"));
    let again = corrected(&of, Invoice { number: None, ..of.clone() }, "Wrong address").unwrap();
    assert_eq!(again.preceding().unwrap().0.number, "2026-000001");
}

#[test]
fn agreed_fees_become_lines_of_their_own_rate() {
    let agreed = |name: &str, once: Option<&str>, percent: Option<&str>| AgreedFee {
        name: name.to_owned(),
        amount: decimal("3.10"),
        quantity: 3,
        once: once.map(|day| day.parse().unwrap()),
        from: None,
        to: Some("2026-10-11".parse().unwrap()),
        vat_percent: percent.map(decimal),
        tax_category: None,
    };
    let fees = [agreed("Number", None, None), agreed("Set-up", Some("2026-10-05"), Some("10"))];
    let invoice = on_terms(&account("20"), &BillingTerms::default(), |order| {
        order.fees = fees_due(&fees, october(), october(), Currency::EUR).unwrap();
    });
    expect![[r#"
        3 x Number 2026-10-01/2026-10-10             3.00
        3 x Set-up, once 2026-10-05/2026-10-05         9.30
        VAT 10 % on 9.30                              0.93
        VAT 20 % on 3.00                              0.60
        net 12.30, VAT 1.53, total 13.83 EUR
    "#]]
    .assert_eq(&picture(&invoice.unwrap()));
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
        let invoice = made(&account, Vec::new(), usage).unwrap();
        invoice.check().unwrap();

        let net: Decimal = invoice.lines.iter().map(|line| line.net).sum();
        let vat: Decimal = invoice.vat.iter().map(|rate| rate.vat).sum();
        prop_assert_eq!(net, invoice.totals.net);
        prop_assert_eq!(net + vat, invoice.totals.gross);
        let half_cents = Decimal::new(5, 3) * Decimal::from(invoice.lines.len());
        prop_assert!((net - exact).abs() <= half_cents);
        let billed: u64 = invoice.lines.iter().map(|line| match &line.item {
            LineItem::Usage { calls, .. } => *calls,
            LineItem::Recurring { .. }
            | LineItem::OneOff { .. }
            | LineItem::Discount { .. }
            | LineItem::LateUsage { .. }
            | LineItem::Part { .. } => 0,
        }).sum();
        prop_assert_eq!(billed, calls);
    }
}
