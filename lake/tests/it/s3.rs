//! The lake in a bucket, on a real server: what holds in a directory holds there; and what can go wrong there alone.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use expect_test::expect;
use futures::TryStreamExt;
use lake::{Lake, LakeConfig, LakeError};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::TempDir;

use crate::gateway::{BUCKET, Gateway};
use crate::world::{ask, at, call, lines, rows};

const PART_1: &str = "cdrs/day=2026-10-05/part-0000000001.parquet";
const PART_2: &str = "cdrs/day=2026-10-05/part-0000000002.parquet";
/// Of the first writer.
const HIDDEN_2: &str = "cdrs/day=2026-10-05/.tmp-part-0000000002-w1";
/// Longer than a sign of life is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const URL: &str = "LAKE_TESTS_URL";

/// A bucket with one lake in it.
struct World {
    gateway: Gateway,
    dir: TempDir,
}

impl World {
    fn new() -> Option<Self> {
        Some(Self { gateway: Gateway::start()?, dir: tempfile::tempdir().unwrap() })
    }

    /// As on the machine `name`: each has a directory of its own.
    fn config_on(&self, name: &str) -> LakeConfig {
        let config = LakeConfig { compact_files_min: 2, ..LakeConfig::new(self.dir.path().join(name)) };
        self.gateway.bucket().config(config, "lake")
    }

    fn config(&self) -> LakeConfig {
        self.config_on("here")
    }

    fn files(&self) -> PathBuf {
        self.gateway.bucket().files.join("lake")
    }

    /// What other tools see of the calls.
    fn visible(&self) -> Vec<String> {
        let mut found: Vec<String> = crate::world::tree(&self.files());
        found.retain(|path| path.ends_with(".parquet"));
        found
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        let store = AmazonS3Builder::new()
            .with_endpoint(self.gateway.bucket().endpoint)
            .with_bucket_name(BUCKET)
            .with_region("us-east-1")
            .with_access_key_id("test-key")
            .with_secret_access_key("test-secret")
            .with_allow_http(true);
        Arc::new(store.build().unwrap())
    }

    async fn rename(&self, from: &str, to: &str) {
        let (from, to) = (Key::from(format!("lake/{from}")), Key::from(format!("lake/{to}")));
        let store = self.store();
        store.copy(&from, &to).await.unwrap();
        store.delete(&from).await.unwrap();
    }

    /// The bucket as it is now.
    async fn objects(&self) -> Vec<(Key, Vec<u8>)> {
        let store = self.store();
        let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
        let mut found = Vec::new();
        for object in listed {
            let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
            found.push((object.location, bytes.to_vec()));
        }
        found
    }

    /// Makes it what it was: the bucket at the instant of a crash.
    async fn restore(&self, objects: &[(Key, Vec<u8>)]) {
        let store = self.store();
        for (key, _) in self.objects().await {
            store.delete(&key).await.unwrap();
        }
        for (key, bytes) in objects {
            store.put(key, bytes.clone().into()).await.unwrap();
        }
    }
}

fn call_n(n: u64) -> model::RatedCdr {
    call(&format!("call-{n}"), &format!("2026-10-05T08:{:02}:{:02}Z", n / 60 % 60, n % 60))
}

async fn commit(lake: &Lake, n: u64) -> Result<(), LakeError> {
    lake.commit(rows(n, vec![call_n(n)]), at("2026-10-05T12:00:00Z")).await
}

