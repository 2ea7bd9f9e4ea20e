//! Reads a committed file wherever it is by now. In a bucket nobody can hold a file open: a query that began with a file finds it
//! under its final name, under the hidden one it had before, or in `retired/`, where it stays for `lake.retired_keep`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::Bucket;
use crate::layout::Spot;

/// The store of a bucket, for queries.
#[derive(Debug)]
pub(super) struct Finder {
    bucket: Arc<Bucket>,
}

impl Finder {
    pub(super) fn new(bucket: Arc<Bucket>) -> Self {
        Self { bucket }
    }
}

impl fmt::Display for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bucket.place().display())
    }
}

#[async_trait]
impl ObjectStore for Finder {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let store = self.bucket.store();
        let missing = match store.get_opts(location, options.clone()).await {
            Err(missing @ Error::NotFound { .. }) => missing,
            found => return found,
        };
        let Some(spot) = Spot::of_path(location.as_ref()) else { return Err(missing) };
        // In the order of a file's life: what has left one place before we looked is in the next.
        let places = [spot.hidden_path_of(self.bucket.writer()), spot.final_path(), spot.retired_path()];
        for place in places {
            match store.get_opts(&Path::from(place), options.clone()).await {
                Err(Error::NotFound { .. }) => {}
                found => return found,
            }
        }
        self.bucket.note_gone();
        Err(missing)
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.bucket.store().put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.bucket.store().put_multipart_opts(location, opts).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.bucket.store().delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.bucket.store().list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.bucket.store().list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.bucket.store().copy_opts(from, to, options).await
    }
}
