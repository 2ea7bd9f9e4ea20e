//! One SFTP session (protocol version 3): list, stat, read; delete, rename and put where allowed. All else is denied.
//!
//! Requests of one session are answered in their order. Answers wait in a short queue for the client to take them, so
//! that the next piece of a file is read while the last one is sent; files are read on the blocking pool, so that a
//! slow disk holds up nobody else.

use std::collections::HashMap;
use std::fs::{File, FileTimes, Metadata};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use russh::server::Msg;
use russh::{Channel, ChannelMsg};
use russh_sftp::extensions::LIMITS;
use russh_sftp::protocol::{
    Attrs, ExtendedReply, File as Entry, FileAttributes, Handle, Name, OpenFlags, Packet, Status, StatusCode,
    Version,
};
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::{debug, info, warn};

use super::SftpUser;
use super::jail::{Jail, Listing, Rights, Upload, absolute, status_of};
use super::trail::{Pieces, Trail, TrailAction};

/// Longest packet a client may send; at a longer one the session ends.
pub(super) const PACKET_BYTES_MAX: u32 = 256 * 1024;
/// Most bytes in one answer to a read: what OpenSSH's own server gives.
const READ_BYTES_MAX: u32 = 255 * 1024;
/// Files and directories open at once in one session.
const HANDLES_MAX: usize = 64;
/// And in all of them together: a quarter of what a process usually may have open.
pub(super) const HANDLES_OF_ALL_MAX: usize = 256;
/// Directory entries in one answer.
const ENTRIES_PER_ANSWER: usize = 100;
/// Answers waiting for the client: a megabyte at most for each session.
const ANSWERS_WAITING_MAX: usize = 4;
/// A client that takes nothing of an answer for so long has gone or wants to hold our memory.
const STALL_MAX: Duration = Duration::from_secs(120);
/// Bytes of requests waiting in one session: what clients have on their way at most when they put a file, 64 packets, and
/// as much again.
const REQUEST_BYTES_WAITING_MAX: usize = 32 * 1024 * 1024;
/// Packets that cannot be read before the session ends.
const MALFORMED_MAX: u32 = 20;

/// What is open in one session.
pub(super) struct SftpSession {
    user: SftpUser,
    jail: Jail,
    peer: SocketAddr,
    trail: Trail,
    places: Arc<Semaphore>,
    handles: HashMap<u64, Open>,
    n_opened: u64,
}

struct Open {
    what: What,
    /// One of [`HANDLES_OF_ALL_MAX`].
    _place: OwnedSemaphorePermit,
}

enum What {
    File(OpenFile),
    Upload(Receiving),
    /// Taken out while a chunk is read.
    Dir(Option<Listing>),
}

struct OpenFile {
    path: String,
    real: PathBuf,
    file: Arc<File>,
    size: u64,
    read: Pieces,
}

struct Receiving {
    path: String,
    upload: Upload,
    n_written: u64,
    /// A piece was refused or lost: what is there is not what the client has.
    is_broken: bool,
}

impl SftpSession {
    pub(super) fn new(
        user: SftpUser,
        jail: Jail,
        peer: SocketAddr,
        trail: Trail,
        places: Arc<Semaphore>,
    ) -> Self {
        Self { user, jail, peer, trail, places, handles: HashMap::new(), n_opened: 0 }
    }

