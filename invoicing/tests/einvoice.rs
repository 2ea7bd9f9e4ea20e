//! Every kind of document, checked by the official rules: schemas, Schematron of CEN, KoSIT and OpenPeppol, Mustang and veraPDF.
//!
//! `./test` fetches the rules from Maven Central. Where they, Java or Maven are missing, the test says so and passes,
//! unless `CI` is `true`. All documents stay in `target/tmp/einvoices` to be looked at.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail and speak like the tests"
)]

mod fixture;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::NaiveDate;
use fixture::{
    account, calls, customer, draft, fee, final_invoice, issue_date, issuer, seller_terms, tenant, terms,
    usual_calls, usual_fees,
};
use invoicing::{
    CallEntry, Credited, DayUsage, Invoice, Order, Profile, Template, corrected, credit_note, missing,
    render_pdf, to_xml,
};
use model::{Address, BillingTerms, Contact, Currency, Language, TaxCategory};
use rust_decimal::Decimal;

/// Where `dependency:get` of Maven puts what the rules are read from.
const JARS: [&str; 4] = [
    "org/mustangproject/validator/2.22.0/validator-2.22.0-shaded.jar",
    "com/helger/phive/rules/phive-rules-en16931/4.3.7/phive-rules-en16931-4.3.7.jar",
    "com/helger/phive/rules/phive-rules-xrechnung/4.2.3/phive-rules-xrechnung-4.2.3.jar",
    "com/helger/phive/rules/phive-rules-peppol/4.3.7/phive-rules-peppol-4.3.7.jar",
];

/// The suffix by which the validator knows what to check.
const fn suffix(profile: Profile) -> &'static str {
    match profile {
        Profile::FacturX => "factur-x.xml",
        Profile::XRechnungUbl => "xrechnung.xml",
        Profile::XRechnungCii => "xrechnung-cii.xml",
        Profile::Peppol => "peppol.xml",
    }
}

/// October at `percent`, on `terms`, with the usual fees and calls.
fn at(percent: i64, terms: &BillingTerms) -> Invoice {
    with(percent, terms, customer(), |_| {})
}

