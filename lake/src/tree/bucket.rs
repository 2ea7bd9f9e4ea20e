//! A lake in a bucket of an object store that speaks S3.
//!
//! Files are written on this machine, below `lake.dir`, and sent under a hidden name that bears the writer's number. The manifest is
//! replaced by a put with If-Match: who does not know the newest one commits nothing, whoever he believes to be. Names change by copies
//! made by the server. Each opening for writing raises the writer's number in the manifest, so that whatever a former writer still sends
//! lies beside the names of the next one.

use std::collections::HashMap;
use std::fs::{self, File};
use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::buffered::BufWriter;
use object_store::client::SpawnedReqwestConnector;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{
    ClientOptions, Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig,
    UpdateVersion,
};
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::{Handle, Runtime, RuntimeFlavor};

use super::lock::{Lock, random};
use super::trouble::{self, Where};
use super::{Fetched, Version};
use crate::config::credentials;
use crate::error::IoContext;
use crate::forget::{PROOFS, unnamed};
use crate::layout::{self, Spot};
use crate::manifest::Manifest;
use crate::{LakeConfig, LakeError};

const MANIFEST: &str = "manifest.json";
/// Requests at once, where there are many to be made.
const AT_ONCE: usize = 16;
/// Threads for the store's connections.
const IO_THREADS: usize = 2;
/// A request is given up after so long, and tried again.
const REQUEST_MAX: Duration = Duration::from_secs(60);
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How often, and for how long, a request is tried again; the pauses grow from a tenth of a second.
const RETRIES_MAX: usize = 6;
const RETRY_MAX: Duration = Duration::from_secs(20);
/// How often an opening begins again because the manifest was replaced meanwhile.
const ENTER_ATTEMPTS: u32 = 5;

/// Where Amazon's tools look for the address of a store, the first before the others.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];

/// A manifest, and which one it is.
type Seen = (Arc<Manifest>, Version);

/// The bucket, or the part of it below a prefix.
#[derive(Debug)]
pub(crate) struct Bucket {
    place: PathBuf,
    names: Where,
    store: Arc<dyn ObjectStore>,
    io: Io,
    /// Directory of this machine.
    dir: PathBuf,
    /// The manifest read or written last: it is asked for again only if it has changed.
    seen: Mutex<Option<Seen>>,
    /// The writer of that manifest.
    writer: AtomicU64,
    /// How often a query looked for a file that was nowhere.
    n_gone: AtomicU64,
}

/// The threads that talk to the store: those who wait for them may be on any thread.
#[derive(Debug)]
struct Io(Option<Runtime>);

impl Io {
    fn handle(&self) -> Result<Handle, LakeError> {
        self.0.as_ref().map(|runtime| runtime.handle().clone()).ok_or_else(|| LakeError::Internal {
            problem: "the threads of the object store have ended".to_owned(),
        })
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A runtime that is dropped waits, which a task of another one may not.
            runtime.shutdown_background();
        }
    }
}