    /// Serves the channel to its end.
    pub(super) async fn run(mut self, channel: Channel<Msg>) {
        let (mut from_client, to_client) = channel.split();
        let (pieces, inbox) = Inbox::new();
        let peer = self.peer;
        // Takes whatever comes, always: the connection stands still while one of its channels is not read, and with it the
        // client's word that it can take more.
        let receiving = async move {
            while let Some(message) = from_client.wait().await {
                if let ChannelMsg::Data { data } = message {
                    if !pieces.put(data) {
                        warn!(%peer, bytes = REQUEST_BYTES_WAITING_MAX, "sftp client asks faster than it takes answers");
                        break;
                    }
                } else if matches!(message, ChannelMsg::Eof | ChannelMsg::Close) {
                    break;
                }
            }
            // What is in the inbox is still answered.
            drop(pieces);
            std::future::pending::<()>().await;
        };
        let (answers, mut waiting) = mpsc::channel::<Vec<u8>>(ANSWERS_WAITING_MAX);
        let answering = self.answer_all(inbox, answers);
        let sending = async move {
            while let Some(answer) = waiting.recv().await {
                match tokio::time::timeout(STALL_MAX, to_client.data_bytes(answer)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        debug!(%peer, %error, "sftp client has gone");
                        break;
                    }
                    Err(_) => {
                        warn!(%peer, seconds = STALL_MAX.as_secs(), "sftp client takes no answer");
                        break;
                    }
                }
            }
            // Whoever is gone cannot be told.
            let _ = to_client.close().await;
        };
        let serving = async { tokio::join!(answering, sending) };
        tokio::select! {
            _ = serving => {}
            () = receiving => {}
        }
        self.close_all().await;
    }

    async fn answer_all(&mut self, mut inbox: Inbox, answers: mpsc::Sender<Vec<u8>>) {
        let mut n_malformed = 0;
        loop {
            let length = tokio::select! {
                length = inbox.take(4) => length,
                // Nobody takes the answers any more.
                () = answers.closed() => return,
            };
            let Some(length) =
                length.and_then(|length| length.as_ref().try_into().ok()).map(u32::from_be_bytes)
            else {
                return;
            };
            if !(1..=PACKET_BYTES_MAX).contains(&length) {
                warn!(peer = %self.peer, user = %self.user.name, length, "sftp packet of a forbidden length");
                return;
            }
            let Some(mut packet) = inbox.take(usize::try_from(length).unwrap_or(0)).await else { return };
            // Kept, for what cannot be read is answered too.
            let id = packet.get(1..5).and_then(|id| id.try_into().ok()).map_or(0, u32::from_be_bytes);
            let answer = match Packet::try_from(&mut packet) {
                Ok(Packet::Read(read)) => self.read(id, &read.handle, read.offset, read.len).await,
                Ok(request) => self.answer(id, request).await.and_then(encoded),
                Err(error) => {
                    n_malformed += 1;
                    if n_malformed > MALFORMED_MAX {
                        warn!(peer = %self.peer, %error, "too many sftp packets that cannot be read");
                        return;
                    }
                    Err(StatusCode::BadMessage)
                }
            };
            let answer = match answer.or_else(|code| encoded(Packet::error(id, code))) {
                Ok(answer) => answer,
                Err(_) => return,
            };
            if answers.send(answer).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&mut self, id: u32, request: Packet) -> Result<Packet, StatusCode> {
        match request {
            Packet::Init(_) => {
                let mut version = Version::new();
                version.extensions.insert(LIMITS.to_owned(), "1".to_owned());
                Ok(version.into())
            }
            Packet::Open(open) => self.open(id, open.filename, open.pflags).await,
            Packet::Close(close) => self.close(id, &close.handle).await,
            Packet::Write(write) => self.write(id, &write.handle, write.offset, write.data).await,
            // Links are what they lead to, or not there at all.
            Packet::Lstat(stat) => self.attrs(id, stat.path).await,
            Packet::Stat(stat) => self.attrs(id, stat.path).await,
            Packet::Fstat(stat) => self.attrs_of_handle(id, &stat.handle).await,
            Packet::SetStat(set) => self.set_attrs(id, set.path, &set.attrs).await,
            Packet::FSetStat(set) => self.set_attrs_of_handle(id, &set.handle),
            Packet::OpenDir(open) => self.open_dir(id, open.path).await,
            Packet::ReadDir(read) => self.read_dir(id, &read.handle).await,
            Packet::RealPath(path) => {
                Ok(Name { id, files: vec![Entry::dummy(absolute(&path.path)?)] }.into())
            }
            Packet::Remove(remove) => self.remove(id, remove.filename).await,
            Packet::Rename(rename) => self.rename(id, rename.oldpath, rename.newpath).await,
            Packet::Extended(extended) if extended.request == LIMITS => {
                let handles = u64::try_from(HANDLES_MAX).unwrap_or(u64::MAX);
                let limits = [
                    u64::from(PACKET_BYTES_MAX),
                    u64::from(READ_BYTES_MAX),
                    u64::from(READ_BYTES_MAX),
                    handles,
                ];
                let data = limits.iter().flat_map(|limit| limit.to_be_bytes()).collect();
                Ok(ExtendedReply { id, data }.into())
            }
            Packet::Extended(_) => Err(StatusCode::OpUnsupported),
            Packet::MkDir(_) | Packet::RmDir(_) | Packet::Symlink(_) | Packet::ReadLink(_) => {
                Err(StatusCode::PermissionDenied)
            }
            Packet::Read(_)
            | Packet::Version(_)
            | Packet::Status(_)
            | Packet::Handle(_)
            | Packet::Data(_)
            | Packet::Name(_)
            | Packet::Attrs(_)
            | Packet::ExtendedReply(_) => Err(StatusCode::BadMessage),
        }
    }

    /// Does `act` with the jail where blocking is allowed.
    async fn in_jail<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Jail) -> Result<T, StatusCode> + Send + 'static,
    ) -> Result<T, StatusCode> {
        let jail = self.jail.clone();
        blocking(move || act(&jail)).await
    }

    async fn tell(&self, action: TrailAction) {
        self.trail.tell(self.peer, &self.user.name, action).await;
    }

    /// A place for one more handle.
    fn place(&self) -> Result<OwnedSemaphorePermit, StatusCode> {
        if self.handles.len() >= HANDLES_MAX {
            return Err(StatusCode::Failure);
        }
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| StatusCode::Failure)
    }

    fn keep(&mut self, id: u32, what: What, place: OwnedSemaphorePermit) -> Packet {
        self.n_opened += 1;
        self.handles.insert(self.n_opened, Open { what, _place: place });
        Handle { id, handle: self.n_opened.to_string() }.into()
    }

    fn handle(&mut self, handle: &str) -> Result<&mut What, StatusCode> {
        let open = handle.parse().ok().and_then(|handle: u64| self.handles.get_mut(&handle));
        open.map(|open| &mut open.what).ok_or(StatusCode::Failure)
    }

    async fn open(&mut self, id: u32, filename: String, pflags: OpenFlags) -> Result<Packet, StatusCode> {
        let place = self.place()?;
        let path = absolute(&filename)?;
        if pflags.bits() == OpenFlags::READ.bits() {
            // The way through another thread costs more than all else that is done for a small file.
            let (file, metadata, real) = match self.jail.open_now(&filename) {
                Some(opened) => opened,
                None => self.in_jail(move |jail| jail.open(&filename)).await?,
            };
            let open =
                OpenFile { path, real, file: Arc::new(file), size: metadata.len(), read: Pieces::default() };
            return Ok(self.keep(id, What::File(open), place));
        }
        // Reading back what is being put, or going on where something broke off, is not offered.
        if !pflags.contains(OpenFlags::WRITE | OpenFlags::CREATE) || pflags.contains(OpenFlags::APPEND) {
            return Err(StatusCode::PermissionDenied);
        }
        let upload = self.in_jail(move |jail| jail.create(&filename)).await?;
        Ok(self.keep(id, What::Upload(Receiving { path, upload, n_written: 0, is_broken: false }), place))
    }

    async fn close(&mut self, id: u32, handle: &str) -> Result<Packet, StatusCode> {
        let open = handle.parse().ok().and_then(|handle: u64| self.handles.remove(&handle));
        match open.ok_or(StatusCode::Failure)?.what {
            What::File(file) => {
                if let Some(action) = self.fetched(&file) {
                    self.tell(action).await;
                }
            }
            What::Upload(receiving) if receiving.is_broken => {
                let action = self.broken_off(&receiving);
                self.tell(action).await;
                return Err(StatusCode::Failure);
            }
            What::Upload(receiving) => {
                let path = receiving.path;
                let size = blocking(move || receiving.upload.finish()).await?;
                info!(peer = %self.peer, user = %self.user.name, %path, size, "sftp file put");
                self.tell(TrailAction::Put { path, size, is_complete: true }).await;
            }
            What::Dir(_) => {}
        }
        Ok(done(id))
    }

    async fn read(&mut self, id: u32, handle: &str, offset: u64, len: u32) -> Result<Vec<u8>, StatusCode> {
        let What::File(open) = self.handle(handle)? else { return Err(StatusCode::Failure) };
        let len = len.min(READ_BYTES_MAX).min(bytes_likely(open.size, offset));
        let (answer, n_bytes) = match read_now(&open.file, id, offset, len) {
            Some(read) => read?,
            None => {
                let file = Arc::clone(&open.file);
                blocking(move || read_at(&file, id, offset, len)).await?
            }
        };
        open.read.add(offset, offset.saturating_add(n_bytes));
        if n_bytes == 0 && len > 0 { Err(StatusCode::Eof) } else { Ok(answer) }
    }

    async fn write(
        &mut self,
        id: u32,
        handle: &str,
        offset: u64,
        data: Vec<u8>,
    ) -> Result<Packet, StatusCode> {
        let What::Upload(receiving) = self.handle(handle)? else { return Err(StatusCode::PermissionDenied) };
        let n_bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
        // Also of a hole: what is announced counts, not what is on disk.
        let end = offset.checked_add(n_bytes).filter(|end| *end <= receiving.upload.bytes_max);
        // Until it is written.
        let was_broken = std::mem::replace(&mut receiving.is_broken, true);
        receiving.n_written = receiving.n_written.max(end.ok_or(StatusCode::Failure)?);
        let file = receiving.upload.file.try_clone().map_err(status_of)?;
        blocking(move || file.write_all_at(&data, offset).map_err(status_of)).await?;
        receiving.is_broken = was_broken;
        Ok(done(id))
    }

    /// What this session is putting under that path: to itself it is there already, as clients expect that look at what
    /// they have just opened (sshfs).
    fn upload_at(&self, path: &str) -> Result<Option<&Receiving>, StatusCode> {
        let path = absolute(path)?;
        Ok(self.handles.values().find_map(|open| match &open.what {
            What::Upload(receiving) if receiving.path == path => Some(receiving),
            What::Upload(_) | What::File(_) | What::Dir(_) => None,
        }))
    }

    async fn attrs(&self, id: u32, path: String) -> Result<Packet, StatusCode> {
        if let Some(receiving) = self.upload_at(&path)? {
            let file = receiving.upload.file.try_clone().map_err(status_of)?;
            let metadata = blocking(move || file.metadata().map_err(status_of)).await?;
            return Ok(Attrs { id, attrs: attributes(&metadata, Rights::own()) }.into());
        }
        let (metadata, rights) = match self.jail.metadata_now(&path) {
            Some(found) => found,
            None => self.in_jail(move |jail| jail.metadata(&path)).await?,
        };
        Ok(Attrs { id, attrs: attributes(&metadata, rights) }.into())
    }

    async fn attrs_of_handle(&mut self, id: u32, handle: &str) -> Result<Packet, StatusCode> {
        let file = match self.handle(handle)? {
            What::File(open) => Arc::clone(&open.file),
            What::Upload(receiving) => Arc::new(receiving.upload.file.try_clone().map_err(status_of)?),
            What::Dir(_) => return Err(StatusCode::Failure),
        };
        // Of what is open the system knows it without the disk.
        let metadata = file.metadata().map_err(status_of)?;
        Ok(Attrs { id, attrs: attributes(&metadata, Rights::default()) }.into())
    }

    /// Clients set times and modes of what they have put. The time is taken, the mode is ours.
    async fn set_attrs(&self, id: u32, path: String, attrs: &FileAttributes) -> Result<Packet, StatusCode> {
        if self.upload_at(&path)?.is_some() {
            return Ok(done(id));
        }
        let (size, modified) = (attrs.size, attrs.mtime);
        self.in_jail(move |jail| {
            let (metadata, rights) = jail.metadata(&path)?;
            if !rights.put || !metadata.is_file() || size.is_some_and(|size| size != metadata.len()) {
                return Err(StatusCode::PermissionDenied);
            }
            let Some(modified) = modified else { return Ok(()) };
            let (file, ..) = jail.open(&path)?;
            let at = UNIX_EPOCH + Duration::from_secs(u64::from(modified));
            // Only the owner of a file may set its times; one who got it from us otherwise does without.
            let _ = file.set_times(FileTimes::new().set_modified(at));
            Ok(())
        })
        .await?;
        Ok(done(id))
    }

    fn set_attrs_of_handle(&mut self, id: u32, handle: &str) -> Result<Packet, StatusCode> {
        match self.handle(handle)? {
            What::Upload(_) => Ok(done(id)),
            What::File(_) | What::Dir(_) => Err(StatusCode::PermissionDenied),
        }
    }

    async fn open_dir(&mut self, id: u32, path: String) -> Result<Packet, StatusCode> {
        let place = self.place()?;
        let shown = absolute(&path)?;
        let listing = self.in_jail(move |jail| jail.list(&path)).await?;
        self.tell(TrailAction::Listed { path: shown }).await;
        Ok(self.keep(id, What::Dir(Some(listing)), place))
    }

    async fn read_dir(&mut self, id: u32, handle: &str) -> Result<Packet, StatusCode> {
        let What::Dir(listing) = self.handle(handle)? else { return Err(StatusCode::Failure) };
        let mut taken = listing.take().ok_or(StatusCode::Eof)?;
        let (chunk, taken) = blocking(move || Ok((taken.next_chunk(ENTRIES_PER_ANSWER), taken))).await?;
        if chunk.is_empty() {
            return Err(StatusCode::Eof);
        }
        *listing = Some(taken);
        let files = chunk
            .into_iter()
            .map(|(name, metadata, rights)| Entry::new(name, attributes(&metadata, rights)))
            .collect();
        Ok(Name { id, files }.into())
    }

    async fn remove(&mut self, id: u32, filename: String) -> Result<Packet, StatusCode> {
        let path = absolute(&filename)?;
        let (real, size) = self.in_jail(move |jail| jail.remove(&filename)).await?;
        info!(peer = %self.peer, user = %self.user.name, %path, size, "sftp file deleted");
        self.tell(TrailAction::Deleted { path, real, size }).await;
        Ok(done(id))
    }

    async fn rename(&mut self, id: u32, from: String, to: String) -> Result<Packet, StatusCode> {
        let (path, target) = (absolute(&from)?, absolute(&to)?);
        let real = self.in_jail(move |jail| jail.rename(&from, &to)).await?;
        info!(peer = %self.peer, user = %self.user.name, %path, to = %target, "sftp file renamed");
        self.tell(TrailAction::Renamed { path, real, to: target }).await;
        Ok(done(id))
    }

    fn fetched(&self, file: &OpenFile) -> Option<TrailAction> {
        let n_bytes = file.read.n_bytes();
        if n_bytes == 0 && file.size > 0 {
            return None;
        }
        let is_complete = n_bytes >= file.size;
        info!(peer = %self.peer, user = %self.user.name, path = %file.path, size = file.size,
              bytes = n_bytes, is_complete, "sftp file fetched");
        let (from, to) = file.read.span();
        let (path, real) = (file.path.clone(), file.real.clone());
        Some(TrailAction::Fetched { path, real, size: file.size, from, to, n_bytes })
    }

    fn broken_off(&self, receiving: &Receiving) -> TrailAction {
        let (path, size) = (receiving.path.clone(), receiving.n_written);
        info!(peer = %self.peer, user = %self.user.name, %path, size, "sftp file broken off while it was put");
        TrailAction::Put { path, size, is_complete: false }
    }

    /// What the client left open: what it had read by then is told.
    async fn close_all(&mut self) {
        for (_, open) in std::mem::take(&mut self.handles) {
            if let Some(action) = self.left_open(&open.what) {
                self.tell(action).await;
            }
        }
    }

    fn left_open(&self, what: &What) -> Option<TrailAction> {
        match what {
            What::File(file) => self.fetched(file),
            What::Upload(receiving) => Some(self.broken_off(receiving)),
            What::Dir(_) => None,
        }
    }
}