/// Those tests of a lake in a directory that its files' place might change, once more in a bucket: by this very program, told where.
#[expect(clippy::disallowed_methods, reason = "a test waits for another process by the clock on the wall")]
#[test]
fn what_holds_in_a_directory_holds_in_a_bucket() {
    const TESTS: [&str; 12] = [
        "commit::replayed_rows_are_refused_and_positions_say_where_to_resume",
        "commit::lanes_keep_their_own_positions_and_watermarks_never_go_back",
        "commit::reader_of_another_process_sees_rows_as_they_are_committed",
        "compaction::answers_are_the_same_after_merging",
        "compaction::merged_files_stay_for_their_readers_and_are_then_deleted",
        "forget::person_leaves_every_column_in_every_form_and_nothing_else_changes",
        "forget::hold_beats_erasure_and_retention",
        "superseded::calls_up_at_noon_are_compared_with_that_day_alone",
        "superseded::corrections_that_are_merged_step_by_step_are_settled_in_the_end",
        "superseded::late_correction_is_compared_with_its_own_day_alone",
        "superseded::merged_corrections_are_not_looked_for_any_more",
        "superseded::row_asked_for_by_its_id_is_looked_for_in_no_other_file",
    ];
    /// Longer than they take on a busy machine: one that hangs is told with what it said.
    const HANGS_AFTER: Duration = Duration::from_secs(55);
    let Some(gateway) = Gateway::start() else { return };
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests.arg("--exact").args(TESTS).arg("--test-threads=4");
    tests.stdout(said.reopen().unwrap()).stderr(said.reopen().unwrap());
    gateway.bucket().hand_to(&mut tests);
    let mut running = tests.spawn().unwrap();
    let began = std::time::Instant::now();
    let done = loop {
        if let Some(done) = running.try_wait().unwrap() {
            break Some(done);
        }
        if began.elapsed() > HANGS_AFTER {
            running.kill().unwrap();
            running.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let said = fs::read_to_string(said.path()).unwrap();
    assert!(done.is_some_and(|done| done.success()), "{said}");
    assert!(said.contains(&format!("{} passed", TESTS.len())), "{said}");
}

#[tokio::test]
async fn what_is_hidden_beside_a_committed_file_never_takes_its_place() {
    let Some(world) = World::new() else { return };
    let lake = Lake::open(world.config()).unwrap();
    commit(&lake, 1).await.unwrap();
    drop(lake);
    let hidden = Key::from("lake/cdrs/day=2026-10-05/.tmp-part-0000000001-w1");
    world.store().put(&hidden, "of one who was taken for dead".into()).await.unwrap();
    let lake = Lake::open(world.config()).unwrap();
    assert_eq!(lines(&lake, "SELECT call_id FROM calls").await, ["call-1"]);
    assert!(world.store().head(&hidden).await.is_err(), "the hidden file stays");
}

#[tokio::test]
async fn two_that_open_from_one_manifest_do_not_put_the_same_one() {
    let Some(world) = World::new() else { return };
    let lake = Lake::open(world.config()).unwrap();
    commit(&lake, 1).await.unwrap();
    drop(lake);
    let before = world.objects().await;
    let mut put = Vec::new();
    for name in ["one", "other"] {
        world.restore(&before).await;
        drop(Lake::open(world.config_on(name)).unwrap());
        let manifest = world.store().get(&Key::from("lake/manifest.json")).await.unwrap();
        put.push(manifest.bytes().await.unwrap());
    }
    // Whose put comes second would take the first one's for his own, with an answer that was lost.
    assert_ne!(put[0], put[1]);
}

#[tokio::test]
async fn proof_of_an_erasure_that_never_was_is_not_shown_and_goes() {
    let Some(world) = World::new() else { return };
    let lake = Lake::open(world.config()).unwrap();
    commit(&lake, 1).await.unwrap();
    let task = lake::forget::Task {
        rules: Vec::new(),
        erasures: vec![lake::forget::Erasure { number: "43660555123".parse().unwrap(), tenant: None }],
        holds: Vec::new(),
        by: "test".to_owned(),
        reason: "test".to_owned(),
    };
    let done = lake.forget(task, at("2026-10-05T13:00:00Z")).await.unwrap();
    let [made] = &done.proofs[..] else { panic!("{done:?}") };
    assert_eq!(lake.proofs().unwrap().len(), 1);
    // As one leaves it that is taken over before its commit, at the very generation of the next one's.
    let (generation, _) = made.split_once('-').unwrap();
    let never = Key::from(format!("lake/{generation}-00000000000000aa.json"));
    let store = world.store();
    let bytes = store.get(&Key::from(format!("lake/{made}"))).await.unwrap().bytes().await.unwrap();
    store.put(&never, bytes.into()).await.unwrap();
    assert_eq!(lake.proofs().unwrap().len(), 1);
    drop(lake);
    let lake = Lake::open(world.config()).unwrap();
    assert!(store.head(&never).await.is_err(), "it stays");
    assert_eq!(lake.proofs().unwrap().len(), 1);
}

#[tokio::test]
async fn files_have_the_names_that_other_tools_read_and_retired_ones_are_read_to_their_end() {
    let Some(world) = World::new() else { return };
    let lake = Lake::open(LakeConfig { retired_keep: Duration::from_secs(60), ..world.config() }).unwrap();
    let reader = Lake::open_to_ask(&world.config_on("reader")).unwrap();
    for n in 1..=4 {
        commit(&lake, n).await.unwrap();
    }
    assert_eq!(world.visible().len(), 4, "{:?}", world.visible());
    let done = lake.compact(at("2026-10-05T12:00:00Z")).await.unwrap();
    assert_eq!((done.files_before, done.files_after), (4, 1));
    let in_the_tree = || world.visible().into_iter().filter(|path| path.starts_with("cdrs/")).count();
    assert_eq!((in_the_tree(), world.visible().len()), (1, 5));
    assert_eq!(ask(&reader, "SELECT count(call_id) FROM calls").await, "4");
    // A reader that still goes by the manifest of before finds the files it names where they are now.
    let old = world.store().get(&Key::from(format!("lake/retired/2026-10-05-{}", &PART_1[20..]))).await;
    assert!(old.is_ok(), "{old:?}");
    assert_eq!(lake.compact(at("2026-10-05T12:01:00Z")).await.unwrap().files_deleted, 4);
    assert_eq!(world.visible().len(), 1);
    assert!(
        fs::read_dir(world.dir.path().join("here/scratch")).unwrap().next().is_none(),
        "copies stay behind"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_never_miss_a_row_while_files_are_merged_under_them() {
    let Some(world) = World::new() else { return };
    let writer = Lake::open(world.config()).unwrap();
    let reader = Lake::open_to_ask(&world.config_on("reader")).unwrap();
    commit(&writer, 1).await.unwrap();
    let merging = tokio::spawn({
        let writer = writer.clone();
        async move {
            for _ in 0..20 {
                writer.compact(at("2026-10-05T12:00:00Z")).await.unwrap();
            }
        }
    });
    for n in 2..=20 {
        commit(&writer, n).await.unwrap();
        // Reads the rows themselves, not the counts of the manifest.
        let seen = ask(&reader, "SELECT count(call_id) FROM calls WHERE duration_seconds > 0").await;
        assert_eq!(seen, n.to_string());
    }
    merging.await.unwrap();
}

#[tokio::test]
async fn killed_at_each_step_of_a_commit_nothing_is_lost_or_doubled() {
    let Some(world) = World::new() else { return };
    let lake = Lake::open(world.config()).unwrap();
    commit(&lake, 1).await.unwrap();
    let before = world.objects().await;
    commit(&lake, 2).await.unwrap();
    let after = world.objects().await;
    drop(lake);
    let part_2 = after.iter().find(|(key, _)| key.as_ref().ends_with(PART_2)).unwrap().1.clone();
    let manifest = |objects: &[(Key, Vec<u8>)]| {
        objects.iter().find(|(key, _)| key.as_ref().ends_with("manifest.json")).unwrap().1.clone()
    };
    let hidden = Key::from(format!("lake/{HIDDEN_2}"));
    // (the rows have been sent, the manifest was replaced, the copy was made, the hidden one was deleted)
    for (sent, replaced, copied, deleted) in [
        (false, false, false, false),
        (true, false, false, false),
        (true, true, false, false),
        (true, true, true, false),
        (true, true, true, true),
    ] {
        world.restore(&before).await;
        let store = world.store();
        if sent && !deleted {
            store.put(&hidden, part_2.clone().into()).await.unwrap();
        }
        if copied {
            store.put(&Key::from(format!("lake/{PART_2}")), part_2.clone().into()).await.unwrap();
        }
        if replaced {
            store.put(&Key::from("lake/manifest.json"), manifest(&after).into()).await.unwrap();
        }
        let step = format!("{sent} {replaced} {copied} {deleted}");
        let committed = if replaced { 2 } else { 1 };
        // Before it is mended, too.
        let reader = Lake::open_to_ask(&world.config()).unwrap();
        assert_eq!(ask(&reader, "SELECT count(call_id) FROM calls").await, committed.to_string(), "{step}");
        let lake = Lake::open(world.config()).unwrap();
        assert_eq!(lake.positions().unwrap().lane(0).unwrap().position, committed, "{step}");
        if committed < 2 {
            commit(&lake, 2).await.unwrap();
        }
        assert_eq!(
            lines(&lake, "SELECT call_id FROM calls ORDER BY 1").await,
            ["call-1", "call-2"],
            "{step}"
        );
        assert_eq!(world.visible().len(), 2, "{step}: {:?}", world.visible());
        let left = world.store().head(&hidden).await;
        assert!(left.is_err(), "{step}: the hidden file stays");
    }
}

/// Not a test: the process that others kill. Commits one call after the other to the lake it is told of, and says each.
#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn writer_process() {
    let Ok(dir) = std::env::var(URL) else { return };
    let endpoint = crate::gateway::Bucket::of_these_tests().unwrap();
    let config = LakeConfig { compact_files_min: 2, ..LakeConfig::new(dir) };
    let config = endpoint.config(config, "lake");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let say = |text: String| {
            let mut out = std::io::stdout();
            writeln!(out, "\n{text}").unwrap();
            out.flush().unwrap();
        };
        let lake = match Lake::open(config) {
            Ok(lake) => lake,
            Err(why) => return say(format!("cannot open: {}", why.code())),
        };
        loop {
            let next = lake.positions().unwrap().lane(0).map_or(0, |lane| lane.position) + 1;
            match commit(&lake, next).await {
                Ok(()) => say(format!("committed {next}")),
                Err(why) => say(format!("refused {}", why.code())),
            }
            if next % 5 == 0 {
                // What a merge cannot do because another process writes is that process's work.
                let _ =
                    lake.compact(at("2026-10-05T12:00:00Z") + TimeDelta::seconds(next.cast_signed())).await;
            }
        }
    });
}

struct Writer {
    child: Child,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Writer {
    fn start(world: &World, dir: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["s3::writer_process", "--exact", "--ignored", "--nocapture"]).env(URL, dir);
        world.gateway.bucket().hand_to(&mut command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, said }
    }

    /// What it says next that begins with one of `words`.
    fn says(&mut self, words: &[&str]) -> String {
        loop {
            let line = self.said.next().expect("the writer has ended").unwrap();
            if words.iter().any(|word| line.starts_with(word)) {
                return line;
            }
        }
    }

    fn signal(&self, signal: &str) {
        assert!(
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success()
        );
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_the_writer_loses_and_doubles_nothing() {
    let Some(world) = World::new() else { return };
    let dir = world.dir.path().join("here");
    let mut n_said = 0;
    for round in 0..6_u64 {
        let mut writer = Writer::start(&world, &dir);
        for _ in 0..3 + round {
            let said = writer.says(&["committed", "refused", "cannot"]);
            n_said = said.strip_prefix("committed ").unwrap_or_else(|| panic!("{said}")).parse().unwrap();
        }
        // At another moment of a commit or a merge each time.
        std::thread::sleep(Duration::from_millis(round * 7));
        drop(writer);
    }
    let lake = Lake::open(world.config()).unwrap();
    let committed = lake.positions().unwrap().lane(0).unwrap().position;
    assert!(committed >= n_said, "{n_said} were said to be committed, {committed} are");
    assert_eq!(ask(&lake, "SELECT count(DISTINCT call_id) FROM calls_history").await, committed.to_string());
    assert_eq!(ask(&lake, "SELECT count(call_id) FROM calls_history").await, committed.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer_that_was_taken_for_dead_commits_nothing_when_it_wakes() {
    let Some(world) = World::new() else { return };
    let mut writer = Writer::start(&world, &world.dir.path().join("there"));
    writer.says(&["committed"]);
    // As long as it lives nobody else writes.
    assert!(matches!(Lake::open(world.config()), Err(LakeError::InUse { .. })));
    writer.signal("-STOP");
    let lake = tokio::task::spawn_blocking({
        let config = world.config();
        move || Lake::open(config).unwrap()
    });
    let lake = tokio::time::timeout(PATIENCE, lake).await.unwrap().unwrap();
    let next = lake.positions().unwrap().lane(0).unwrap().position + 1;
    commit(&lake, next).await.unwrap();
    writer.signal("-CONT");
    // What it said before it fell asleep is of before.
    let refused = loop {
        let said = writer.says(&["refused", "committed"]);
        match said.strip_prefix("committed ") {
            Some(n) => assert!(n.parse::<u64>().unwrap() < next, "{said}, and we {next}"),
            None => break said,
        }
    };
    // Or it was merging, which was refused first and is not said.
    assert!(["refused LAK034", "refused LAK010", "refused LAK002"].contains(&refused.as_str()), "{refused}");
    // Then it stands by.
    assert_eq!(writer.says(&["refused LAK002"]), "refused LAK002");
    commit(&lake, next + 1).await.unwrap();
    assert_eq!(ask(&lake, "SELECT count(call_id) FROM calls_history").await, (next + 1).to_string());
    drop(writer);
    assert_eq!(ask(&lake, "SELECT count(DISTINCT call_id) FROM calls_history").await, (next + 1).to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_down_errors_say_so_and_afterwards_all_goes_on() {
    let Some(mut world) = World::new() else { return };
    let lake = Lake::open(world.config()).unwrap();
    commit(&lake, 1).await.unwrap();
    world.gateway.stop();
    let error = commit(&lake, 2).await.unwrap_err();
    assert!(matches!(error, LakeError::Store { .. }), "{error:?}");
    assert!(error.to_string().contains("does not answer as it should"), "{error}");
    let error = lake.query("SELECT count(call_id) FROM calls").await.unwrap_err();
    assert!(matches!(error, LakeError::Store { .. }), "{error:?}");
    world.gateway.go_on();
    commit(&lake, 2).await.unwrap();
    lake.compact(at("2026-10-05T12:00:00Z")).await.unwrap();
    assert_eq!(lines(&lake, "SELECT call_id FROM calls ORDER BY 1").await, ["call-1", "call-2"]);
    let hidden = crate::world::tree(&world.files()).into_iter().filter(|path| path.contains(".tmp-")).count();
    assert_eq!(hidden, 0, "files of the commits that failed stay behind");
}

#[tokio::test]
async fn what_is_wrong_with_bucket_keys_or_region_is_said_and_no_key_is() {
    let Some(world) = World::new() else { return };
    let said = |config: LakeConfig| {
        let error = Lake::open(config).unwrap_err();
        assert!(error.is_users_input());
        let said = format!("{error} {error:?}");
        assert!(!said.contains("test-secret") && !said.contains("test-key"), "{said}");
        error.to_string().replace(&world.gateway.bucket().endpoint, "ENDPOINT")
    };
    let mut config = world.config();
    config.url = Some("s3://nowhere/lake".to_owned());
    expect![[
        r#"cannot write s3://nowhere/lake/.lock: there is no bucket "nowhere"; make it, or correct lake.url"#
    ]]
    .assert_eq(&said(config));
    let mut config = world.config();
    config.s3.region = Some("eu-west-1".to_owned());
    expect![[r#"cannot write s3://calls/lake/.lock: bucket "calls" is not in region "eu-west-1"; correct lake.s3.region"#]]
        .assert_eq(&said(config));
    let config = world.config();
    let keys = config.s3.credentials.clone().unwrap();
    for (id, secret) in [("test-key", "another"), ("nobody", "test-secret")] {
        fs::write(&keys, format!("aws_access_key_id={id}\naws_secret_access_key={secret}\n")).unwrap();
        let told = said(config.clone());
        assert!(told.contains("the store does not take the access key"), "{told}");
    }
    fs::write(&keys, "aws_access_key_id = test-key\n").unwrap();
    let told = said(config.clone());
    assert!(told.ends_with("has no line aws_secret_access_key = ... in its profile [default]"), "{told}");
    for url in ["calls/lake", "https://calls", "s3://", "s3://ca lls"] {
        let told = said(LakeConfig { url: Some(url.to_owned()), ..world.config() });
        assert!(told.contains("lake.url is like s3://bucket/prefix"), "{told}");
    }
    let mut config = world.config();
    config.s3.allow_http = false;
    assert!(said(config).contains("lake.s3.allow_http"));
}

#[tokio::test]
async fn bucket_that_is_to_be_new_is_not_begun_beside_a_lake_in_the_directory() {
    let Some(world) = World::new() else { return };
    let local = Lake::open(LakeConfig::new(world.dir.path().join("here"))).unwrap();
    commit(&local, 1).await.unwrap();
    drop(local);
    let error = Lake::open(world.config()).unwrap_err();
    assert!(matches!(error, LakeError::LakeElsewhere { .. }), "{error:?}");
    // Copied as it is, it is a lake of the bucket.
    let store = world.store();
    for path in crate::world::tree(&world.dir.path().join("here")) {
        if !path.starts_with('.') {
            let bytes = fs::read(world.dir.path().join("here").join(&path)).unwrap();
            store.put(&Key::from(format!("lake/{path}")), bytes.into()).await.unwrap();
        }
    }
    let lake = Lake::open(world.config()).unwrap();
    commit(&lake, 2).await.unwrap();
    assert_eq!(lines(&lake, "SELECT call_id FROM calls ORDER BY 1").await, ["call-1", "call-2"]);
}

#[tokio::test]
async fn committed_rows_that_are_gone_or_changed_stop_the_lake_and_strangers_are_put_aside() {
    let Some(world) = World::new() else { return };
    let lake = Lake::open(world.config()).unwrap();
    commit(&lake, 1).await.unwrap();
    drop(lake);
    world.store().put(&Key::from("lake/cdrs/day=2026-10-05/part-copy.parquet"), "PAR1".into()).await.unwrap();
    drop(Lake::open(world.config()).unwrap());
    assert_eq!(world.visible(), [PART_1, "strays/2-cdrs-day=2026-10-05-part-copy.parquet"]);
    world.rename(PART_1, "kept").await;
    let missing = Lake::open(world.config()).unwrap_err();
    assert!(matches!(missing, LakeError::FileMissing { rows: 1, .. }), "{missing:?}");
    let reader = Lake::open_to_ask(&world.config()).unwrap();
    let missing = reader.query("SELECT count(call_id) FROM calls").await.unwrap_err();
    assert!(missing.to_string().contains("is not there"), "{missing}");
    world.store().put(&Key::from(format!("lake/{PART_1}")), "PAR1".into()).await.unwrap();
    let damaged = Lake::open(world.config()).unwrap_err();
    assert!(matches!(damaged, LakeError::FileDamaged { found: 4, .. }), "{damaged:?}");
    world.store().delete(&Key::from("lake/manifest.json")).await.unwrap();
    assert!(matches!(Lake::open(world.config()), Err(LakeError::ManifestMissing { .. })));
}
