use invoicing::Credited;
use model::BillingTerms;

use super::calls::masked;
use super::*;

/// Bills October of the sample world, in which every profile has a fee, after `change`. What comes back is, for each
/// customer, its handle, number, issuer and the issuer's IBAN, or why it was held back.
async fn bill(change: impl FnOnce(&mut store::World)) -> Vec<String> {
    let house = House::new(change).await;
    let run = house.run("2026-10", "2026-11-02T00:00:00Z").await;
    let House { store, directory, .. } = &house;
    let mut shown = Vec::new();
    for account in directory.accounts.iter().filter(|account| is_billed(account)) {
        shown.push(match only_of(&run, account).await {
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
        alpine: INV-2026-000001 from Meridian Voice GmbH AT611904300234573201
        nordsee: INV-2026-000002 from Meridian Voice GmbH AT611904300234573201
        baeckerei-huber: ALPINE-2026-000001 from Alpine Connect GmbH AT483200000012345864
        hotel-seeblick: ALPINE-2026-000002 from Alpine Connect GmbH AT483200000012345864
        kanzlei-brandt: NORDSEE-2026-000001 from Nordsee Telefon GmbH DE89370400440532013000
        spedition-voss: NORDSEE-2026-000002 from Nordsee Telefon GmbH DE89370400440532013000
        atelier-novak: INV-2026-000003 from Meridian Voice GmbH AT611904300234573201"#]]
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
        alpine: INV-2026-000001 from Meridian Voice GmbH AT611904300234573201
        nordsee: INV-2026-000002 from Meridian Voice GmbH AT611904300234573201
        baeckerei-huber: its reseller alpine issues the invoice; add name, city to the contact of alpine and import it
        hotel-seeblick: its reseller alpine issues the invoice; add name, city to the contact of alpine and import it
        kanzlei-brandt: NORDSEE-2026-000001 from Nordsee Telefon GmbH DE89370400440532013000
        spedition-voss: NORDSEE-2026-000002 from Nordsee Telefon GmbH DE89370400440532013000
        atelier-novak: INV-2026-000003 from Meridian Voice GmbH AT611904300234573201"#]].assert_eq(&shown.await.join("\n"));
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
        inv: INV-2026-000001 from Meridian Voice GmbH AT611904300234573201
        north-of-the-north-sea-telephones: INV-2026-000002 from Meridian Voice GmbH AT611904300234573201
        baeckerei-huber: INV.1-2026-000001 from Alpine Connect GmbH AT483200000012345864
        hotel-seeblick: INV.1-2026-000002 from Alpine Connect GmbH AT483200000012345864
        kanzlei-brandt: NORTH-OF-T.2-2026-000001 from Nordsee Telefon GmbH DE89370400440532013000
        spedition-voss: NORTH-OF-T.2-2026-000002 from Nordsee Telefon GmbH DE89370400440532013000
        atelier-novak: INV-2026-000003 from Meridian Voice GmbH AT611904300234573201"#]]
    .assert_eq(&shown.await.join("\n"));
}

/// The sample world in a store and a lake of its own, in which every profile has a fee.
struct House {
    store: Store,
    lake: Lake,
    directory: Directory,
    dir: tempfile::TempDir,
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
        Self { store, lake, directory, dir }
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

/// Bills the one period that a window asks for.
async fn only_of(run: &Run<'_>, account: &Account) -> Outcome {
    let [period] = run.periods(account).await.unwrap()[..] else { panic!("one window is one period") };
    run.bill(account, period).await.unwrap()
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
        let outcome = only_of(&run, house.account("baeckerei-huber")).await;
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
    only_of(&run, account).await;
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
    let Outcome::Kept { number, .. } = only_of(&later, account).await else { panic!("billed twice") };
    assert_eq!(number, "INV-2026-000003");
    let states: Vec<_> =
        house.store.invoice_list().await.unwrap().iter().map(|kept| kept.state.as_str()).collect();
    assert_eq!(states, ["void", "queued", "queued"]);
    assert_eq!(house.store.mail_list().await.unwrap().len(), 3);
}

#[tokio::test]
async fn credit_note_has_the_number_of_who_issued_the_invoice_whoever_sells_now() {
    let mut house = House::new(|_| {}).await;
    let run = house.run("2026-10", "2026-11-02T00:00:00Z").await;
    only_of(&run, house.account("hotel-seeblick")).await;
    drop(run);
    let wrong = house.only_invoice().await;
    assert_eq!(wrong.number, "ALPINE-2026-000001");
    // From now on the tenant sells to it, and the reseller goes by another name.
    for account in &mut house.directory.accounts {
        match account.handle.as_str() {
            "hotel-seeblick" => account.reseller = None,
            "alpine" => account.handle = "alpenruf".to_owned(),
            _ => {}
        }
    }
    let account = house.account("hotel-seeblick");
    let run = house.run("2026-10", "2026-12-02T00:00:00Z").await;
    let note = run.credit(account, &wrong, Credited::Whole, "Wrong address").await.unwrap();
    let again = run.correct(account, &wrong, "Wrong address").await.unwrap();
    assert_eq!([note.number, again.number], ["ALPINE-2026-000002", "ALPINE-2026-000003"]);
    assert_eq!((note.seller, again.seller), (wrong.seller, wrong.seller));
    let issuer = Invoice::from_json(&again.document).unwrap().issuer;
    assert_eq!(issuer.name, "Alpine Connect GmbH");
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

/// A priced call of atelier-novak, which has account id `account`, to `zone`.
pub(crate) fn call(account: AccountId, uid: &str, start_at: &str, cost: &str) -> model::RatedCdr {
    let uid = model::CallUid::new(uid);
    let start_at: DateTime<Utc> = start_at.parse().unwrap();
    let party = model::Party::Subscriber {
        subscriber: model::SubscriberId(1),
        account,
        reseller: AccountId(0),
        uuid: "".into(),
    };
    let carrier = model::Party::Trunk { trunk: model::TrunkId(1), account: AccountId(99) };
    let cdr = model::Cdr {
        id: model::CdrId::derive(&uid, 0),
        revision: 0,
        call: uid,
        leg: 0,
        sip_call_id: "".into(),
        node: "sw1".into(),
        tenant: TenantId(1),
        payer: account,
        source: model::CdrSource {
            party,
            user: "novak".into(),
            domain: "sip.meridian.example".into(),
            cli: None,
            clir: false,
            user_out: "".into(),
            ip: "192.0.2.10".into(),
            user_agent: "".into(),
        },
        destination: model::CdrDestination {
            party: carrier,
            dialed: "004930555123".into(),
            domain: "".into(),
            user_in: "".into(),
            number: Some("4930555123".parse().unwrap()),
            user_out: "".into(),
            user_agent: "".into(),
        },
        call_type: model::CallType::Call,
        status: model::CallStatus::Ok,
        code: 200,
        cause: model::Cause::Normal,
        ended_by: model::Initiator::Caller,
        init_at: start_at,
        start_at,
        duration_us: 60_000_000,
        pdd_us: None,
        codec: "".into(),
        attempts: Vec::new(),
        config_revision: 1,
        partial: false,
        detail: model::CdrDetail::default(),
    };
    let charge = model::Charge {
        provider: model::Provider::Customer,
        direction: model::Direction::Out,
        account,
        version: model::ProfileVersionId(1),
        profile: "retail".to_owned(),
        fee: None,
        matched: "49".to_owned(),
        zone: "Germany".to_owned(),
        zone_detail: "fixed".to_owned(),
        currency: model::Currency::EUR,
        cost: cost.parse().unwrap(),
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
    };
    model::RatedCdr { cdr, charges: vec![charge] }
}

impl House {
    /// Puts calls of atelier-novak into lake and ledger; each is uid, start and cost.
    async fn calls(&self, position: u64, calls: &[(&str, &str, &str)]) {
        let account = self.account("atelier-novak").id;
        let rows = calls.iter().map(|(uid, start, cost)| call(account, uid, start, cost)).collect();
        self.rated(position, rows).await;
    }

    /// Puts priced calls into lake and ledger.
    async fn rated(&self, position: u64, rows: Vec<model::RatedCdr>) {
        let charges = rows.iter().flat_map(|rated| (0..).zip(&rated.charges).map(move |of| (rated, of)));
        let postings = charges.map(|(rated, (index, charge))| model::Posting {
            id: model::PostingId::derive(rated.cdr.id, 0, index),
            tenant: TenantId(1),
            account: charge.account,
            at: rated.cdr.start_at,
            debit: model::LedgerAccount::Receivable(charge.account),
            credit: model::LedgerAccount::Revenue(TenantId(1)),
            amount: Money::new(charge.cost, model::Currency::EUR),
            reason: model::PostingReason::Call,
            cdr: Some(rated.cdr.id),
            reverses: None,
        });
        self.store.post(postings.collect()).await.unwrap();
        let mark = lake::Watermark { stage: "rating".to_owned(), partition: 0, offset: position, index: 0 };
        let lane = lake::LaneRows { partition: 0, position, watermarks: vec![mark], rows };
        self.lake.commit(vec![lane], "2026-11-01T00:00:00Z".parse().unwrap()).await.unwrap();
    }

    /// Bills atelier-novak for a month and shows the lines of its invoice.
    async fn bill(&self, month: &str, now: &str) -> String {
        let run = self.run(month, now).await;
        let account = self.account("atelier-novak");
        let [period] = run.periods(account).await.unwrap()[..] else { panic!("one month is one period") };
        match run.bill(account, period).await.unwrap() {
            Outcome::Made { number, .. } => {
                let documents = self.store.invoices_of(account.id).await.unwrap();
                let made = documents.iter().find(|kept| kept.number == number).unwrap();
                lines_of(&Invoice::from_json(&made.document).unwrap())
            }
            other @ (Outcome::Kept { .. } | Outcome::Draft { .. } | Outcome::Nothing | Outcome::Held(_)) => {
                format!("{other:?}")
            }
        }
    }
}

fn lines_of(invoice: &Invoice) -> String {
    let mut shown = String::new();
    for line in &invoice.lines {
        let days = line.days.map_or(String::new(), |(first, _)| format!(" of {first}"));
        let item = match &line.item {
            LineItem::Usage { calls, .. } => format!("{calls} calls"),
            LineItem::LateUsage { calls, .. } => format!("{calls} late calls"),
            LineItem::Recurring { .. } => "fee".to_owned(),
            other @ (LineItem::OneOff { .. } | LineItem::Discount { .. } | LineItem::Part { .. }) => {
                format!("{other:?}")
            }
        };
        shown += &format!("{item}{days} {}\n", line.net);
    }
    shown
}

#[tokio::test]
async fn call_that_comes_after_its_invoice_is_on_the_next_one_with_its_day_and_on_no_other() {
    let house = House::new(|_| {}).await;
    let october = [("a", "2026-10-05T08:00:00Z", "0.5"), ("b", "2026-10-31T22:59:59.999999Z", "0.25")];
    house.calls(1, &october).await;
    assert_eq!(house.bill("2026-10", "2026-11-01T06:00:00Z").await, "fee 10.00\n2 calls 0.75\n");
    // A switch that was cut off hands in its records; one is of November already.
    house.calls(2, &[("c", "2026-10-31T22:59:00Z", "1.005"), ("d", "2026-10-31T23:00:00Z", "0.1")]).await;
    assert!(house.bill("2026-10", "2026-11-02T00:00:00Z").await.starts_with("Kept"));
    assert_eq!(
        house.bill("2026-11", "2026-12-01T06:00:00Z").await,
        "fee 10.00\n1 calls 0.10\n1 late calls of 2026-10-31 1.01\n"
    );
    assert_eq!(house.bill("2026-12", "2027-01-01T06:00:00Z").await, "fee 10.00\n");
    // October is billed again, without the call that November has billed.
    let run = house.run("2026-10", "2027-01-02T00:00:00Z").await;
    let account = house.account("atelier-novak");
    let wrong = house.store.invoices_of(account.id).await.unwrap().remove(0);
    run.credit(account, &wrong, Credited::Whole, "Wrong address").await.unwrap();
    let again = run.correct(account, &wrong, "Wrong address").await.unwrap();
    assert_eq!(lines_of(&Invoice::from_json(&again.document).unwrap()), "fee 10.00\n2 calls 0.75\n");
    assert_eq!(house.bill("2027-01", "2027-02-01T06:00:00Z").await, "fee 10.00\n");
}

#[tokio::test]
async fn reseller_is_billed_for_its_customers_calls_and_each_account_for_its_own_in_one_run() {
    let listed = BillingTerms { call_list: true, ..BillingTerms::default() };
    let house = House::new(|world| world.billing_terms = vec![terms("alpine", listed)]).await;
    let (customer, reseller) = (house.account("hotel-seeblick").id, house.account("alpine").id);
    let mut sold = call(customer, "a", "2026-10-05T08:00:00Z", "0.5");
    let bought = model::Charge {
        provider: model::Provider::Reseller,
        account: reseller,
        cost: "0.3".parse().unwrap(),
        ..sold.charges[0].clone()
    };
    sold.charges.push(bought);
    let direct = call(house.account("atelier-novak").id, "b", "2026-10-06T08:00:00Z", "0.25");
    house.rated(1, vec![sold, direct]).await;
    let mut run = house.run("2026-10", "2026-11-02T00:00:00Z").await;
    let accounts: Vec<_> = house.directory.accounts.iter().filter(|account| is_billed(account)).collect();
    let mut told = Vec::new();
    let mut tell = |account: &Account, outcomes: anyhow::Result<Vec<(Period, Outcome)>>| {
        let outcomes: Vec<_> = outcomes.unwrap().into_iter().map(|(_, outcome)| outcome).collect();
        told.push(format!("{} {outcomes:?}", account.handle));
    };
    run.bill_all(&accounts, &mut tell).await.unwrap();
    assert_eq!(told.len(), accounts.len(), "{told:?}");
    let mut lines = String::new();
    for kept in house.store.invoice_list().await.unwrap() {
        let invoice = Invoice::from_json(&kept.document).unwrap();
        lines += &format!("{} {} {}", kept.number, invoice.account, lines_of(&invoice).replace('\n', "; "));
        lines += &format!("{} calls listed, pdf {}\n", invoice.calls.len(), kept.has_pdf);
    }
    expect_test::expect![[r#"
        INV-2026-000001 alpine fee 10.00; 1 calls 0.30; 1 calls listed, pdf true
        INV-2026-000002 nordsee fee 10.00; 0 calls listed, pdf true
        ALPINE-2026-000001 baeckerei-huber fee 10.00; 0 calls listed, pdf true
        ALPINE-2026-000002 hotel-seeblick fee 10.00; 1 calls 0.50; 0 calls listed, pdf true
        NORDSEE-2026-000001 kanzlei-brandt fee 10.00; 0 calls listed, pdf true
        NORDSEE-2026-000002 spedition-voss fee 10.00; 0 calls listed, pdf true
        INV-2026-000003 atelier-novak fee 10.00; 1 calls 0.25; 0 calls listed, pdf true
    "#]]
    .assert_eq(&lines);
    // A record of its customer in suspense holds the reseller back too.
    let mut next = house.run("2026-11", "2026-12-02T00:00:00Z").await;
    next.suspended.insert(customer, vec![None]);
    next.reseller_of.insert(customer, reseller);
    let Outcome::Held(why) = only_of(&next, house.account("alpine")).await else { panic!("billed") };
    assert!(why.starts_with("1 of its records"), "{why}");
    assert!(matches!(only_of(&next, house.account("nordsee")).await, Outcome::Made { .. }));
}

#[tokio::test]
async fn paid_invoice_leaves_nothing_owed_for_its_calls() {
    let house = House::new(|_| {}).await;
    house.calls(1, &[("a", "2026-10-05T08:00:00Z", "0.505")]).await;
    assert_eq!(house.bill("2026-10", "2026-11-01T06:00:00Z").await, "fee 10.00\n1 calls 0.51\n");
    let kept = house.only_invoice().await;
    let sums = sums_of(&kept).unwrap();
    assert_eq!((sums.payable.to_string(), sums.calls.to_string()), ("12.61".to_owned(), "0.505".to_owned()));
    let now = "2026-11-20T00:00:00Z".parse().unwrap();
    house.store.invoice_paid(kept.id, sums, "test", now).await.unwrap();
    let account = house.account("atelier-novak");
    for moved in house.store.topups_waiting(9).await.unwrap() {
        house.store.post(vec![crate::topup_feed::posting_of(&moved, account)]).await.unwrap();
    }
    let shown: Vec<_> = house.store.balances().await.unwrap();
    let shown: Vec<_> = shown.iter().map(|kept| format!("{} {}", kept.account, kept.balance)).collect();
    let expected = [
        "bank:1 12.61 EUR".to_owned(),
        format!("receivable:{} 0 EUR", account.id),
        "revenue:1 -12.61 EUR".to_owned(),
    ];
    assert_eq!(shown, expected);
    assert!(house.store.balance_check().await.unwrap().is_empty());
}

#[tokio::test]
async fn corrected_invoice_that_is_paid_too_stands_in_the_bank_once() {
    let house = House::new(|_| {}).await;
    house.calls(1, &[("a", "2026-10-05T08:00:00Z", "0.505")]).await;
    house.bill("2026-10", "2026-11-01T06:00:00Z").await;
    let first = house.only_invoice().await;
    let account = house.account("atelier-novak");
    let now = "2026-11-20T00:00:00Z".parse().unwrap();
    let pay = async |invoice: &store::Invoice| {
        house.store.invoice_paid(invoice.id, sums_of(invoice).unwrap(), "test", now).await.unwrap();
    };
    pay(&first).await;
    let run = house.run("2026-10", "2026-11-21T00:00:00Z").await;
    run.credit(account, &first, Credited::Part { line_idx: 0, net: Decimal::ONE }, "goodwill").await.unwrap();
    run.credit(account, &first, Credited::Part { line_idx: 0, net: Decimal::ONE }, "goodwill").await.unwrap();
    let shown = async || {
        for moved in house.store.topups_waiting(99).await.unwrap() {
            house.store.post(vec![crate::topup_feed::posting_of(&moved, account)]).await.unwrap();
            house.store.topups_sent(&[moved.id]).await.unwrap();
        }
        let balances = house.store.balances().await.unwrap();
        balances.iter().map(|kept| format!("{} {}", kept.account, kept.balance)).collect::<Vec<_>>()
    };
    let balances = |bank: &str, owed: &str, revenue: &str| {
        vec![
            format!("bank:1 {bank} EUR"),
            format!("receivable:{} {owed} EUR", account.id),
            format!("revenue:1 {revenue} EUR"),
        ]
    };
    assert_eq!(shown().await, balances("10.21", "0", "-10.21"));
    // The rest, line by line.
    run.credit(account, &first, Credited::Part { line_idx: 0, net: Decimal::from(8) }, "wrong")
        .await
        .unwrap();
    let rest = Credited::Part { line_idx: 1, net: Decimal::new(51, 2) };
    run.credit(account, &first, rest, "wrong").await.unwrap();
    assert_eq!(shown().await, balances("0", "0.505", "-0.505"));
    let first = house.store.invoice_get(first.id).await.unwrap();
    pay(&run.correct(account, &first, "wrong").await.unwrap()).await;
    assert_eq!(shown().await, balances("12.61", "0", "-12.61"));
    assert!(house.store.balance_check().await.unwrap().is_empty());
}

#[tokio::test]
async fn lake_that_cannot_be_read_is_each_accounts_own_trouble() {
    let house = House::new(|_| {}).await;
    house.calls(1, &[("a", "2026-10-05T08:00:00Z", "0.505")]).await;
    std::fs::remove_dir_all(house.dir.path().join("lake/cdrs")).unwrap();
    let accounts: Vec<_> = house.directory.accounts.iter().filter(|account| is_billed(account)).collect();
    let mut n_failed = 0;
    let mut tell = |_: &Account, outcomes: AccountOutcome| n_failed += usize::from(outcomes.is_err());
    house.run("2026-10", "2026-11-02T00:00:00Z").await.bill_all(&accounts, &mut tell).await.unwrap();
    assert_eq!(n_failed, accounts.len());
    assert_eq!(house.store.invoice_list().await.unwrap(), []);
}

#[tokio::test]
async fn of_two_runs_at_once_one_says_that_the_invoice_is_new() {
    let house = House::new(|_| {}).await;
    let account = house.account("atelier-novak");
    let (one, other) = (
        house.run("2026-10", "2026-11-02T00:00:00Z").await,
        house.run("2026-10", "2026-11-02T00:00:00Z").await,
    );
    let (one, other) = tokio::join!(only_of(&one, account), only_of(&other, account));
    let is_new = |outcome: &Outcome| matches!(outcome, Outcome::Made { .. });
    assert_eq!(u8::from(is_new(&one)) + u8::from(is_new(&other)), 1, "{one:?} {other:?}");
}

#[tokio::test]
async fn invoice_paid_before_it_was_mailed_is_mailed() {
    let house = House::new(|_| {}).await;
    let account = house.account("atelier-novak");
    let run = house.run("2026-10", "2026-11-02T00:00:00Z").await;
    let [period] = run.periods(account).await.unwrap()[..] else { panic!("one window is one period") };
    // The crash comes before its PDF.
    run.decide(account, period).await.unwrap();
    let kept = house.only_invoice().await;
    house.store.invoice_paid(kept.id, sums_of(&kept).unwrap(), "test", run.now).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(only_of(&run, account).await, Outcome::Kept { .. }));
        assert_eq!(house.store.mail_list().await.unwrap().len(), 1);
    }
    assert_eq!(house.only_invoice().await.state, InvoiceState::Paid);
}

#[tokio::test]
async fn payment_in_the_ledger_does_not_hold_back_an_invoice() {
    let house = House::new(|_| {}).await;
    house.calls(1, &[("a", "2026-10-05T08:00:00Z", "0.5")]).await;
    let account = house.account("atelier-novak").id;
    let payment = model::Posting {
        id: model::PostingId::derive(model::CdrId::derive(&model::CallUid::new("payment"), 0), 0, 0),
        tenant: TenantId(1),
        account,
        at: "2026-10-06T00:00:00Z".parse().unwrap(),
        debit: model::LedgerAccount::Bank(TenantId(1)),
        credit: model::LedgerAccount::Receivable(account),
        amount: Money::new(Decimal::TEN, model::Currency::EUR),
        reason: model::PostingReason::Payment,
        cdr: None,
        reverses: None,
    };
    house.store.post(vec![payment]).await.unwrap();
    assert_eq!(house.bill("2026-10", "2026-11-01T06:00:00Z").await, "fee 10.00\n1 calls 0.50\n");
}

#[tokio::test]
async fn what_is_due_follows_the_cycle_and_leaves_no_week_out() {
    let weekly = BillingTerms { cycle: BillingCycle::Weekly, ..BillingTerms::default() };
    let house = House::new(|world| world.billing_terms = vec![terms("atelier-novak", weekly)]).await;
    let account = house.account("atelier-novak");
    let due = async |now: &str| {
        let now = now.parse().unwrap();
        let run =
            Run::prepare(&house.store, &house.lake, &house.directory, now, Window::Due, false).await.unwrap();
        let mut shown = Vec::new();
        for period in run.periods(account).await.unwrap() {
            let Outcome::Made { number, gross } = run.bill(account, period).await.unwrap() else {
                panic!("{period} is not billed")
            };
            shown.push(format!("{number} {period} {gross}"));
        }
        shown
    };
    // The week that is over; the fee of 10 a month by days, with 20 % VAT.
    assert_eq!(due("2026-10-14T12:00:00Z").await, ["INV-2026-000001 2026-10-05/2026-10-11 2.71 EUR"]);
    assert_eq!(due("2026-10-18T21:59:59Z").await, [""; 0]);
    assert_eq!(
        due("2026-11-02T23:00:00Z").await,
        [
            "INV-2026-000002 2026-10-12/2026-10-18 2.71 EUR",
            "INV-2026-000003 2026-10-19/2026-10-25 2.71 EUR",
            "INV-2026-000004 2026-10-26/2026-11-01 2.72 EUR"
        ]
    );
}
