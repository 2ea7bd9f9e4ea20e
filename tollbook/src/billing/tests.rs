use super::*;

/// Bills October of the sample world, in which every profile has a fee, after `change`. What comes back is, for each
/// customer, its handle, number, issuer and the issuer's IBAN, or why it was held back.
async fn bill(change: impl FnOnce(&mut store::World)) -> Vec<String> {
    let house = House::new(change).await;
    let run = house.run("2026-10", "2026-11-02T00:00:00Z").await;
    let House { store, directory, .. } = &house;
    let mut shown = Vec::new();
    for account in directory.accounts.iter().filter(|account| is_billed(account)) {
        shown.push(match run.account(account).await.unwrap() {
            Outcome::Made { number, .. } => {
                let kept = store.invoice_list().await.unwrap();
                let kept = kept.into_iter().find(|kept| kept.number == number).unwrap();
                let issuer = Invoice::from_json(&kept.document).unwrap().issuer;
                format!("{}: {number} from {} {}", account.handle, issuer.name, issuer.iban)
            }
            Outcome::Held(why) => format!("{}: {why}", account.handle),
            other @ (Outcome::Kept { .. } | Outcome::Draft { .. } | Outcome::Nothing) => {
                format!("{}: {other:?}", account.handle)
            }
        });
    }
    shown
}