impl Drop for SftpSession {
    fn drop(&mut self) {
        // Only where the session was stopped from outside is something left here.
        for (_, open) in std::mem::take(&mut self.handles) {
            if let Some(action) = self.left_open(&open.what) {
                self.trail.tell_later(self.peer, &self.user.name, action);
            }
        }
    }
}

/// What has come from the client and is not answered yet.
struct Inbox {
    pieces: mpsc::UnboundedReceiver<Bytes>,
    n_waiting: Arc<AtomicUsize>,
    begun: BytesMut,
}

/// Where pieces come in.
struct Intake {
    pieces: mpsc::UnboundedSender<Bytes>,
    n_waiting: Arc<AtomicUsize>,
}

impl Inbox {
    fn new() -> (Intake, Self) {
        let (sender, pieces) = mpsc::unbounded_channel();
        let n_waiting = Arc::new(AtomicUsize::new(0));
        let putting = Intake { pieces: sender, n_waiting: Arc::clone(&n_waiting) };
        (putting, Self { pieces, n_waiting, begun: BytesMut::new() })
    }

    /// The next `n_bytes`; `None` when the client has ended before.
    async fn take(&mut self, n_bytes: usize) -> Option<Bytes> {
        while self.begun.len() < n_bytes {
            let piece = self.pieces.recv().await?;
            self.n_waiting.fetch_sub(piece.len(), Ordering::Relaxed);
            self.begun.extend_from_slice(&piece);
        }
        Some(self.begun.split_to(n_bytes).freeze())
    }
}

