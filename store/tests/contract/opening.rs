//! Opening: databases that are fine, and all those that are not.

use std::path::Path;

use sqlx::Connection;
use store::{Store, StoreError};
use tempfile::TempDir;

use crate::database::{self, Database};
use crate::sample::{second, world};

pub(crate) async fn second_start_finds_the_schema_up_to_date(mut db: Database) {
    db.store.import(&world(), second(0), "eve").await.unwrap();
    let directory = db.store.directory().await.unwrap();
    db.reopen().await;
    assert_eq!(db.store.directory().await.unwrap(), directory);
}

pub(crate) async fn database_of_a_later_version_is_left_alone(db: Database) {
    db.meddle(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 9999, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    let refused = Store::open(&db.url).await.unwrap_err();
    assert!(matches!(refused, StoreError::NewerSchema { found: 9999, .. }), "{refused}");
    assert!(!refused.to_string().contains("host="), "{refused}");
    db.meddle("UPDATE _sqlx_migrations SET version = 0 WHERE version = 9999").await;
    let refused = Store::open(&db.url).await.unwrap_err();
    assert!(matches!(refused, StoreError::ForeignSchema { version: 0, .. }), "{refused}");
}

pub(crate) async fn processes_that_start_at_once_make_one_schema(db: Database) {
    let url = if db.url.starts_with("sqlite") {
        db.url.replace("tollbook.db", "new.db")
    } else {
        db.store.close().await;
        db.meddle("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
        db.url.clone()
    };
    let started: Vec<_> = (0..5)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Store::open(&url).await })
        })
        .collect();
    for store in started {
        store.await.unwrap().unwrap().revision().await.unwrap();
    }
}

async fn open_error(file: &Path) -> StoreError {
    let error = Store::open(&format!("sqlite://{}", file.display())).await.unwrap_err();
    assert!(error.to_string().contains(&file.display().to_string()), "names the file: {error}");
    assert!(error.is_users());
    error
}

/// A database with a little in it, closed, its log copied back.
async fn filled(dir: &TempDir) -> std::path::PathBuf {
    let file = dir.path().join("tollbook.db");
    let store = Store::open(&format!("sqlite://{}", file.display())).await.unwrap();
    store.import(&world(), second(0), "eve").await.unwrap();
    store.close().await;
    assert!(!dir.path().join("tollbook.db-wal").exists(), "the last connection copies the log back");
    file
}

#[tokio::test]
async fn truncated_file_is_refused_wherever_it_was_cut() {
    let dir = TempDir::new().unwrap();
    let file = filled(&dir).await;
    let whole = std::fs::read(&file).unwrap();
    for len in [whole.len() - 1, whole.len() / 2, 4096, 100, 50, 7] {
        std::fs::write(&file, &whole[..len]).unwrap();
        let error = open_error(&file).await;
        assert!(matches!(error, StoreError::Truncated { .. }), "{len} bytes: {error}");
        assert_eq!(std::fs::read(&file).unwrap().len(), len, "it is left as it was found");
    }
    std::fs::write(&file, b"").unwrap();
    assert!(matches!(open_error(&file).await, StoreError::Empty { .. }));
    std::fs::write(&file, whole).unwrap();
    Store::open(&format!("sqlite://{}", file.display())).await.unwrap();
}

#[tokio::test]
async fn file_of_another_kind_is_refused() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("tollbook.db");
    std::fs::write(&file, "[switch]\nlisten = \"udp\"\n".repeat(50)).unwrap();
    assert!(matches!(open_error(&file).await, StoreError::NotADatabase { .. }));
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(open_error(&file).await, StoreError::NotADatabase { .. }));
}

#[tokio::test]
async fn damaged_schema_page_is_refused() {
    let dir = TempDir::new().unwrap();
    let file = filled(&dir).await;
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100..4096].fill(0xaa);
    std::fs::write(&file, bytes).unwrap();
    let error = open_error(&file).await;
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn missing_or_unwritable_directory_is_named() {
    let dir = TempDir::new().unwrap();
    let error = open_error(&dir.path().join("missing/tollbook.db")).await;
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
    // The file system of the kernel takes no files, not even from root.
    let error = open_error(Path::new("/proc/tollbook.db")).await;
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
    let error = open_error(dir.path()).await;
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
}

#[tokio::test]
async fn database_held_by_another_process_is_named() {
    let db = database::sqlite().await;
    db.store.close().await;
    let mut holder = db.connect().await;
    sqlx::raw_sql("PRAGMA locking_mode = EXCLUSIVE").execute(&mut holder).await.unwrap();
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut holder).await.unwrap();
    let error = open_error(Path::new(db.url.strip_prefix("sqlite://").unwrap())).await;
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    holder.close().await.unwrap();
}

#[tokio::test]
async fn path_with_odd_characters_is_taken_as_it_is() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("100% toll?book#1.db");
    Store::open(&format!("sqlite://{}", file.display())).await.unwrap().close().await;
    assert!(file.exists());
}

#[tokio::test]
async fn url_of_another_kind_is_refused_without_its_password() {
    let error = Store::open("mysql://bill:s3cret@db/tollbook").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "store url \"mysql://bill@db/tollbook\": unknown scheme; \
         use sqlite:///path/to/tollbook.db or postgres://user@host/database"
    );
    let error = Store::open("postgres://bill:s3cret@127.0.0.1:1/tollbook").await.unwrap_err();
    assert!(matches!(error, StoreError::Connect { .. }), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}