#[tokio::test]
async fn customer_is_billed_by_its_reseller_and_a_direct_one_by_the_tenant() {
    expect_test::expect![[r#"
        baeckerei-huber: ALPINE-2026-000001 from Alpine Connect GmbH AT483200000012345864
        hotel-seeblick: ALPINE-2026-000002 from Alpine Connect GmbH AT483200000012345864
        kanzlei-brandt: NORDSEE-2026-000001 from Nordsee Telefon GmbH DE89370400440532013000
        spedition-voss: NORDSEE-2026-000002 from Nordsee Telefon GmbH DE89370400440532013000
        atelier-novak: INV-2026-000001 from Meridian Voice GmbH AT611904300234573201"#]]
    .assert_eq(&bill(|_| {}).await.join("\n"));
}

#[tokio::test]
async fn reseller_without_an_address_holds_back_its_customers_alone() {
    let shown = bill(|world| {
        let alpine = world.accounts.iter_mut().find(|account| account.handle == "alpine").unwrap();
        alpine.contact.name = " ".to_owned();
        alpine.contact.address.city = String::new();
    });
    expect_test::expect![[r#"
        baeckerei-huber: its reseller alpine issues the invoice; add name, city to the contact of alpine and import it
        hotel-seeblick: its reseller alpine issues the invoice; add name, city to the contact of alpine and import it
        kanzlei-brandt: NORDSEE-2026-000001 from Nordsee Telefon GmbH DE89370400440532013000
        spedition-voss: NORDSEE-2026-000002 from Nordsee Telefon GmbH DE89370400440532013000
        atelier-novak: INV-2026-000001 from Meridian Voice GmbH AT611904300234573201"#]].assert_eq(&shown.await.join("\n"));
}

#[tokio::test]
async fn resellers_whose_names_look_alike_number_apart() {
    let shown = bill(|world| {
        for account in &mut world.accounts {
            for (from, to) in [("alpine", "inv"), ("nordsee", "north-of-the-north-sea-telephones")] {
                if account.handle == from {
                    account.handle = to.to_owned();
                }
                if account.reseller.as_deref() == Some(from) {
                    account.reseller = Some(to.to_owned());
                }
            }
        }
        world.billing_terms.clear();
    });
    expect_test::expect![[r#"
        baeckerei-huber: INV.1-2026-000001 from Alpine Connect GmbH AT483200000012345864
        hotel-seeblick: INV.1-2026-000002 from Alpine Connect GmbH AT483200000012345864
        kanzlei-brandt: NORTH-OF-T.2-2026-000001 from Nordsee Telefon GmbH DE89370400440532013000
        spedition-voss: NORTH-OF-T.2-2026-000002 from Nordsee Telefon GmbH DE89370400440532013000
        atelier-novak: INV-2026-000001 from Meridian Voice GmbH AT611904300234573201"#]]
    .assert_eq(&shown.await.join("\n"));
}

/// The sample world in a store and a lake of its own, in which every profile has a fee.
struct House {
    store: Store,
    lake: Lake,
    directory: Directory,
    _dir: tempfile::TempDir,
}

impl House {
    async fn new(change: impl FnOnce(&mut store::World)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/world.toml");
        let mut world = crate::world_file::read(&sample).unwrap();
        for tariff in &mut world.tariffs {
            tariff.version.interval_charge = Decimal::TEN;
        }
        change(&mut world);
        let store =
            Store::open(&format!("sqlite://{}", dir.path().join("tollbook.db").display())).await.unwrap();
        store.import(&world, "2026-09-01T00:00:00Z".parse().unwrap(), "test").await.unwrap();
        let directory = store.directory().await.unwrap();
        let lake = Lake::open(lake::LakeConfig::new(dir.path().join("lake"))).unwrap();
        Self { store, lake, directory, _dir: dir }
    }

    /// A run over a month, on a day.
    async fn run(&self, month: &str, now: &str) -> Run<'_> {
        let window = Window::Month(month.to_owned());
        Run::prepare(&self.store, &self.lake, &self.directory, now.parse().unwrap(), window, false)
            .await
            .unwrap()
    }

    fn account(&self, handle: &str) -> &Account {
        self.directory.accounts.iter().find(|account| account.handle == handle).unwrap()
    }

    async fn only_invoice(&self) -> store::Invoice {
        self.store.invoice_list().await.unwrap().remove(0)
    }
}

fn terms(account: &str, terms: BillingTerms) -> store::NewBillingTerms {
    store::NewBillingTerms { tenant: String::new(), account: account.to_owned(), terms }
}

#[tokio::test]
async fn agreed_terms_decide_language_fees_tax_and_what_the_mail_carries() {
    let agreed = BillingTerms {
        language: model::Language::German,
        buyer_reference: "04011000-12345-34".to_owned(),
        einvoice: model::EInvoice::XRechnung,
        fees: vec![model::AgreedFee {
            name: "Rufnummer".to_owned(),
            amount: Decimal::from(31),
            quantity: 2,
            once: None,
            from: Some("2026-10-22".parse().unwrap()),
            to: None,
            vat_percent: Some(Decimal::TEN),
            tax_category: None,
        }],
        ..BillingTerms::default()
    };
    let mut seller = BillingTerms { contact_person: "Anna Gruber".to_owned(), ..BillingTerms::default() };
    let bill = async |seller: BillingTerms| {
        let agreed = agreed.clone();
        let house = House::new(|world| {
            world.billing_terms = vec![terms("baeckerei-huber", agreed), terms("alpine", seller)];
        });
        let house = house.await;
        let run = house.run("2026-10", "2026-11-02T00:00:00Z").await;
        let outcome = run.account(house.account("baeckerei-huber")).await.unwrap();
        (outcome, house)
    };
    // No number is taken for an invoice whose e-invoice cannot be written.
    let (outcome, house) = bill(seller.clone()).await;
    let Outcome::Held(why) = outcome else { panic!("{outcome:?}") };
    assert_eq!(
        why,
        "it wants XRechnung 3 (UBL), which lacks phone in the seller's terms (BR-DE-6, BR-DE-27)"
    );
    assert_eq!(house.store.invoice_list().await.unwrap(), []);

    seller.phone = "+43 512 555".to_owned();
    let (outcome, house) = bill(seller).await;
    assert!(matches!(outcome, Outcome::Made { .. }), "{outcome:?}");
    let invoice = Invoice::from_json(&house.only_invoice().await.document).unwrap();
    let lines: Vec<_> =
        invoice.lines.iter().map(|line| format!("{} {} %", line.net, line.vat_percent)).collect();
    assert_eq!(lines, ["10.00 20 %", "20.00 10 %"]);
    let mail = house.store.mail_list().await.unwrap().remove(0).mail;
    assert_eq!(mail.subject, "Rechnung ALPINE-2026-000001 von Alpine Connect GmbH");
    assert!(
        mail.text.contains("01.10.2026 bis 31.10.2026: EUR 34.00, fällig am 16.11.2026"),
        "{}",
        mail.text
    );
    let names: Vec<_> = mail.attachments.iter().map(|(name, mime, _)| format!("{name} {mime}")).collect();
    assert_eq!(names, ["ALPINE-2026-000001.pdf application/pdf", "ALPINE-2026-000001.xml application/xml"]);
}

#[tokio::test]
async fn wrong_invoice_is_credited_and_billed_again_and_no_run_bills_it_twice() {
    let house = House::new(|_| {}).await;
    let account = house.account("atelier-novak");
    let run = house.run("2026-10", "2026-11-02T00:00:00Z").await;
    run.account(account).await.unwrap();
    let wrong = house.only_invoice().await;
    let early = run.correct(account, &wrong, "Wrong address").await.unwrap_err();
    assert!(early.to_string().contains("credit it first"), "{early}");
    let note = run.credit(account, &wrong, Credited::Whole, "Wrong address").await.unwrap();
    assert_eq!((note.number.as_str(), note.gross), ("INV-2026-000002", wrong.gross));
    let twice = run.credit(account, &wrong, Credited::Whole, "Wrong address").await.unwrap_err();
    assert!(twice.to_string().contains("0.00 EUR of it are left"), "{twice}");
    let again = run.correct(account, &wrong, "Wrong address").await.unwrap();
    let document = Invoice::from_json(&again.document).unwrap();
    assert_eq!(
        (again.number.as_str(), document.preceding().unwrap().0.number.as_str()),
        ("INV-2026-000003", "INV-2026-000001")
    );
    // A later run finds the period billed, and mails each document once.
    let later = house.run("2026-10", "2026-11-03T00:00:00Z").await;
    let Outcome::Kept { number, .. } = later.account(account).await.unwrap() else { panic!("billed twice") };
    assert_eq!(number, "INV-2026-000003");
    let states: Vec<_> =
        house.store.invoice_list().await.unwrap().iter().map(|kept| kept.state.as_str()).collect();
    assert_eq!(states, ["void", "queued", "queued"]);
    assert_eq!(house.store.mail_list().await.unwrap().len(), 3);
}

#[test]
fn call_list_hides_the_last_digits_of_numbers() {
    assert_eq!(masked("436605551234", 3), "436605551***");
    assert_eq!(masked("112", 3), "***");
    assert_eq!(masked("1", 3), "*");
    assert_eq!(masked("Nguyễn", 2), "Nguy**");
    assert_eq!(masked("436605551234", 0), "436605551234");
}

#[track_caller]
fn check(covered: &[(u32, u32)], expected: &str) {
    let days = |first: u32, end: u32| {
        let day = |day| NaiveDate::from_ymd_opt(2026, 11, day).unwrap();
        Period::days(day(first), day(end), chrono_tz::Europe::Vienna).unwrap()
    };
    let covered = covered.iter().map(|&(first, end)| days(first, end)).map(|span| (span.start, span.end));
    let shown = match what_remains(days(1, 30), covered) {
        Remains::Nothing => "nothing".to_owned(),
        Remains::Period(period) => period.in_words(),
        Remains::Pieces => "pieces".to_owned(),
    };
    assert_eq!(shown, expected);
}

#[test]
fn no_day_is_billed_twice_and_none_is_left_out() {
    check(&[], "1 – 29 November 2026");
    check(&[(1, 30)], "nothing");
    check(&[(1, 11)], "11 – 29 November 2026");
    check(&[(1, 11), (11, 21)], "21 – 29 November 2026");
    check(&[(11, 21), (1, 11), (21, 30)], "nothing");
    check(&[(21, 30)], "1 – 20 November 2026");
    check(&[(1, 5), (21, 30)], "5 – 20 November 2026");
    check(&[(11, 21)], "pieces");
    check(&[(1, 5), (11, 21)], "pieces");
}