impl Intake {
    /// Whether there was room.
    fn put(&self, piece: Bytes) -> bool {
        let n_bytes = piece.len();
        let n_waiting = self.n_waiting.fetch_add(n_bytes, Ordering::Relaxed) + n_bytes;
        n_waiting <= REQUEST_BYTES_WAITING_MAX && self.pieces.send(piece).is_ok()
    }
}

/// Type and rights as they are for this user; owner, group and mode of the machine are not told.
fn attributes(metadata: &Metadata, rights: Rights) -> FileAttributes {
    let write = if rights.put || rights.delete || rights.rename { 0o200 } else { 0 };
    let permissions = match (metadata.is_dir(), rights.put) {
        (true, _) => 0o040_550 | write,
        (false, true) => 0o100_640,
        (false, false) => 0o100_440,
    };
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

fn done(id: u32) -> Packet {
    Packet::Status(Status {
        id,
        status_code: StatusCode::Ok,
        error_message: "ok".to_owned(),
        language_tag: "en-US".to_owned(),
    })
}

fn encoded(packet: Packet) -> Result<Vec<u8>, StatusCode> {
    Bytes::try_from(packet).map(Vec::from).map_err(|_| StatusCode::Failure)
}

/// Before the bytes of an answer to a read: length, type (103, draft-ietf-secsh-filexfer-02, 7), id, length of the data.
const DATA_HEAD_BYTES: usize = 13;
const SSH_FXP_DATA: u8 = 103;

/// Bytes of room beyond the end that a file had when it was opened.
const BYTES_BEYOND_END: u32 = 4096;

/// How much a file of `size` bytes can have from `offset` on: clients ask for a quarter of a megabyte of the smallest file. One
/// that has grown since is read in pieces.
fn bytes_likely(size: u64, offset: u64) -> u32 {
    u32::try_from(size.saturating_sub(offset)).unwrap_or(u32::MAX).max(BYTES_BEYOND_END)
}

/// The whole answer with exactly the bytes asked for, fewer only at the end of the file; they are read to where they are
/// sent from.
fn read_at(file: &File, id: u32, offset: u64, len: u32) -> Result<(Vec<u8>, u64), StatusCode> {
    read_by(id, offset, len, |to, at| file.read_at(to, at)).map_err(status_of)
}

/// The same from what the system has in memory, without the detour through another thread; `None` where the disk is needed, or where
/// the file system cannot tell.
fn read_now(file: &File, id: u32, offset: u64, len: u32) -> Option<Result<(Vec<u8>, u64), StatusCode>> {
    let read = read_by(id, offset, len, |to, at| {
        let flags = ReadWriteFlags::NOWAIT;
        Ok(preadv2(file, &mut [IoSliceMut::new(to)], at, flags)?)
    });
    match read {
        Ok(read) => Some(Ok(read)),
        // Whatever it is, the other way finds out.
        Err(_) => None,
    }
}

fn read_by(
    id: u32,
    offset: u64,
    len: u32,
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<(Vec<u8>, u64)> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let mut answer = vec![0; DATA_HEAD_BYTES + len];
    let mut filled = 0;
    while filled < len {
        // No file reaches beyond 63 bits, and the last of 64 would be taken for "wherever it was read last" (preadv2(2)).
        let at = offset.checked_add(u64::try_from(filled).unwrap_or(u64::MAX));
        let Some(at) = at.filter(|at| i64::try_from(*at).is_ok()) else { break };
        match read(&mut answer[DATA_HEAD_BYTES + filled..], at) {
            Ok(0) => break,
            Ok(n_bytes) => filled += n_bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    answer.truncate(DATA_HEAD_BYTES + filled);
    let n_bytes = u32::try_from(filled).map_err(io::Error::other)?;
    answer[..4].copy_from_slice(&(n_bytes + 9).to_be_bytes());
    answer[4] = SSH_FXP_DATA;
    answer[5..9].copy_from_slice(&id.to_be_bytes());
    answer[9..13].copy_from_slice(&n_bytes.to_be_bytes());
    Ok((answer, u64::from(n_bytes)))
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, StatusCode> + Send + 'static,
) -> Result<T, StatusCode> {
    tokio::task::spawn_blocking(act).await.map_err(|_| StatusCode::Failure)?
}
