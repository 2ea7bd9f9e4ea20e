//! One SFTP session (protocol version 3): list, stat, read, and delete where allowed. All else is denied.
//!
//! Requests of one session are answered one after the other. Files are read on the blocking pool, so that a slow
//! disk holds up nobody else.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use russh_sftp::extensions::LIMITS;
use russh_sftp::protocol::{
    Attrs, Data, ExtendedReply, File as Entry, FileAttributes, Handle, Name, OpenFlags, Packet, Status,
    StatusCode, Version,
};
use russh_sftp::server::Handler;
use tracing::info;

use super::SftpUser;
use super::jail::{Jail, Listing, absolute, status_of};

/// Longest packet a client may send.
pub(super) const PACKET_BYTES_MAX: u32 = 256 * 1024;
/// Most bytes in one answer to a read: what OpenSSH's own server gives.
const READ_BYTES_MAX: u32 = 255 * 1024;
/// Files and directories open at once in one session.
const HANDLES_MAX: usize = 64;
/// Directory entries in one answer.
const ENTRIES_PER_ANSWER: usize = 100;

/// What is open in one session.
pub(super) struct SftpSession {
    user: SftpUser,
    jail: Jail,
    peer: SocketAddr,
    handles: HashMap<String, Open>,
    n_opened: u64,
}

enum Open {
    File(OpenFile),
    /// Taken out while a chunk is read.
    Dir(Option<Listing>),
}

struct OpenFile {
    path: String,
    file: Arc<File>,
    size: u64,
    n_read: u64,
    /// Up to where it was read without a gap from where the first read began; to the end: it was fetched.
    read_to: u64,
}

impl SftpSession {
    pub(super) fn new(user: SftpUser, jail: Jail, peer: SocketAddr) -> Self {
        Self { user, jail, peer, handles: HashMap::new(), n_opened: 0 }
    }

    /// Does `act` with the jail where blocking is allowed.
    async fn in_jail<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Jail) -> Result<T, StatusCode> + Send + 'static,
    ) -> Result<T, StatusCode> {
        let jail = self.jail.clone();
        blocking(move || act(&jail)).await
    }

    fn keep(&mut self, open: Open) -> String {
        self.n_opened += 1;
        let handle = self.n_opened.to_string();
        self.handles.insert(handle.clone(), open);
        handle
    }

    fn has_room(&self) -> Result<(), StatusCode> {
        if self.handles.len() < HANDLES_MAX { Ok(()) } else { Err(StatusCode::Failure) }
    }

    fn attributes(&self, metadata: &Metadata) -> FileAttributes {
        // Type and rights as they are for this user; owner, group and mode of the machine are not told.
        let write = if self.user.deletable { 0o200 } else { 0 };
        let permissions = if metadata.is_dir() { 0o040_550 | write } else { 0o100_440 };
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let seconds = modified.map_or(0, |since| u32::try_from(since.as_secs()).unwrap_or(u32::MAX));
        FileAttributes {
            size: Some(metadata.len()),
            uid: Some(0),
            user: Some("tollbook".to_owned()),
            gid: Some(0),
            group: Some("tollbook".to_owned()),
            permissions: Some(permissions),
            atime: Some(seconds),
            mtime: Some(seconds),
        }
    }

    async fn attrs(&self, id: u32, path: String) -> Result<Attrs, StatusCode> {
        let metadata = self.in_jail(move |jail| jail.metadata(&path)).await?;
        Ok(Attrs { id, attrs: self.attributes(&metadata) })
    }

    fn audit(&self, file: &OpenFile) {
        if file.n_read > 0 || file.size == 0 {
            let is_complete = file.read_to >= file.size;
            info!(peer = %self.peer, user = %self.user.name, path = %file.path, size = file.size,
                  bytes = file.n_read, is_complete, "sftp file fetched");
        }
    }
}

impl Handler for SftpSession {
    type Error = StatusCode;

    fn unimplemented(&self) -> StatusCode {
        StatusCode::PermissionDenied
    }

    async fn init(
        &mut self,
        _version: u32,
        _extensions: HashMap<String, String>,
    ) -> Result<Version, StatusCode> {
        let mut version = Version::new();
        version.extensions.insert(LIMITS.to_owned(), "1".to_owned());
        Ok(version)
    }

    async fn open(
        &mut self,
        id: u32,
        filename: String,
        pflags: OpenFlags,
        _attrs: FileAttributes,
    ) -> Result<Handle, StatusCode> {
        if pflags.bits() != OpenFlags::READ.bits() {
            return Err(StatusCode::PermissionDenied);
        }
        self.has_room()?;
        let path = absolute(&filename)?;
        let (file, metadata) = self.in_jail(move |jail| jail.open(&filename)).await?;
        let open = OpenFile { path, file: Arc::new(file), size: metadata.len(), n_read: 0, read_to: 0 };
        Ok(Handle { id, handle: self.keep(Open::File(open)) })
    }

