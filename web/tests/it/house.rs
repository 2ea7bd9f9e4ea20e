//! The console on a free port, over a real database and a real lake; plain HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::DateTime;
use lake::{Lake, LakeConfig, LaneRows};
use model::{Held, Moment, ProfileVersionId, RatedCdr};
use store::{LaneCommit, NewUser, Store, StoreEffect, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use web::{
    AlertRow, BacktestOutcome, BalanceDesk, BalanceRow, BalanceSheet, BilledAccount, BillingDesk, ChangedFee,
    ChangedRecord, CheckedRule, Desk, Exchange, FeeChanges, FeeFault, FeesApplied, FeesProposed, FeesRefused,
    FeesWanted, Figures, Partner, ProvisioningDesk, RequestLimits, Role, RuleDesk, RuleInForce, RunState,
    ShadowDesk, ShadowState, ShadowSums, StreamDesk, TariffDesk, TestedCall, TriedRoute,
};

/// Everybody's.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// The clock of the house stands still, so nobody would ever be let on again.
const UNLIMITED: RequestLimits = RequestLimits { requests_per_minute: 0, sign_ins_per_minute: 0 };

pub(crate) struct House {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) serving: tokio::task::JoinHandle<Result<(), web::WebError>>,
    pub(crate) store: Store,
    pub(crate) lake: Arc<Lake>,
    /// Seconds since 1970, which is when the house begins.
    pub(crate) seconds: Arc<AtomicU64>,
    _figures: watch::Sender<Figures>,
    _dir: tempfile::TempDir,
}

impl House {
    pub(crate) async fn with_roles(roles: &[&str]) -> Self {
        Self::with_more(roles, "").await
    }

    /// The same with something else provisioned too.
    pub(crate) async fn with_more(roles: &[&str], more: &str) -> Self {
        Self::of(roles, more, &[], UNLIMITED).await
    }

    /// Whoever asks more often is held up.
    pub(crate) async fn with_limits(roles: &[&str], limits: RequestLimits) -> Self {
        Self::of(roles, "", &[], limits).await
    }

    /// Users of these roles need a second factor.
    pub(crate) async fn with_two_factors(roles: &[&str], needing: &[Role]) -> Self {
        Self::of(roles, "", needing, UNLIMITED).await
    }

