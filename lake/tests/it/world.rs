//! Calls to put into a lake, and what the tests ask of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use lake::{Lake, LakeConfig, LakeError, LaneRows, S3Config, Watermark};
use model::{
    AccountId, CallStatus, CallType, CallUid, Cause, Cdr, CdrDestination, CdrDetail, CdrId, CdrSource,
    Charge, Currency, Direction, FeeId, Initiator, Party, ProfileVersionId, Provider, RatedCdr, RouteAction,
    RouteTry, SubscriberId, TenantId, TrunkId,
};
use rust_decimal::Decimal;
use tempfile::TempDir;

use crate::gateway::{BUCKET, Bucket};

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// An answered call of customer 1001 to Germany, 131.65 s, 0.109708 EUR, of which the carrier gets 0.030717.
pub(crate) fn call(uid: &str, start_at: &str) -> RatedCdr {
    let call = CallUid::new(uid);
    let start_at = at(start_at);
    let cdr = Cdr {
        id: CdrId::derive(&call, 0),
        revision: 0,
        call,
        leg: 0,
        sip_call_id: format!("{uid}@192.0.2.10").into(),
        node: "sw1".into(),
        tenant: TenantId(1),
        payer: AccountId(1001),
        source: CdrSource {
            party: Party::Subscriber {
                subscriber: SubscriberId(42),
                account: AccountId(1001),
                reseller: AccountId(11),
                uuid: "9b2e2c8e".into(),
            },
            user: "43660555123".into(),
            domain: "sip.example.org".into(),
            cli: Some("43660555123".parse().unwrap()),
            clir: false,
            user_out: "43660555123".into(),
            ip: "192.0.2.10".into(),
            user_agent: "".into(),
        },
        destination: CdrDestination {
            party: Party::Trunk { trunk: TrunkId(3), account: AccountId(9001) },
            dialed: "004930555123".into(),
            domain: "sip.example.org".into(),
            user_in: "4930555123".into(),
            number: Some("4930555123".parse().unwrap()),
            user_out: "4930555123".into(),
            user_agent: "".into(),
        },
        call_type: CallType::Call,
        status: CallStatus::Ok,
        code: 200,
        cause: Cause::Normal,
        ended_by: Initiator::Caller,
        init_at: start_at - TimeDelta::milliseconds(3_136),
        start_at,
        duration_us: 131_650_000,
        pdd_us: Some(1_240_900),
        codec: "PCMA".into(),
        attempts: vec![RouteTry {
            attempt: 1,
            party: Party::Trunk { trunk: TrunkId(3), account: AccountId(9001) },
            code: 200,
            pdd_us: Some(1_240_900),
            action: RouteAction::Stop,
        }],
        config_revision: 17,
        partial: false,
        detail: CdrDetail::default(),
    };
    let charges = vec![
        charge(Provider::Customer, 1001, "0.109708"),
        charge(Provider::Reseller, 11, "0.066"),
        charge(Provider::Carrier, 9001, "0.030717"),
    ];
    RatedCdr { cdr, charges }
}

pub(crate) fn charge(provider: Provider, account: i64, cost: &str) -> Charge {
    Charge {
        provider,
        direction: Direction::Out,
        account: AccountId(account),
        version: ProfileVersionId(7),
        profile: "retail_eur".to_owned(),
        fee: Some(FeeId(99)),
        matched: "49".to_owned(),
        zone: "Germany".to_owned(),
        zone_detail: "fixed".to_owned(),
        currency: Currency::EUR,
        cost: dec(cost),
        free_seconds: 0,
        free_cash: Decimal::ZERO,
        billed_seconds: 132,
        onpeak_seconds: 132,
        offpeak_seconds: 0,
        flat: Decimal::ZERO,
        rounding: "half_up 6".to_owned(),
        pieces: Vec::new(),
        conversion: None,
        fragments: Vec::new(),
    }
}

/// A call that nobody answered: no charges.
pub(crate) fn unanswered(uid: &str, start_at: &str) -> RatedCdr {
    let mut rated = call(uid, start_at);
    rated.cdr.status = CallStatus::Busy;
    rated.cdr.code = 486;
    rated.cdr.cause = Cause::Busy;
    rated.cdr.duration_us = 0;
    rated.cdr.codec = "".into();
    rated.cdr.pdd_us = None;
    rated.charges.clear();
    rated
}