impl Bucket {
    pub(super) fn new(url: &str, config: &LakeConfig) -> Result<Self, LakeError> {
        let wrong = |problem: &str| LakeError::Url { url: url.to_owned(), problem: problem.to_owned() };
        let rest = url.strip_prefix("s3://").ok_or_else(|| wrong("it begins with s3://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
        if bucket.is_empty() || !bucket.chars().all(is_name) {
            return Err(wrong("the name of a bucket is missing, or has letters that none has"));
        }
        let prefix = prefix.trim_matches('/');
        let prefix = Key::parse(prefix).map_err(|_| wrong("what is behind the bucket is no prefix"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(IO_THREADS)
            .thread_name("lake-store")
            .enable_all()
            .build()
            .at("start threads for", Path::new(url))
            .map(|runtime| Io(Some(runtime)))?;
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_virtual_hosted_style_request(!config.s3.path_style)
            .with_allow_http(config.s3.allow_http)
            .with_http_connector(SpawnedReqwestConnector::new(runtime.handle()?))
            .with_client_options(
                ClientOptions::new()
                    .with_timeout(REQUEST_MAX)
                    .with_connect_timeout(CONNECT_MAX)
                    .with_allow_http(config.s3.allow_http),
            )
            .with_retry(RetryConfig {
                max_retries: RETRIES_MAX,
                retry_timeout: RETRY_MAX,
                ..RetryConfig::default()
            });
        let region = match &config.s3.region {
            Some(region) => region.clone(),
            None => std::env::var("AWS_REGION").unwrap_or_else(|_| "us-east-1".to_owned()),
        };
        builder = builder.with_region(&region);
        // Amazon's tools take it from there too; the bucket's name has still to get into it.
        let from_env =
            || ENDPOINTS.iter().find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()));
        let endpoint = config.s3.endpoint.clone().or_else(from_env);
        if let Some(endpoint) = &endpoint {
            if endpoint.starts_with("http://") && !config.s3.allow_http {
                return Err(LakeError::Url {
                    url: endpoint.clone(),
                    problem: "over http:// anybody on the way reads and changes the calls; use https://, or set lake.s3.allow_http = true"
                        .to_owned(),
                });
            }
            let endpoint = endpoint.trim_end_matches('/');
            let url = match endpoint.split_once("://") {
                Some((scheme, host)) if !config.s3.path_style => format!("{scheme}://{bucket}.{host}"),
                _ => endpoint.to_owned(),
            };
            // One for S3 alone goes before the other, and may have come from the environment.
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, &url).with_endpoint(url);
        }
        if let Some(file) = &config.s3.credentials {
            let keys = credentials(file)?;
            builder = builder.with_access_key_id(keys.id).with_secret_access_key(keys.secret);
            if let Some(token) = keys.token {
                builder = builder.with_token(token);
            }
        }
        // What it says may repeat a value.
        let store = builder.build().map_err(|_| wrong("endpoint, region or keys cannot be used"))?;
        let store: Arc<dyn ObjectStore> = if prefix.as_ref().is_empty() {
            Arc::new(store)
        } else {
            Arc::new(PrefixStore::new(store, prefix))
        };
        Ok(Self {
            place: PathBuf::from(url.trim_end_matches('/')),
            names: Where { bucket: bucket.to_owned(), region, endpoint },
            store,
            io: runtime,
            dir: config.dir.clone(),
            seen: Mutex::new(None),
            writer: AtomicU64::new(0),
            n_gone: AtomicU64::new(0),
        })
    }

    /// What people are shown.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    pub(super) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The directory of this machine.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Of the newest manifest that was seen.
    pub(super) fn writer(&self) -> u64 {
        self.writer.load(Ordering::Acquire)
    }

    pub(super) fn note_gone(&self) {
        self.n_gone.fetch_add(1, Ordering::AcqRel);
    }

    /// How often a query looked for a file that was nowhere.
    pub(crate) fn n_gone(&self) -> u64 {
        self.n_gone.load(Ordering::Acquire)
    }

    pub(super) fn handle(&self) -> Result<Handle, LakeError> {
        self.io.handle()
    }

    /// Carries `work` out on our own threads, and waits. On a thread that serves others these go elsewhere meanwhile.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, LakeError> {
        let (sender, receiver) = mpsc::channel();
        self.handle()?.spawn(async move {
            // Whoever waited may have been ended.
            let _ = sender.send(work.await);
        });
        let receive = || receiver.recv();
        let received = match Handle::try_current() {
            Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
                tokio::task::block_in_place(receive)
            }
            Ok(_) | Err(_) => receive(),
        };
        received
            .map_err(|_| LakeError::Internal { problem: "a request to the object store ended".to_owned() })
    }

    pub(super) fn trouble(&self, action: &'static str, path: &str, error: &Error) -> LakeError {
        trouble::of(&self.names, action, &self.place.join(path), error)
    }

    /// The manifest as it is now; `None` where there is none.
    pub(super) fn read_manifest(&self) -> Result<Option<Seen>, LakeError> {
        let known = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (store, etag) = (self.store.clone(), known.as_ref().and_then(|(_, version)| version.0.clone()));
        let got = self.wait(async move {
            let options = GetOptions { if_none_match: etag, ..GetOptions::default() };
            let got = store.get_opts(&Key::from(MANIFEST), options).await?;
            let etag = got.meta.e_tag.clone();
            Ok((got.bytes().await?, etag))
        })?;
        match got {
            Ok((bytes, etag)) => {
                let path = layout::manifest(&self.place);
                let seen = (Arc::new(Manifest::from_bytes(&bytes, &path)?), Version(etag));
                Ok(Some(self.remember(seen)))
            }
            Err(Error::NotModified { .. }) if known.is_some() => Ok(known),
            Err(error) if trouble::is_absent(&error) => Ok(None),
            Err(error) => Err(self.trouble("read", MANIFEST, &error)),
        }
    }

    fn remember(&self, seen: Seen) -> Seen {
        let mut last = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Two that read at once may come back in either order.
        if last.as_ref().is_none_or(|(last, _)| last.generation <= seen.0.generation) {
            self.writer.store(seen.0.writer, Ordering::Release);
            *last = Some(seen.clone());
        }
        seen
    }

    /// Puts `next` in the place of the manifest that is `seen`, or where there is none.
    pub(super) fn replace_manifest(&self, next: &Manifest, seen: &Version) -> Result<Version, LakeError> {
        let bytes = next.to_bytes()?;
        let mode = match &seen.0 {
            Some(etag) => PutMode::Update(UpdateVersion { e_tag: Some(etag.clone()), version: None }),
            None => PutMode::Create,
        };
        let store = self.store.clone();
        let put = self.wait(async move {
            store.put_opts(&Key::from(MANIFEST), PutPayload::from(bytes), mode.into()).await
        })?;
        match put {
            Ok(done) => {
                let version = Version(done.e_tag);
                self.remember((Arc::new(next.clone()), version.clone()));
                Ok(version)
            }
            Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => match self.read_manifest()? {
                // The answer to our own put was lost, and it was sent again.
                Some((found, version)) if *found == *next => Ok(version),
                _ => Err(LakeError::TakenOver { dir: self.place.clone() }),
            },
            Err(error) => Err(self.trouble("replace", MANIFEST, &error)),
        }
    }

    /// Becomes the one that writes, together with the lock of this machine and the sign in the bucket.
    pub(super) fn lock(self: &Arc<Self>) -> Result<Lock, LakeError> {
        Lock::take(self.clone())
    }

    /// Brings the tree in line with the manifest and raises the writer's number. Nothing of what a writer does that is still alive is
    /// touched before that, but what it would do as well.
    pub(super) fn enter(&self) -> Result<(Manifest, Version), LakeError> {
        let scratch = self.dir.join(SCRATCH);
        if scratch.is_dir() {
            fs::remove_dir_all(&scratch).at("clear", &scratch)?;
        }
        fs::create_dir_all(&scratch).at("create", &scratch)?;
        for _ in 0..ENTER_ATTEMPTS {
            let found = self.read_manifest()?;
            let files = self.row_files()?;
            let (manifest, seen) = match found {
                Some((manifest, version)) => (Manifest::clone(&*manifest), version),
                None if files.keys().any(|path| layout::is_final(path)) => {
                    return Err(LakeError::ManifestMissing { dir: self.place.clone() });
                }
                None if layout::manifest(&self.dir).is_file() => {
                    return Err(LakeError::LakeElsewhere { dir: self.dir.clone(), url: self.place.clone() });
                }
                None => (Manifest::empty(), Version::default()),
            };
            let files = if self.settle_files(&manifest, &files)? { self.row_files()? } else { files };
            self.check(&manifest, &files)?;
            // Listed before we are the writer: none of them is of one who comes after us.
            let proofs = self.documents(PROOFS)?;
            let next = opened(manifest, &files);
            match self.replace_manifest(&next, &seen) {
                Ok(version) => {
                    self.sweep(&next, &files)?;
                    for name in unnamed(&proofs, &next) {
                        tracing::warn!(name, "the proof of a commit that was not made is deleted");
                        self.remove(&format!("{PROOFS}/{name}"))?;
                    }
                    return Ok((next, version));
                }
                Err(LakeError::TakenOver { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(LakeError::InUse { dir: self.place.clone() })
    }

    /// Every file that holds rows, or was going to, with its size.
    fn row_files(&self) -> Result<HashMap<String, u64>, LakeError> {
        let store = self.store.clone();
        let listed = self.wait(async move {
            let mut found = HashMap::new();
            for root in [layout::CDRS, layout::TABLES] {
                let mut list = store.list(Some(&Key::from(root)));
                while let Some(object) = list.try_next().await? {
                    let path = object.location.to_string();
                    if layout::is_row_file(&path) {
                        found.insert(path, object.size);
                    }
                }
            }
            Ok(found)
        })?;
        listed.map_err(|error: Error| self.trouble("list", "", &error))
    }

    /// Does whatever of the manifest's names and moves is still to be done.
    pub(super) fn settle(&self, manifest: &Manifest) -> Result<(), LakeError> {
        let files = self.row_files()?;
        self.settle_files(manifest, &files).map(|_| ())
    }

    fn settle_files(&self, manifest: &Manifest, files: &HashMap<String, u64>) -> Result<bool, LakeError> {
        let mut hidden = Vec::new();
        for file in manifest.live() {
            let path = file.spot.hidden_path_of(manifest.writer);
            if !files.contains_key(&path) {
                continue;
            }
            // What was committed is there already: whatever is hidden beside it takes its place no more.
            if files.get(&file.spot.final_path()) == Some(&file.bytes) {
                self.remove(&path)?;
            } else {
                hidden.push(file.spot);
            }
        }
        let retired: Vec<Spot> =
            manifest.retired_spots().filter(|spot| files.contains_key(&spot.final_path())).collect();
        self.name_finally(&hidden, manifest.writer)?;
        self.move_out(&retired)?;
        Ok(!hidden.is_empty() || !retired.is_empty())
    }

    /// Whether every committed row is there, in files of the size they were committed with.
    fn check(&self, manifest: &Manifest, files: &HashMap<String, u64>) -> Result<(), LakeError> {
        for file in manifest.live() {
            let relative = file.spot.final_path();
            let path = self.place.join(&relative);
            match files.get(&relative) {
                None => return Err(LakeError::FileMissing { path, rows: file.rows }),
                Some(found) if *found != file.bytes => {
                    return Err(LakeError::FileDamaged { path, expected: file.bytes, found: *found });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Clears the tree of what was there before `manifest` was put, and is not named by it.
    fn sweep(&self, manifest: &Manifest, files: &HashMap<String, u64>) -> Result<(), LakeError> {
        let live: std::collections::HashSet<String> =
            manifest.live().map(|file| file.spot.final_path()).collect();
        for path in files.keys().filter(|path| !live.contains(*path)) {
            if layout::is_hidden(path) {
                tracing::warn!(path = %self.place.join(path).display(), "unfinished lake file deleted");
                self.remove(path)?;
                continue;
            }
            let to = format!("strays/{}-{}", manifest.writer, path.replace('/', "-"));
            tracing::warn!(
                from = %self.place.join(path).display(), to = %self.place.join(&to).display(),
                "file that no commit names moved out of the lake"
            );
            self.rename(vec![(path.clone(), to)])?;
        }
        Ok(())
    }

    /// Where a file is written before it is sent.
    pub(super) fn scratch(&self, spot: &Spot) -> PathBuf {
        self.dir.join(SCRATCH).join(spot.hidden_path().replace('/', "-"))
    }

    /// Sends what was written there, in parts where it is large.
    pub(super) fn send(&self, spot: &Spot, writer: u64) -> Result<(), LakeError> {
        let (from, to) = (self.scratch(spot), spot.hidden_path_of(writer));
        let (store, key, path) = (self.store.clone(), Key::from(to.as_str()), from.clone());
        let sent = self.wait(async move {
            let mut file = tokio::fs::File::open(&path).await?;
            let mut object = BufWriter::new(store, key);
            let copied = tokio::io::copy(&mut file, &mut object).await;
            if let Err(why) = copied {
                // Parts that nobody puts together cost as long as the bucket is there. That they cannot be taken back says nothing new.
                let _ = object.abort().await;
                return Err(why);
            }
            object.shutdown().await
        })?;
        let removed = fs::remove_file(&from).at("delete", &from);
        sent.map_err(|error| match error.downcast::<Error>() {
            Ok(error) => self.trouble("write", &to, &error),
            Err(source) => LakeError::Io { action: "send", path: from, source },
        })?;
        removed
    }

    pub(super) fn discard(&self, spot: &Spot, writer: u64) -> Result<(), LakeError> {
        layout::remove_if_there(&self.scratch(spot))?;
        self.remove(&spot.hidden_path_of(writer))
    }

    pub(super) fn name_finally(&self, spots: &[Spot], writer: u64) -> Result<(), LakeError> {
        self.rename(spots.iter().map(|spot| (spot.hidden_path_of(writer), spot.final_path())).collect())
    }

    pub(super) fn move_out(&self, spots: &[Spot]) -> Result<(), LakeError> {
        self.rename(spots.iter().map(|spot| (spot.final_path(), spot.retired_path())).collect())
    }

    /// Has the server copy objects and delete the first ones; what is not there has been moved already.
    fn rename(&self, moves: Vec<(String, String)>) -> Result<(), LakeError> {
        if moves.is_empty() {
            return Ok(());
        }
        let store = self.store.clone();
        let done = self.wait(async move {
            let moving = moves.into_iter().map(|(from, to)| {
                let store = store.clone();
                async move {
                    let (source, target) = (Key::from(from.as_str()), Key::from(to));
                    let moved = match store.copy(&source, &target).await {
                        Ok(()) => store.delete(&source).await,
                        other => other,
                    };
                    match moved {
                        Err(Error::NotFound { .. }) | Ok(()) => Ok(()),
                        Err(error) => Err((from, error)),
                    }
                }
            });
            stream::iter(moving).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await
        })?;
        done.map(|_| ()).map_err(|(path, error)| self.trouble("move", &path, &error))
    }

    pub(super) fn purge(&self, spots: &[Spot]) -> Result<(), LakeError> {
        self.move_out(spots)?;
        let keys: Vec<Key> = spots.iter().map(|spot| Key::from(spot.retired_path())).collect();
        let store = self.store.clone();
        let done = self.wait(async move {
            let deleting = keys.into_iter().map(|key| {
                let store = store.clone();
                async move {
                    match store.delete(&key).await {
                        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                        Err(error) => Err((key, error)),
                    }
                }
            });
            stream::iter(deleting).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await
        })?;
        done.map(|_| ()).map_err(|(key, error)| self.trouble("delete", key.as_ref(), &error))
    }

    /// Copies committed files to this machine's disk.
    pub(super) fn fetch(&self, spots: &[(Spot, u64)], writer: u64) -> Result<Vec<Fetched>, LakeError> {
        let wanted: Vec<(Spot, PathBuf)> = spots
            .iter()
            .map(|(spot, _)| {
                let name = spot.final_path().replace('/', "-");
                (spot.clone(), self.dir.join(SCRATCH).join(format!("read-{name}")))
            })
            .collect();
        let store = self.store.clone();
        let got = self.wait(async move {
            let getting = wanted.into_iter().enumerate().map(|(idx, (spot, path))| {
                let store = store.clone();
                async move {
                    // Dropped after a failure, it deletes what is there of the copy.
                    let fetched = Fetched { path: path.clone(), is_copy: true };
                    copy_here(&*store, &spot, writer, &path).await.map_err(|error| (idx, error))?;
                    Ok((idx, fetched))
                }
            });
            stream::iter(getting).buffer_unordered(AT_ONCE).try_collect::<Vec<(usize, Fetched)>>().await
        })?;
        let mut fetched = got.map_err(|(idx, error)| {
            let (path, rows) = match spots.get(idx) {
                Some((spot, rows)) => (spot.final_path(), *rows),
                None => (String::new(), 0),
            };
            match error {
                Copying::Store(Error::NotFound { .. }) => {
                    LakeError::FileMissing { path: self.place.join(path), rows }
                }
                Copying::Store(error) => self.trouble("read", &path, &error),
                Copying::Disk(source) => {
                    LakeError::Io { action: "write a copy below", path: self.dir.clone(), source }
                }
            }
        })?;
        fetched.sort_by_key(|(idx, _)| *idx);
        Ok(fetched.into_iter().map(|(_, fetched)| fetched).collect())
    }

    pub(super) fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), LakeError> {
        let (store, key) = (self.store.clone(), Key::from(path));
        let put = self.wait(async move { store.put(&key, PutPayload::from(bytes)).await })?;
        put.map(|_| ()).map_err(|error| self.trouble("write", path, &error))
    }

    pub(super) fn get(&self, path: &str) -> Result<Vec<u8>, LakeError> {
        let (store, key) = (self.store.clone(), Key::from(path));
        let got = self.wait(async move { store.get(&key).await?.bytes().await })?;
        got.map(Vec::from).map_err(|error| self.trouble("read", path, &error))
    }

    pub(crate) fn remove(&self, path: &str) -> Result<(), LakeError> {
        let (store, key) = (self.store.clone(), Key::from(path));
        match self.wait(async move { store.delete(&key).await })? {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.trouble("delete", path, &error)),
        }
    }

    pub(crate) fn documents(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        let (store, key) = (self.store.clone(), Key::from(folder));
        let listed = self.wait(async move { store.list(Some(&key)).try_collect::<Vec<_>>().await })?;
        let listed = listed.map_err(|error| self.trouble("list", folder, &error))?;
        Ok(listed.iter().filter_map(|object| object.location.filename()).map(str::to_owned).collect())
    }
}

/// The manifest of the one who opens the lake after `manifest`, with what is in the tree.
fn opened(manifest: Manifest, files: &HashMap<String, u64>) -> Manifest {
    Manifest {
        writer: manifest.writer + 1,
        opening: random().max(1),
        // Above whatever is there: no file that somebody left gets the name of one of ours.
        next_file: files
            .keys()
            .filter_map(|path| Spot::number_of(path))
            .map(|number| number.saturating_add(1))
            .fold(manifest.next_file, u64::max),
        ..manifest
    }
}

/// Below `lake.dir`: files being written or read.
const SCRATCH: &str = "scratch";

enum Copying {
    Store(Error),
    Disk(std::io::Error),
}

async fn copy_here(store: &dyn ObjectStore, spot: &Spot, writer: u64, path: &Path) -> Result<(), Copying> {
    let got = match store.get(&Key::from(spot.final_path())).await {
        Err(Error::NotFound { .. }) => store.get(&Key::from(spot.hidden_path_of(writer))).await,
        got => got,
    };
    let mut bytes = got.map_err(Copying::Store)?.into_stream();
    let mut file = File::create(path).map_err(Copying::Disk)?;
    while let Some(chunk) = bytes.try_next().await.map_err(Copying::Store)? {
        file.write_all(&chunk).map_err(Copying::Disk)?;
    }
    Ok(())
}