    async fn close(&mut self, id: u32, handle: String) -> Result<Status, StatusCode> {
        match self.handles.remove(&handle) {
            Some(Open::File(file)) => self.audit(&file),
            Some(Open::Dir(_)) => {}
            None => return Err(StatusCode::Failure),
        }
        Ok(done(id))
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, len: u32) -> Result<Data, StatusCode> {
        let Some(Open::File(open)) = self.handles.get_mut(&handle) else {
            return Err(StatusCode::Failure);
        };
        let file = Arc::clone(&open.file);
        let data = blocking(move || read_at(&file, offset, len.min(READ_BYTES_MAX))).await?;
        let n_bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
        if open.n_read == 0 || offset <= open.read_to {
            open.read_to = open.read_to.max(offset.saturating_add(n_bytes));
        }
        open.n_read = open.n_read.saturating_add(n_bytes);
        if data.is_empty() && len > 0 {
            return Err(StatusCode::Eof);
        }
        Ok(Data { id, data })
    }

    async fn lstat(&mut self, id: u32, path: String) -> Result<Attrs, StatusCode> {
        // Links are what they lead to, or not there at all.
        self.attrs(id, path).await
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, StatusCode> {
        self.attrs(id, path).await
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Result<Attrs, StatusCode> {
        let Some(Open::File(open)) = self.handles.get(&handle) else {
            return Err(StatusCode::Failure);
        };
        let file = Arc::clone(&open.file);
        let metadata = blocking(move || file.metadata().map_err(status_of)).await?;
        Ok(Attrs { id, attrs: self.attributes(&metadata) })
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<Handle, StatusCode> {
        self.has_room()?;
        let listing = self.in_jail(move |jail| jail.list(&path)).await?;
        Ok(Handle { id, handle: self.keep(Open::Dir(Some(listing))) })
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Result<Name, StatusCode> {
        let Some(Open::Dir(listing)) = self.handles.get_mut(&handle) else {
            return Err(StatusCode::Failure);
        };
        let mut taken = listing.take().ok_or(StatusCode::Eof)?;
        let (chunk, taken) = blocking(move || Ok((taken.next_chunk(ENTRIES_PER_ANSWER), taken))).await?;
        if chunk.is_empty() {
            return Err(StatusCode::Eof);
        }
        self.handles.insert(handle, Open::Dir(Some(taken)));
        let files =
            chunk.into_iter().map(|(name, metadata)| Entry::new(name, self.attributes(&metadata))).collect();
        Ok(Name { id, files })
    }

    async fn realpath(&mut self, id: u32, path: String) -> Result<Name, StatusCode> {
        Ok(Name { id, files: vec![Entry::dummy(absolute(&path)?)] })
    }

    async fn remove(&mut self, id: u32, filename: String) -> Result<Status, StatusCode> {
        if !self.user.deletable {
            return Err(StatusCode::PermissionDenied);
        }
        let path = absolute(&filename)?;
        let size = self.in_jail(move |jail| jail.remove(&filename)).await?;
        info!(peer = %self.peer, user = %self.user.name, %path, size, "sftp file deleted");
        Ok(done(id))
    }

    async fn extended(&mut self, id: u32, request: String, _data: Vec<u8>) -> Result<Packet, StatusCode> {
        if request != LIMITS {
            return Err(StatusCode::OpUnsupported);
        }
        let handles = u64::try_from(HANDLES_MAX).unwrap_or(u64::MAX);
        let limits = [u64::from(PACKET_BYTES_MAX), u64::from(READ_BYTES_MAX), 0, handles];
        let data = limits.iter().flat_map(|limit| limit.to_be_bytes()).collect();
        Ok(Packet::ExtendedReply(ExtendedReply { id, data }))
    }
}

impl Drop for SftpSession {
    fn drop(&mut self) {
        // The client left without closing: what it had read by then is still told.
        for open in self.handles.values() {
            match open {
                Open::File(file) => self.audit(file),
                Open::Dir(_) => {}
            }
        }
    }
}

fn done(id: u32) -> Status {
    Status {
        id,
        status_code: StatusCode::Ok,
        error_message: "ok".to_owned(),
        language_tag: "en-US".to_owned(),
    }
}

/// Exactly the bytes asked for, fewer only at the end of the file.
fn read_at(file: &File, offset: u64, len: u32) -> Result<Vec<u8>, StatusCode> {
    let mut data = vec![0; usize::try_from(len).map_err(|_| StatusCode::Failure)?];
    let mut filled = 0;
    while filled < data.len() {
        let at = offset.checked_add(u64::try_from(filled).unwrap_or(u64::MAX)).ok_or(StatusCode::Eof)?;
        match file.read_at(&mut data[filled..], at) {
            Ok(0) => break,
            Ok(n_bytes) => filled += n_bytes,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(status_of(error)),
        }
    }
    data.truncate(filled);
    Ok(data)
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, StatusCode> + Send + 'static,
) -> Result<T, StatusCode> {
    tokio::task::spawn_blocking(act).await.map_err(|_| StatusCode::Failure)?
}