    async fn of(roles: &[&str], more: &str, needing: &[Role], limits: RequestLimits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        let hash = web::hash_password(PASSWORD).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let figures = Figures {
            calls_active: 7,
            balances: vec![BalanceRow {
                name: "owed by acme".into(),
                amount: "1".into(),
                currency: "EUR".into(),
            }],
            alerts: vec![AlertRow {
                at: String::new(),
                account: "watched<script>".into(),
                rule: String::new(),
                value: String::new(),
                limit: String::new(),
                lock: String::new(),
            }],
            ..Figures::default()
        };
        let (sender, current) = watch::channel(figures);
        let seconds = Arc::new(AtomicU64::default());
        let shown = seconds.clone();
        let clock: Arc<dyn Fn() -> Moment + Send + Sync> = Arc::new(move || {
            let mono = Duration::from_secs(shown.load(Ordering::Relaxed));
            Moment { wall: DateTime::UNIX_EPOCH + mono, mono }
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let lake = Arc::new(
            Lake::open(LakeConfig { dir: dir.path().join("lake"), ..LakeConfig::default() }).unwrap(),
        );
        store.import(&world(), DateTime::UNIX_EPOCH, "test").await.unwrap();
        store.import(&toml::from_str(more).unwrap(), DateTime::UNIX_EPOCH, "test").await.unwrap();
        let known = store.directory().await.unwrap();
        for role in roles {
            // Whoever is outside the house is of the first account.
            let is_outside = role.parse::<Role>().is_ok_and(Role::is_outside);
            let account = known.accounts.iter().find(|account| is_outside && account.handle == "acme");
            let held = NewUser {
                name: role,
                password_hash: &hash,
                role,
                account: account.map(|account| account.id),
                ..NewUser::default()
            };
            if is_outside {
                store.user_let_in(held, "test", DateTime::UNIX_EPOCH).await.unwrap();
            } else {
                store.user_create(role, &hash, role, DateTime::UNIX_EPOCH).await.unwrap();
            }
        }
        keep(&store, &lake).await;
        let directory = Arc::new(std::sync::RwLock::new(Arc::new(store.directory().await.unwrap())));
        let known = directory.clone();
        let desk = Desk {
            store: store.clone(),
            lake: lake.clone(),
            directory: Arc::new(move || directory.read().unwrap().clone()),
            resubmit_refusal: |_| None,
            record_said: |record| serde_json::from_slice(&record.raw).map_err(|why| why.to_string()),
            record_changed: |record, change| {
                let before = serde_json::from_slice(&record.raw).map_err(|why| why.to_string())?;
                let after = change.apply(before)?.to_string();
                let before = String::from_utf8_lossy(&record.raw).into_owned();
                Ok(ChangedRecord { raw: after.clone().into_bytes(), before, after })
            },
            exchange: exchange(),
            rules: rules(),
            provisioning: provisioning(store.clone(), known),
            tariffs: tariffs(),
            shadow: shadow(),
            billing: billing(),
            balances: balances(store.clone()),
            download: Arc::new(|_| Box::pin(std::future::ready(Ok(None)))),
            figures: current,
            passwords: web::Passwords::new(store.clone(), clock.clone(), needing),
            limits,
            is_behind_tls: false,
            clock,
        };
        let serving = tokio::spawn(web::serve(desk, listener, async move { drop(stopped.await) }));
        Self { address, store, lake, seconds, stop: Some(stop), serving, _figures: sender, _dir: dir }
    }

    /// The answer to one request, headers and all.
    pub(crate) async fn ask(&self, request: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let text = format!(
            "{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) async fn sign_in(&self, name: &str, headers: &str) -> String {
        let form = format!("name={name}&password={}", PASSWORD.replace(' ', "+"));
        let headers = format!("Content-Type: application/x-www-form-urlencoded\r\n{headers}");
        self.ask("POST /sign-in", &headers, &form).await
    }

    pub(crate) async fn cookie_of(&self, name: &str) -> String {
        cookie_in(&self.sign_in(name, "").await)
    }

    /// The answer to a form of a page.
    pub(crate) async fn post_form(&self, path: &str, cookie: &str, form: &str) -> String {
        let headers = format!("Content-Type: application/x-www-form-urlencoded\r\n{cookie}");
        self.ask(&format!("POST {path}"), &headers, form).await
    }
}

/// The session that an answer begins, as a header.
pub(crate) fn cookie_in(answer: &str) -> String {
    let line =
        answer.lines().find(|line| line.starts_with("set-cookie: ")).unwrap_or_else(|| panic!("{answer}"));
    assert!(line.contains("HttpOnly") && line.contains("SameSite=Strict"), "{line}");
    format!("Cookie: {}\r\n", line["set-cookie: ".len()..].split(';').next().unwrap())
}

/// Every list makes version 7 of version 1, unless it is wrong in its second line; only version 1 is replaced. One that is called "endless"
/// is compared and applied for ever.
fn tariffs() -> TariffDesk {
    let check = |wanted: &FeesWanted| match &*wanted.list {
        "wrong" => {
            let fault = FeeFault { line: Some(2), said: "the list:2: <wrong>".to_owned() };
            Err(FeesRefused::Faults { said: fault.said.clone(), faults: vec![fault] })
        }
        _ => Ok(()),
    };
    TariffDesk {
        propose: Arc::new(move |wanted| {
            let fee = ChangedFee {
                destination: "49".to_owned(),
                source: "any".to_owned(),
                zone: "Germany".to_owned(),
                before: "1 / 1".to_owned(),
                after: format!("keep {} of {}", wanted.keep, wanted.days),
            };
            let proposed = FeesProposed {
                base: ProfileVersionId(1),
                n_before: 2,
                n_after: 2,
                n_same: 1,
                n_future: 0,
                changes: vec![FeeChanges { change: "dearer", n_fees: 1, fees: vec![fee] }],
                impacts: Vec::new(),
            };
            if &*wanted.list == "endless" {
                return Box::pin(std::future::pending::<Result<FeesProposed, FeesRefused>>());
            }
            Box::pin(std::future::ready(check(&wanted).map(|()| proposed)))
        }),
        apply: Arc::new(move |wanted, _| {
            let applied = FeesApplied {
                version: ProfileVersionId(7),
                n_fees: 2,
                is_changed: true,
                valid_from: wanted.valid_from.unwrap_or(DateTime::UNIX_EPOCH),
                n_resubmitted: 0,
            };
            if &*wanted.list == "endless" {
                return Box::pin(std::future::pending::<Result<FeesApplied, FeesRefused>>());
            }
            let is_stale = wanted.seen != Some(ProfileVersionId(1));
            let stale = || FeesRefused::Stale("another version is in force".to_owned());
            let outcome = check(&wanted).and_then(|()| if is_stale { Err(stale()) } else { Ok(applied) });
            Box::pin(std::future::ready(outcome))
        }),
    }
}

/// Comparisons that are over at once, with the words of the real desk as far as it knows them: two accounts would pay more, one of them by
/// less than a cent, one the same, one less. That of 2026-02 breaks off, and that of 2026-01 goes on for ever.
fn shadow() -> ShadowDesk {
    let sums = |was: &str, would_be: &str| ShadowSums {
        n_calls: 3,
        n_unpriced: 1,
        was: was.parse().unwrap(),
        would_be: would_be.parse().unwrap(),
    };
    let state = Arc::new(std::sync::Mutex::new(ShadowState { is_over: true, ..ShadowState::default() }));
    let shown = state.clone();
    ShadowDesk {
        start: Arc::new(move |wanted| {
            let month = wanted.month.as_deref().unwrap_or("2026-09");
            let begun = chrono::NaiveDate::parse_from_str(&format!("{month}-01"), "%Y-%m-%d");
            let is_at_work = !state.lock().unwrap().is_over;
            let outcome = if is_at_work {
                Err("one is at work".to_owned())
            } else if let Ok(begun) = begun {
                let level = wanted.level.as_str();
                let accounts = match wanted.account {
                    Some(account) => format!("account {account}"),
                    None => "all accounts".to_owned(),
                };
                let priced_by = match wanted.profile {
                    Some(profile) => format!(", calls priced by profile {profile}"),
                    None => String::new(),
                };
                let title = format!(
                    "{} by version {}: {level} prices of {accounts}{priced_by}, for {}",
                    begun.format("%B %Y"),
                    wanted.version,
                    wanted.actor
                );
                if matches!(month, "2026-01" | "2026-02") {
                    let is_over = month == "2026-02";
                    let failure = if is_over { "the lake is <gone>" } else { "" }.to_owned();
                    *state.lock().unwrap() =
                        ShadowState { title, is_over, failure, ..ShadowState::default() };
                    return Box::pin(std::future::ready(Ok::<(), String>(())));
                }
                let accounts = [
                    ("<dear>", "1", "1.5"),
                    ("hair", "1", "1.004"),
                    ("acme", "1", "1"),
                    ("cheap", "1", "0.25"),
                ];
                let named = accounts.map(|(name, was, would_be)| (name.to_owned(), sums(was, would_be)));
                *state.lock().unwrap() = ShadowState {
                    title,
                    is_over: true,
                    n_stretches: 1,
                    n_done: 1,
                    currency: "EUR".to_owned(),
                    total: sums("3", "2.75"),
                    accounts: Arc::new(named.to_vec()),
                    ..ShadowState::default()
                };
                Ok(())
            } else {
                Err("no such month".to_owned())
            };
            Box::pin(std::future::ready(outcome))
        }),
        state: Arc::new(move || shown.lock().unwrap().clone()),
    }
}

/// What the ledger says, without intervals; a statement of one line.
fn balances(store: Store) -> BalanceDesk {
    BalanceDesk {
        sheet: Arc::new(move |account, until| {
            let store = store.clone();
            Box::pin(async move {
                let sums = store.balances_before(account, until).await.map_err(|why| why.to_string())?;
                let sums = sums.into_iter().map(|side| (side.account, side.balance.amount));
                let left = Held::of_sums(account, sums);
                Ok(BalanceSheet { kind: "prepaid", left, ..BalanceSheet::default() })
            })
        }),
        statement_pdf: Arc::new(|_, statement| {
            Box::pin(async move { Ok(format!("%PDF {} rows", statement.rows.len()).into_bytes()) })
        }),
    }
}

/// Runs that are over at once: one account is held back, with the words that it was wanted with.
fn billing() -> BillingDesk {
    let state = Arc::new(std::sync::Mutex::new(RunState { is_over: true, ..RunState::default() }));
    let shown = state.clone();
    BillingDesk {
        start: Arc::new(move |wanted| {
            let mut state = state.lock().unwrap();
            let outcome = if wanted.month.as_deref() == Some("2026-13") {
                Err("no such month".to_owned())
            } else {
                let held = BilledAccount {
                    account: "acme".to_owned(),
                    period: String::new(),
                    number: String::new(),
                    total: String::new(),
                    said: format!("held back: <{wanted:?}>"),
                    is_exception: true,
                };
                *state = RunState {
                    title: "A run".to_owned(),
                    is_over: true,
                    n_accounts: 1,
                    n_done: 1,
                    rows: vec![held],
                    ..RunState::default()
                };
                Ok(())
            };
            Box::pin(std::future::ready(outcome))
        }),
        state: Arc::new(move || shown.lock().unwrap().clone()),
        sums_of: |invoice| {
            let payable = invoice.gross.amount;
            Ok(store::InvoiceSums { payable, calls: invoice.net.amount })
        },
    }
}

/// Rules that refuse accounts called "forbidden"; a change is known once the snapshot is read again.
fn provisioning(store: Store, known: Arc<std::sync::RwLock<Arc<model::Directory>>>) -> ProvisioningDesk {
    ProvisioningDesk {
        rules: store::DeskRules {
            complete: |_, object| {
                let Some(members) = object.as_object_mut() else { return Ok(()) };
                if let Some(password) = members.remove("password") {
                    let hash = format!("hash of {}", password.as_str().unwrap_or_default());
                    members.insert("ha1_md5".to_owned(), hash.clone().into());
                    members.insert("ha1_sha256".to_owned(), hash.into());
                }
                Ok(())
            },
            check: |world, _, _| match world.accounts.iter().find(|new| new.handle.starts_with("forbidden")) {
                Some(new) => Err(store::WorldFault {
                    object: format!("account {:?}", new.handle),
                    field: "calling".to_owned(),
                    rule: "calling.ncos is forbidden".to_owned(),
                }),
                None => Ok(()),
            },
        },
        announce: Arc::new(move |_| {
            let (store, known) = (store.clone(), known.clone());
            Box::pin(async move {
                let fresh = Arc::new(store.directory().await.unwrap());
                *known.write().unwrap() = fresh;
            })
        }),
        try_route: Arc::new(|from, to| {
            let route = TriedRoute {
                over: "alpine".to_owned(),
                uri: format!("sip:{to}@far"),
                ..TriedRoute::default()
            };
            match from {
                "nobody" => Err("nobody is called \"nobody\"".to_owned()),
                _ => Ok(TestedCall { routes: vec![route], ..TestedCall::default() }),
            }
        }),
        try_rewrite: Arc::new(|set, _, _, number| match set {
            "austria" => {
                Ok(vec![["called, coming in".to_owned(), format!("43{number}"), "rule 1".to_owned()]])
            }
            _ => Err(format!("there is no rewrite rule set {set:?}")),
        }),
    }
}

/// The code of an answer.
pub(crate) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

/// What follows its headers.
pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default()
}

/// One customer, one carrier.
fn world() -> World {
    let text = r#"
        tenants = [{ handle = "t", contact = { name = "T" } }]
        [[accounts]]
        handle = "acme"
        contact = { name = "Acme <Ltd>", email = "a@acme.example" }
        [[contracts]]
        account = "acme"
        [[accounts]]
        handle = "carrier"
        kind = "carrier"
        contact = { name = "Carrier" }
    "#;
    toml::from_str(text).unwrap()
}

/// A rated call, as the bus keeps one, with what a carrier is owed for it.
pub(crate) fn rated_call() -> RatedCdr {
    let bytes = include_bytes!("../../../model/tests/golden/v1/rated.bin");
    let model::Body::Rated(mut rated) = model::wire::decode(bytes).unwrap().body else {
        panic!("the kept record is not a rated call");
    };
    let mut owed = rated.charges[0].clone();
    owed.provider = model::Provider::Carrier;
    owed.cost = "0.012345".parse().unwrap();
    rated.charges.push(owed);
    *rated
}

/// The call is in the lake, and kept with its evidence.
async fn keep(store: &Store, lake: &Lake) {
    let rated = rated_call();
    let export = StoreEffect::Export {
        is_left_out: false,
        owner: "system".to_owned(),
        cdr: rated.cdr.id,
        revision: rated.cdr.revision,
        payload: model::wire::encode_rated(&rated),
    };
    let commit = LaneCommit {
        partition: 0,
        expected: 0,
        position: 1,
        watermarks: Vec::new(),
        changes: Vec::new(),
        effects: vec![export],
    };
    store.commit("exports", vec![commit]).await.unwrap();
    let rows = LaneRows { partition: 0, position: 1, watermarks: Vec::new(), rows: vec![rated] };
    lake.commit(vec![rows], DateTime::UNIX_EPOCH).await.unwrap();
}

/// Rules of which one is known; a text that begins with the word "rule" is one.
fn rules() -> RuleDesk {
    RuleDesk {
        in_force: Arc::new(|directory| {
            let name = directory.fraud_rules.first().map_or("night-burst", |saved| saved.name.as_str());
            let rule = |name: &str| RuleInForce {
                name: name.to_owned(),
                version: 1,
                title: "Dear calls at <night>".to_owned(),
                key: "account".to_owned(),
                window: "1h".to_owned(),
                does: "alert".to_owned(),
                is_saved: false,
            };
            vec![rule(name), rule("much")]
        }),
        text_of: Arc::new(|_, name| (name == "night-burst").then(|| "rule night-burst".to_owned())),
        check: |text| match text.strip_prefix("rule ") {
            Some(name) => Ok(CheckedRule { name: name.to_owned(), version: 1, does: "alert".to_owned() }),
            None => Err("1:1: there is no rule; write one".to_owned()),
        },
        backtest: Arc::new(|_, from, to| {
            let outcome = BacktestOutcome {
                n_calls: u64::try_from((to - from).num_days()).unwrap(),
                n_incidents: 1,
                incidents: vec![("2026-10-05 10:00:00".into(), "acme".into(), "attempts 40".into())],
                ..BacktestOutcome::default()
            };
            Box::pin(async move { Ok(outcome) })
        }),
    }
}

/// A carrier that may fetch its files, and a stream for it.
fn exchange() -> Exchange {
    Exchange {
        partners: vec![Partner {
            name: "acme".to_owned(),
            folder: "carriers/acme".to_owned(),
            fetch_within_hours: Some(26),
            networks: vec!["192.0.2.0/24".to_owned()],
            may: vec!["exchange", "rename"],
        }],
        streams: vec![StreamDesk {
            name: "main".to_owned(),
            key: String::new(),
            format: "reference".to_owned(),
            owners: vec!["system".to_owned()],
            due_after: Arc::new(|ran_at| ran_at + chrono::TimeDelta::minutes(30)),
        }],
    }
}
