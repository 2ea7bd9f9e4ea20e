//! What partners put, read once, and nothing of it applied.

use super::*;

async fn store(dir: &Path) -> Store {
    Store::open(&format!("sqlite://{}", dir.join("t.db").display())).await.unwrap()
}

fn config(dir: &Path, deck: &str) -> SftpSection {
    let text = format!(
        "inbox_to = [\"peering@example.org\"]\n[[users]]\nname = \"acme\"\nfolder = \"carriers/acme\"\nexchange = true\n{deck}"
    );
    let mut config: SftpSection = toml::from_str(&text).unwrap();
    config.exchange_dir = dir.join("sftp");
    config
}

fn put(dir: &Path, path: &str, contents: &str) -> PathBuf {
    let path = dir.join("sftp/acme").join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, contents).unwrap();
    path
}

async fn publish(store: &Store, name: &str) {
    let format = store::KeptFormat { name: "csv".to_owned(), description: String::new() };
    store.export_keep_format("hash", &format).await.unwrap();
    let plan = store::ExportPlan {
        owner: "carrier:1",
        rows_max: 1,
        now: DateTime::UNIX_EPOCH,
        format: "hash",
        zone: "UTC",
        owner_name: "acme",
        may_be_empty: true,
        corrections: None,
    };
    let file = store.export_plan(plan, None, |_, _| name.to_owned()).await.unwrap().unwrap();
    store
        .export_written(&[store::ExportReport { file: file.id, n_bytes: 100, md5: "md5", sha256: "sha256" }])
        .await
        .unwrap();
}

async fn inbox(store: &Store) -> Vec<String> {
    let entries = store.inbox_latest(None, None, 100).await.unwrap();
    entries
        .into_iter()
        .map(|entry| format!("{}/{} {}: {}", entry.file.folder, entry.file.name, entry.kind, entry.note))
        .collect()
}

#[tokio::test]
async fn acknowledgement_is_kept_beside_the_file_and_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, config) = (store(dir.path()).await, config(dir.path(), ""));
    for name in ["carriers/acme/1.cdr", "carriers/acme/2.cdr"] {
        publish(&store, name).await;
    }
    put(dir.path(), "ack/1.cdr.ack", "");
    put(dir.path(), "ack/later.7-1.part", "2.cdr;OK");
    let directory = Directory::default();
    let now = DateTime::UNIX_EPOCH;
    for _ in 0..2 {
        look(&store, &directory, &config, now).await.unwrap();
    }
    assert_eq!(inbox(&store).await, ["ack/1.cdr.ack acknowledgement: accepts 1 files"]);
    assert_eq!(store.mail_list().await.unwrap().len(), 0, "all is well");

    put(dir.path(), "ack/day.txt", "out/2.cdr;ERROR;md5 differs\n9.cdr;OK\n");
    look(&store, &directory, &config, now).await.unwrap();
    let said: Vec<_> = store
        .acks_of("acme")
        .await
        .unwrap()
        .into_iter()
        .map(|ack| (ack.file, ack.is_accepted, ack.reason))
        .collect();
    assert_eq!(
        said,
        [
            ("carriers/acme/1.cdr".to_owned(), true, String::new()),
            ("carriers/acme/2.cdr".to_owned(), false, "md5 differs".to_owned()),
        ]
    );
    let mails = store.mail_list().await.unwrap();
    assert_eq!(mails.len(), 1);
    let text = &mails[0].mail.text;
    assert!(text.contains("refuses carriers/acme/2.cdr: md5 differs") && text.contains("9.cdr"), "{text}");
    // The partner has looked again: its last word counts.
    put(dir.path(), "ack/2.cdr.ok", "");
    look(&store, &directory, &config, now).await.unwrap();
    assert!(store.acks_of("acme").await.unwrap().iter().all(|ack| ack.is_accepted));
}

#[tokio::test]
async fn file_that_says_nothing_clear_marks_nothing_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (store, config) = (store(dir.path()).await, config(dir.path(), ""));
    publish(&store, "carriers/acme/1.cdr").await;
    put(dir.path(), "ack/x.txt", "1.cdr;OK\n1.cdr;maybe\n");
    let outside = dir.path().join("secret.ack");
    std::fs::write(&outside, "").unwrap();
    std::os::unix::fs::symlink(&outside, dir.path().join("sftp/acme/ack/1.cdr.ack")).unwrap();
    put(dir.path(), "in/letter.pdf", "%PDF");
    look(&store, &Directory::default(), &config, DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(store.acks_of("acme").await.unwrap(), []);
    let shown = inbox(&store).await;
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(
        shown.iter().any(|line| line.starts_with("ack/x.txt unreadable: line 2 does not say")),
        "{shown:?}"
    );
    assert!(
        shown.iter().any(|line| line.starts_with("in/letter.pdf other: no rate_deck is configured")),
        "{shown:?}"
    );
    assert_eq!(store.mail_list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn rate_deck_is_offered_with_what_it_changes_and_never_applied() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path()).await;
    // The sample of `tollbook init`, whose carriers have profiles.
    let home = dir.path().join("sample");
    crate::commands::init::init(&home).unwrap();
    let world = crate::world_file::read(&home.join("world.toml")).unwrap();
    let now = "2026-11-25T12:00:00Z".parse().unwrap();
    store.import(&world, now, "test").await.unwrap();
    let directory = store.directory().await.unwrap();
    let profile = directory.tariffs[0].profile.handle.clone();
    let config = config(dir.path(), &format!("rate_deck = {{ profile = {profile:?}, keep = true }}"));
    let header = "source,destination,direction,zone,zone_detail,onpeak_init_rate,onpeak_init_interval,onpeak_follow_rate,\
                  onpeak_follow_interval,offpeak_init_rate,offpeak_init_interval,offpeak_follow_rate,offpeak_follow_interval";
    put(dir.path(), "in/deck.csv", &format!("{header}\n,99887,out,nowhere,,0.5,60,0.5,60,0.5,60,0.5,60\n"));
    put(dir.path(), "in/broken.csv", "not a deck\n");
    look(&store, &directory, &config, now).await.unwrap();
    let shown = inbox(&store).await;
    let deck = shown.iter().find(|line| line.starts_with("in/deck.csv")).unwrap();
    assert!(deck.contains("new: 1 (99887)") && deck.contains("tollbook import fees "), "{deck}");
    assert!(deck.contains("Nothing was applied"), "{deck}");
    assert!(
        shown.iter().any(|line| line.starts_with("in/broken.csv unreadable: it cannot be used")),
        "{shown:?}"
    );
    assert_eq!(store.directory().await.unwrap(), directory);
    assert_eq!(store.mail_list().await.unwrap().len(), 2);
}