pub(crate) fn rows(position: u64, rows: Vec<RatedCdr>) -> Vec<LaneRows> {
    lane(0, position, rows)
}

pub(crate) fn lane(partition: u32, position: u64, rows: Vec<RatedCdr>) -> Vec<LaneRows> {
    let mark = Watermark { stage: "rating".to_owned(), partition, offset: position, index: 0 };
    vec![LaneRows { partition, position, watermarks: vec![mark], rows }]
}

/// Where the tests of a directory are told to use a bucket.
const ENDPOINT: &str = "LAKE_TESTS_ENDPOINT";
const FILES: &str = "LAKE_TESTS_FILES";

impl Bucket {
    /// The one that this process's tests use, if they use one.
    pub(crate) fn of_these_tests() -> Option<Self> {
        let endpoint = std::env::var(ENDPOINT).ok()?;
        Some(Self { endpoint, files: PathBuf::from(std::env::var(FILES).unwrap()) })
    }

    /// Makes the tests of `command` use it.
    pub(crate) fn hand_to(&self, command: &mut Command) {
        command.env(ENDPOINT, &self.endpoint).env(FILES, &self.files);
    }

    pub(crate) fn config(&self, config: LakeConfig, prefix: &str) -> LakeConfig {
        let credentials = config.dir.with_extension("keys");
        std::fs::create_dir_all(credentials.parent().unwrap()).unwrap();
        std::fs::write(&credentials, Self::keys()).unwrap();
        LakeConfig {
            url: Some(format!("s3://{BUCKET}/{prefix}")),
            s3: S3Config {
                endpoint: Some(self.endpoint.clone()),
                region: Some("us-east-1".to_owned()),
                path_style: true,
                allow_http: true,
                credentials: Some(credentials),
            },
            ..config
        }
    }
}

/// A lake in a directory of its own; where the tests run on a bucket (`s3.rs`), below a prefix of its own.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) now: DateTime<Utc>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), now: at("2026-10-05T12:00:00Z") }
    }

    /// Where its files are, for whoever looks at them: the gateway keeps objects as files.
    pub(crate) fn path(&self) -> PathBuf {
        match Bucket::of_these_tests() {
            None => self.dir.path().join("lake"),
            Some(bucket) => bucket.files.join(self.prefix()),
        }
    }

    fn prefix(&self) -> String {
        let name = self.dir.path().file_name().unwrap().to_str().unwrap();
        format!("{}/lake", name.trim_start_matches('.'))
    }

    pub(crate) fn config(&self) -> LakeConfig {
        let config = LakeConfig { compact_files_min: 2, ..LakeConfig::new(self.dir.path().join("lake")) };
        match Bucket::of_these_tests() {
            None => config,
            Some(bucket) => bucket.config(config, &self.prefix()),
        }
    }

    pub(crate) fn reader(&self) -> Result<Lake, LakeError> {
        Lake::open_to_ask(&self.config())
    }

    pub(crate) fn open(&self) -> Lake {
        Lake::open(self.config()).unwrap()
    }
}

/// One cell of a query's result.
pub(crate) async fn ask(lake: &Lake, sql: &str) -> String {
    let result = lake.query(sql).await.unwrap();
    let rows = result.rows();
    assert_eq!((rows.len(), rows[0].len()), (1, 1), "{sql}");
    rows[0][0].clone().unwrap_or_else(|| "NULL".to_owned())
}

/// A query's result, one row a line.
pub(crate) async fn lines(lake: &Lake, sql: &str) -> Vec<String> {
    let result = lake.query(sql).await.unwrap();
    let text = |cell: Option<String>| cell.unwrap_or_else(|| "NULL".to_owned());
    result.rows().into_iter().map(|row| row.into_iter().map(text).collect::<Vec<_>>().join(" | ")).collect()
}

/// Files below a directory, relative, sorted.
pub(crate) fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// Copies a directory as it is: the disk at the instant of a crash.
pub(crate) fn copy(from: &Path, to: &Path) {
    for file in tree(from) {
        let target = to.join(&file);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(from.join(&file), target).unwrap();
    }
}