fn with(
    percent: i64,
    terms: &BillingTerms,
    customer: Contact,
    change: impl FnOnce(&mut Order<'_>),
) -> Invoice {
    let account = account(customer, Decimal::from(percent));
    numbered(draft(&tenant(issuer()), &seller_terms(), &account, terms, |order| {
        order.fees = usual_fees();
        order.usage = usual_calls();
        change(order);
    }))
}

fn numbered(mut invoice: Invoice) -> Invoice {
    invoice.finalise("NT-2026-000117".to_owned()).unwrap();
    invoice
}

fn in_category(category: TaxCategory) -> BillingTerms {
    BillingTerms { tax_category: Some(category), ..terms() }
}

fn vietnamese() -> Contact {
    Contact {
        name: "Công ty TNHH Thương mại Nguyễn Đức Phượng".to_owned(),
        address: Address {
            street: "Số 15, Đường Trần Hưng Đạo\nPhường Cửa Nam".to_owned(),
            postcode: "100000".to_owned(),
            city: "Hà Nội".to_owned(),
            country: "VN".to_owned(),
        },
        email: "ketoan@nguyen.example".to_owned(),
        ..Contact::default()
    }
}

fn two_thousand_calls() -> Vec<CallEntry> {
    let start = NaiveDate::from_ymd_opt(2026, 10, 1).unwrap().and_hms_opt(0, 0, 7).unwrap();
    (0..2_000_i64)
        .map(|n| CallEntry {
            at: start + chrono::TimeDelta::minutes(22 * n),
            to: format!("43512900{:03}***", n % 1_000),
            zone: "Austria".to_owned(),
            seconds: Decimal::new(1_234 * (n + 1) % 360_000, 3),
            cost: Decimal::new(n * 37 % 100_000, 6),
        })
        .collect()
}

/// Every kind, with the name of its files.
fn documents() -> Vec<(&'static str, Invoice)> {
    let usual = at(20, &terms());
    let zero = with(20, &terms(), customer(), |order| {
        order.fees = vec![fee("Free trial", Decimal::ZERO)];
        order.usage.clear();
    });
    let several_rates = with(20, &terms(), customer(), |order| {
        order.fees[0].tax = Some((TaxCategory::Standard, Decimal::TEN));
        order.fees[1].tax = Some((TaxCategory::Zero, Decimal::ZERO));
    });
    let late = with(20, &terms(), customer(), |order| {
        let line = |calls: i64, micros: i64| DayUsage {
            day: NaiveDate::from_ymd_opt(2026, 9, 30).unwrap(),
            zone: "Austria".to_owned(),
            zone_detail: "mobile".to_owned(),
            calls,
            billed_seconds: 60 * calls,
            cost: Decimal::new(micros, 6),
        };
        order.late = vec![line(2, 600_000), line(-1, -1_200_000)];
        order.fees[0].days =
            Some((issue_date() - chrono::Days::new(10), issue_date() - chrono::Days::new(1)));
    });
    let negative = with(20, &terms(), customer(), |order| {
        order.fees = vec![fee("Compensation", Decimal::new(-900_000, 2))];
    });
    let long = Contact {
        name: "Vereinigte Telekommunikationsgesellschaften für den Fernsprechverkehr "
            .repeat(4)
            .trim()
            .to_owned(),
        address: Address {
            street: "Donaudampfschifffahrtsgesellschaftsstraße ".repeat(5),
            ..customer().address
        },
        ..customer()
    };
    let markup = Contact { name: "<b>&amp; \"O'Neil\" ]]> \u{7}Söhne 中国".to_owned(), ..customer() };
    let including =
        BillingTerms { prices_include_tax: true, discount_percent: Decimal::new(75, 1), ..terms() };
    let exempt = BillingTerms {
        tax_exemption: "Kleinunternehmer, § 6 Abs. 1 Z 27 UStG".to_owned(),
        ..in_category(TaxCategory::Exempt)
    };
    let german =
        BillingTerms { language: Language::German, order_reference: "PO 4711/2026".to_owned(), ..terms() };
    let in_vietnamese = BillingTerms { language: Language::Vietnamese, ..in_category(TaxCategory::Export) };
    let dong: Currency = "VND".parse().unwrap();
    let mut in_dong = account(vietnamese(), Decimal::TEN);
    in_dong.currency = dong;
    let mut no_bank = issuer();
    no_bank.iban.clear();
    let only_tax_number = BillingTerms { tax_number: "12 345/6789".to_owned(), ..seller_terms() };
    let no_vat_id = Contact { vat_id: String::new(), ..issuer() };
    vec![
        ("standard", usual.clone()),
        ("zero-rate", at(0, &in_category(TaxCategory::Zero))),
        ("exempt", at(0, &exempt)),
        ("reverse-charge", at(0, &terms())),
        ("intra-community", at(0, &in_category(TaxCategory::IntraCommunity))),
        ("export", at(0, &in_category(TaxCategory::Export))),
        ("out-of-scope", at(0, &in_category(TaxCategory::OutOfScope))),
        ("several-rates", several_rates),
        ("zero-invoice", zero),
        ("late-calls", late),
        ("negative-total", negative),
        ("prices-include-tax", at(20, &including)),
        ("prepaid", with(20, &terms(), customer(), |order| order.is_prepaid = true)),
        ("two-thousand-calls", with(20, &terms(), customer(), |order| order.calls = two_thousand_calls())),
        ("long-names", with(20, &terms(), long, |_| {})),
        ("markup", with(20, &terms(), markup, |_| {})),
        ("german", at(19, &german)),
        (
            "vietnamese",
            with(0, &in_vietnamese, vietnamese(), |order| {
                order.usage = vec![calls("Việt Nam", "di động", 12, 2_904, 4_356_000)]
            }),
        ),
        (
            "dong",
            numbered(draft(&tenant(issuer()), &seller_terms(), &in_dong, &terms(), |order| {
                order.usage = vec![calls("Việt Nam", "di động", 12, 2_904, 4_356_500_000)];
            })),
        ),
        (
            "no-bank-account",
            numbered(draft(
                &tenant(no_bank),
                &seller_terms(),
                &account(customer(), Decimal::from(20)),
                &terms(),
                |order| {
                    order.fees = usual_fees();
                },
            )),
        ),
        (
            "tax-number",
            numbered(draft(
                &tenant(no_vat_id),
                &only_tax_number,
                &account(customer(), Decimal::from(20)),
                &terms(),
                |order| {
                    order.fees = usual_fees();
                },
            )),
        ),
        (
            "credit-note",
            numbered(
                credit_note(&usual, Credited::Whole, "Rechnung an falsche Adresse", issue_date()).unwrap(),
            ),
        ),
        (
            "credit-note-part",
            numbered(
                credit_note(
                    &usual,
                    Credited::Part { line_idx: 0, net: Decimal::TEN },
                    "Outage on 3 October",
                    issue_date(),
                )
                .unwrap(),
            ),
        ),
        ("corrected", {
            let draft = Invoice { number: None, ..usual.clone() };
            numbered(corrected(&usual, draft, "Wrong address").unwrap())
        }),
    ]
}

/// The class path of the rules, or `None` after a line that says why not.
fn rules() -> Option<String> {
    let home = std::env::var("HOME").unwrap_or_default();
    let repository = std::env::var("TOLLBOOK_MAVEN_REPOSITORY").unwrap_or(format!("{home}/.m2/repository"));
    let jars: Vec<PathBuf> = JARS.iter().map(|jar| Path::new(&repository).join(jar)).collect();
    let missing = jars.iter().find(|jar| !jar.exists()).map(|jar| format!("{} is not there", jar.display()));
    let missing = missing.or_else(|| match Command::new("java").arg("-version").output() {
        Ok(_) => None,
        Err(why) => Some(format!("java: {why}")),
    });
    if let Some(why) = missing {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{why}");
        eprintln!("skipped: {why}; ./test fetches the rules");
        return None;
    }
    let jars: Vec<_> = jars.iter().map(|jar| jar.display().to_string()).collect();
    Some(jars.join(":"))
}

/// What the validator finds in a folder, one finding a line.
fn findings(dir: &Path, rules: &str) -> Vec<String> {
    let validator = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/validator/Validate.java");
    let run = Command::new("java").args(["-Xss8m", "-cp", rules]).arg(validator).arg(dir).output().unwrap();
    let out = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{out}\n{}", String::from_utf8_lossy(&run.stderr));
    let n_files = fs::read_dir(dir).unwrap().count();
    assert!(out.contains(&format!("checked {n_files} files")), "{out}");
    out.lines().filter(|line| line.contains('\t')).map(str::to_owned).collect()
}

fn fresh_dir(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

#[test]
fn every_kind_of_document_passes_the_official_rules() {
    let dir = fresh_dir("einvoices");
    let mut written = BTreeSet::new();
    for (name, invoice) in documents() {
        invoice.check().unwrap();
        for profile in Profile::ALL {
            if missing(&invoice, profile).is_empty() {
                fs::write(
                    dir.join(format!("{name}.{}", suffix(profile))),
                    to_xml(&invoice, profile).unwrap(),
                )
                .unwrap();
                written.insert((name, suffix(profile)));
            }
        }
        fs::write(dir.join(format!("{name}.pdf")), render_pdf(&invoice, &Template::default()).unwrap())
            .unwrap();
    }
    assert_eq!(written.len(), 4 * documents().len(), "a document lacks a profile: {written:?}");
    let Some(rules) = rules() else { return };
    let errors: Vec<_> =
        findings(&dir, &rules).into_iter().filter(|finding| finding.contains("\terror\t")).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

/// So that a validator that checks nothing is noticed.
#[test]
fn broken_documents_are_reported_by_the_rule_they_break() {
    let Some(rules) = rules() else { return };
    let dir = fresh_dir("einvoices-broken");
    let invoice = final_invoice(issuer(), customer(), usual_calls());
    let xml = |profile| String::from_utf8(to_xml(&invoice, profile).unwrap()).unwrap();
    let write = |name: &str, text: String| fs::write(dir.join(name), text).unwrap();
    write("sum.xrechnung.xml", xml(Profile::XRechnungUbl).replace("1430.66", "1430.67"));
    let unreferenced =
        xml(Profile::XRechnungCii).replace("<ram:BuyerReference>04011000-12345-34</ram:BuyerReference>", "");
    write("reference.xrechnung-cii.xml", unreferenced);
    write("element.factur-x.xml", xml(Profile::FacturX).replace("ram:CityName", "ram:TownName"));
    write("process.peppol.xml", xml(Profile::Peppol).replace("billing:01:1.0", "billing:99"));
    let pdf = render_pdf(&invoice, &Template::default()).unwrap();
    let at = pdf.windows(9).position(|window| window == b"EN 16931<").unwrap();
    let mut forged = pdf;
    forged[at..at + 8].copy_from_slice(b"EXTREMES");
    fs::write(dir.join("level.pdf"), forged).unwrap();
    let found = findings(&dir, &rules).join("\n");
    for expected in [
        "sum.xrechnung.xml\terror\tBR-CO-10\t",
        "reference.xrechnung-cii.xml\terror\tBR-DE-15\t",
        "element.factur-x.xml\terror\tXSD\t",
        "process.peppol.xml\terror\tPEPPOL-EN16931-R007\t",
        "level.pdf\terror\tMustang\t",
    ] {
        assert!(found.contains(expected), "no {expected:?} in:\n{found}");
    }
}

#[test]
fn what_an_invoice_lacks_is_named_with_its_place_and_rule() {
    let bare = |contact: Contact| Contact { email: String::new(), ..contact };
    let account = account(bare(customer()), Decimal::from(20));
    let mut invoice = draft(
        &tenant(bare(issuer())),
        &BillingTerms::default(),
        &account,
        &BillingTerms::default(),
        |order| {
            order.fees = usual_fees();
        },
    );
    let error = to_xml(&invoice, Profile::FacturX).unwrap_err();
    assert_eq!(error.code(), "INV016");
    assert_eq!(
        error.to_string(),
        "invoice draft cannot be written as Factur-X (EN 16931): a number (it is a draft)"
    );
    invoice.finalise("1".to_owned()).unwrap();
    let error = to_xml(&invoice, Profile::XRechnungUbl).unwrap_err().to_string();
    for expected in ["electronic_address", "buyer_reference", "contact_person", "phone", "(BR-DE-7)"] {
        assert!(error.contains(expected), "{error}");
    }
}
