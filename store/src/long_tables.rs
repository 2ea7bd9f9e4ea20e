//! Long tables, read whole: what is provisioned, balances and the state of stages, as an installation needs them at its start.
//!
//! In: which columns of which table. Out: its rows, one by one, to a [`Collect`], which is the same for both ways to get them. A SQLite
//! file is read by a connection of its own that shows values where they lie ([`FileReader`]): the driver behind [`crate::sql`]
//! hands over each row from thread to thread, with copies of every value and column name, which for a million rows takes longer than
//! to read them. From a server, and within a transaction that has begun, rows come some thousand at a time as one JSON text that the
//! database makes.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use model::E164;
use rusqlite::OpenFlags;
use rusqlite::types::ValueRef;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use sqlx::{Any, AnyConnection, Transaction};

use crate::sql::{Bind, Cell, Columns, Placeholders, count, query_of, unreadable};
use crate::{Result, Store, StoreError};

/// Rows of one JSON text: enough that the statement counts for nothing, few enough to stay in the processor's cache.
const ROWS_OF_A_PACK: i64 = 2_000;

/// Of a row of a long table, with its index.
const ROW_BYTES_MIN: i64 = 40;

/// How long a connection waits for a file that another process holds, as the driver's do.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often readers begin anew that should see the same: in between lie microseconds, so twice is rare.
const BEGIN_TRIES: u32 = 5;

/// What is read of a table, or of several that are joined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Long {
    /// What is read: first those columns by whose order the rows come, of which no two rows have the same.
    pub(crate) columns: &'static [&'static str],
    /// How many of the columns that are.
    pub(crate) n_keys: usize,
    /// Table and joins.
    pub(crate) from: &'static str,
    /// Whether the rows must come in their order. Else a file is read as it lies.
    pub(crate) is_in_order: bool,
}

impl Long {
    fn table(&self) -> &'static str {
        self.from.split(' ').next().unwrap_or_default()
    }
}

/// Makes room for what may come, as far as there is memory.
pub(crate) fn make_room<T>(list: &mut Vec<T>, n_rows: usize) {
    // It grows by itself where there is not.
    let _ = list.try_reserve_exact(n_rows);
}

/// Takes the rows of a table.
pub(crate) trait Collect: Send + 'static {
    /// Of which.
    const WHAT: Long;

    /// Told before the first row how many there may be, where that is known: a list that grows to a million copies itself again and again.
    fn expect(&mut self, n_rows: usize) {
        let _ = n_rows;
    }

    /// Takes one.
    fn take(&mut self, row: &Row<'_>) -> Result<()>;
}

/// One row. Columns are asked for by their places in [`Long::columns`].
pub(crate) struct Row<'r> {
    cells: Cells<'r>,
    what: &'r Long,
}

enum Cells<'r> {
    File(&'r rusqlite::Row<'r>),
    Pack(&'r [PackedCell<'r>]),
}

/// What a column holds.
enum Held<'r> {
    Nothing,
    Int(i64),
    Text(&'r str),
    Bytes(&'r [u8]),
    /// What no column of ours holds, as it may be shown.
    Other(String),
}

impl Row<'_> {
    pub(crate) fn int(&self, place: usize) -> Result<i64> {
        self.opt_int(place)?.ok_or_else(|| self.misread(place))
    }

    pub(crate) fn opt_int(&self, place: usize) -> Result<Option<i64>> {
        let held = self.held(place)?;
        if let Held::Int(value) = held {
            return Ok(Some(value));
        }
        if let Held::Nothing = held { Ok(None) } else { Err(self.unreadable(place, &held)) }
    }

    pub(crate) fn text(&self, place: usize) -> Result<&str> {
        let held = self.held(place)?;
        if let Held::Text(value) = held { Ok(value) } else { Err(self.unreadable(place, &held)) }
    }

    pub(crate) fn string(&self, place: usize) -> Result<String> {
        self.text(place).map(str::to_owned)
    }

    pub(crate) fn bytes(&self, place: usize) -> Result<&[u8]> {
        let held = self.held(place)?;
        if let Held::Bytes(value) = held { Ok(value) } else { Err(self.unreadable(place, &held)) }
    }

    /// A smaller or unsigned integer.
    pub(crate) fn narrow<T: TryFrom<i64>>(&self, place: usize) -> Result<T> {
        let value = self.int(place)?;
        T::try_from(value).map_err(|_| self.unreadable(place, &Held::Int(value)))
    }

    pub(crate) fn opt_narrow<T: TryFrom<i64>>(&self, place: usize) -> Result<Option<T>> {
        let Some(value) = self.opt_int(place)? else { return Ok(None) };
        T::try_from(value).map(Some).map_err(|_| self.unreadable(place, &Held::Int(value)))
    }

    /// A word or number in its text form.
    pub(crate) fn word<T: FromStr>(&self, place: usize) -> Result<T> {
        let text = self.text(place)?;
        text.parse().map_err(|_| self.unreadable(place, &Held::Text(text)))
    }

    pub(crate) fn time(&self, place: usize) -> Result<DateTime<Utc>> {
        self.opt_time(place)?.ok_or_else(|| self.unreadable(place, &Held::Nothing))
    }

    pub(crate) fn opt_time(&self, place: usize) -> Result<Option<DateTime<Utc>>> {
        let Some(micros) = self.opt_int(place)? else { return Ok(None) };
        let time = DateTime::from_timestamp_micros(micros);
        time.map(Some).ok_or_else(|| self.unreadable(place, &Held::Int(micros)))
    }

    pub(crate) fn number(&self, place: usize) -> Result<E164> {
        self.opt_number(place)?.ok_or_else(|| self.unreadable(place, &Held::Nothing))
    }

    pub(crate) fn opt_number(&self, place: usize) -> Result<Option<E164>> {
        let Some(digits) = self.opt_int(place)? else { return Ok(None) };
        let number = u64::try_from(digits).ok().and_then(E164::from_u64);
        number.map(Some).ok_or_else(|| self.unreadable(place, &Held::Int(digits)))
    }

    fn held(&self, place: usize) -> Result<Held<'_>> {
        match self.cells {
            Cells::File(row) => {
                let value = row.get_ref(place).map_err(|why| unreadable(self.what.columns[place], why))?;
                Ok(match value {
                    ValueRef::Null => Held::Nothing,
                    ValueRef::Integer(value) => Held::Int(value),
                    ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                        Ok(text) => Held::Text(text),
                        Err(_) => Held::Other(String::from_utf8_lossy(bytes).into_owned()),
                    },
                    ValueRef::Blob(bytes) => Held::Bytes(bytes),
                    ValueRef::Real(value) => Held::Other(value.to_string()),
                })
            }
            Cells::Pack(cells) => {
                let cell = cells.get(place).ok_or_else(|| unreadable(self.what.columns[place], "nothing"))?;
                Ok(match cell {
                    PackedCell::Nothing => Held::Nothing,
                    PackedCell::Int(value) => Held::Int(*value),
                    PackedCell::Text(text) => Held::Text(text),
                })
            }
        }
    }

    /// What a column holds that it must not.
    pub(crate) fn misread(&self, place: usize) -> StoreError {
        match self.held(place) {
            Ok(held) => self.unreadable(place, &held),
            Err(why) => why,
        }
    }

    fn unreadable(&self, place: usize, held: &Held<'_>) -> StoreError {
        let column = self.what.columns[place];
        let column = column.rsplit('.').next().unwrap_or(column);
        let table = self.what.table();
        let key = self.held(0).map_or_else(|_| String::new(), |key| key.shown());
        unreadable(&format!("{column} of {table} {key}"), held.shown())
    }
}

impl Held<'_> {
    /// For people.
    fn shown(&self) -> String {
        match self {
            Held::Nothing => "nothing".to_owned(),
            Held::Int(value) => value.to_string(),
            Held::Text(text) => (*text).to_owned(),
            Held::Bytes(bytes) => hex::encode(bytes),
            Held::Other(other) => other.clone(),
        }
    }
}

/// A value of a pack.
#[derive(Debug)]
enum PackedCell<'p> {
    Nothing,
    Int(i64),
    Text(Cow<'p, str>),
}

impl<'de> Deserialize<'de> for PackedCell<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = PackedCell<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an integer, a text or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(PackedCell::Nothing)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(PackedCell::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        i64::try_from(value).map(PackedCell::Int).map_err(E::custom)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(PackedCell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(PackedCell::Text(Cow::Owned(text.to_owned())))
    }
}

/// Reads a table within a transaction that has begun, on either database.
pub(crate) async fn read_packed<C: Collect>(conn: &mut AnyConnection, mut into: C) -> Result<C> {
    let what = C::WHAT;
    let mut last: Vec<Cell> = Vec::new();
    loop {
        let text = pack_of(Placeholders::of(conn), &what, !last.is_empty());
        let mut cells = last.clone();
        cells.push(Cell::from(ROWS_OF_A_PACK));
        let row = query_of(text).cells(cells).fetch_one(&mut *conn).await?;
        let Some(pack) = row.opt_text("pack")? else { return Ok(into) };
        let rows: Vec<Vec<PackedCell<'_>>> =
            serde_json::from_str(&pack).map_err(|why| unreadable(what.from, why))?;
        for cells in &rows {
            into.take(&Row { cells: Cells::Pack(cells), what: &what })?;
        }
        let Some(of_last) = rows.last().filter(|_| count(rows.len()) == ROWS_OF_A_PACK) else {
            return Ok(into);
        };
        let key = of_last.iter().take(what.n_keys).zip(what.columns);
        last = key
            .map(|(cell, column)| match cell {
                PackedCell::Int(value) => Ok(Cell::from(*value)),
                PackedCell::Text(text) => Ok(Cell::from(text.as_ref())),
                PackedCell::Nothing => Err(unreadable(column, "nothing")),
            })
            .collect::<Result<_>>()?;
    }
}

/// The statement that makes one pack: of all rows, or of those after a key.
fn pack_of(placeholders: Placeholders, what: &Long, is_after: bool) -> String {
    // The two databases have the same function by other names.
    let list = match placeholders {
        Placeholders::Bare => "json_array",
        Placeholders::Numbered => "json_build_array",
    };
    let (key, columns, from) = (what.columns[..what.n_keys].join(", "), what.columns.join(", "), what.from);
    let mut text = format!(
        "SELECT '[' || string_agg(one, ',') || ']' AS pack FROM (SELECT CAST({list}({columns}) AS TEXT) AS one FROM {from}"
    );
    let n_before = if is_after { what.n_keys } else { 0 };
    if is_after {
        write!(text, " WHERE ({key}) > (").expect("a String takes all");
        placeholders.write(&mut text, 0, n_before);
        text.push(')');
    }
    write!(text, " ORDER BY {key} LIMIT ").expect("a String takes all");
    placeholders.write(&mut text, n_before, 1);
    text.push_str(") AS packed");
    text
}

/// Sees one state of the whole database, and reads long tables of it.
pub(crate) enum Reader {
    /// Of SQLite.
    File(FileReader),
    /// Of PostgreSQL.
    Server(Transaction<'static, Any>),
}

impl Reader {
    /// Reads a table.
    pub(crate) async fn read<C: Collect>(&mut self, into: C) -> Result<C> {
        match self {
            Reader::File(file) => file.read_aside(into).await,
            Reader::Server(tx) => read_packed(tx, into).await,
        }
    }
}

/// Connections that are kept for the next reader.
const KEPT_MAX: usize = 4;

/// A SQLite file and connections to it that have nothing to do.
#[derive(Debug)]
pub(crate) struct LongFile {
    path: Arc<Path>,
    idle: Mutex<Vec<rusqlite::Connection>>,
}

impl LongFile {
    pub(crate) fn new(path: Arc<Path>) -> Self {
        Self { path, idle: Mutex::default() }
    }

    /// Ends the connections that have nothing to do.
    pub(crate) fn close(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<rusqlite::Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> rusqlite::Result<rusqlite::Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = rusqlite::Connection::open_with_flags(&self.path, flags)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        Ok(conn)
    }
}

/// One state of a SQLite file, on a connection of its own that writes nothing.
pub(crate) struct FileReader {
    /// `None` while a thread has it.
    conn: Option<rusqlite::Connection>,
    file: Arc<LongFile>,
}

impl Drop for FileReader {
    fn drop(&mut self) {
        // A connection that cannot end what it has begun is ended itself.
        if let Some(conn) = self.conn.take()
            && conn.execute_batch("COMMIT").is_ok()
        {
            let mut idle = self.file.idle();
            if idle.len() < KEPT_MAX {
                idle.push(conn);
            }
        }
    }
}

impl FileReader {
    /// Sees the file as it is when something is first asked.
    pub(crate) fn begin(file: &Arc<LongFile>) -> Result<Self> {
        let kept = file.idle().pop();
        let begun = kept.map_or_else(|| file.open(), Ok).and_then(|conn| {
            conn.execute_batch("BEGIN")?;
            Ok(conn)
        });
        let conn = begun.map_err(|why| file_error(&file.path, why))?;
        Ok(Self { conn: Some(conn), file: file.clone() })
    }

    /// Reads a table, on a thread on which that may take its time.
    async fn read_aside<C: Collect>(&mut self, into: C) -> Result<C> {
        let what = C::WHAT;
        let mut text = format!("SELECT {} FROM {}", what.columns.join(", "), what.from);
        if what.is_in_order {
            write!(text, " ORDER BY {}", what.columns[..what.n_keys].join(", ")).expect("a String takes all");
        }
        self.aside(move |file| {
            let mut into = into;
            into.expect(file.rows_at_most(what.table())?);
            file.rows(&text, &what, [], |row| into.take(row))?;
            Ok(into)
        })
        .await
    }

    /// Does `work` on a thread on which that may take its time.
    pub(crate) async fn aside<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&FileReader) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut lent = FileReader { conn: self.conn.take(), file: self.file.clone() };
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&lent);
            (lent.conn.take(), done)
        })
        .await;
        match done {
            Ok((conn, done)) => {
                self.conn = conn;
                done
            }
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    /// How many rows a table may have: none of ours is shorter than [`ROW_BYTES_MIN`], and rows are numbered.
    fn rows_at_most(&self, table: &str) -> Result<usize> {
        let named = |why| file_error(&self.file.path, why);
        let conn = self.conn.as_ref().expect("a reader is asked one thing after the other");
        let one = |text: &str| conn.query_row(text, [], |row| row.get::<_, Option<i64>>(0)).map_err(named);
        let last = one(&format!("SELECT max(rowid) FROM {table}"))?;
        let n_pages = one("PRAGMA page_count")?;
        let page_bytes = one("PRAGMA page_size")?;
        let fitting = n_pages.unwrap_or(0).saturating_mul(page_bytes.unwrap_or(0)) / ROW_BYTES_MIN;
        Ok(usize::try_from(last.unwrap_or(0).min(fitting)).unwrap_or(0))
    }

    /// Looks, so that from now on it sees the file as it is now.
    pub(crate) fn see(&self) -> Result<()> {
        let conn = self.conn.as_ref().expect("a reader is asked one thing after the other");
        let seen = conn.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0));
        seen.map(|_| ()).map_err(|why| file_error(&self.file.path, why))
    }

    /// Writes what it sees into a new file.
    pub(crate) fn copy_to(&self, to: &Path) -> Result<()> {
        let conn = self.conn.as_ref().expect("a reader is asked one thing after the other");
        let copied = || {
            let mut new = rusqlite::Connection::open(to)?;
            // All at once: the pages come from the state that this connection has begun to read.
            let step = rusqlite::backup::Backup::new(conn, &mut new)?.step(-1)?;
            if step != rusqlite::backup::StepResult::Done {
                let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                return Err(rusqlite::Error::SqliteFailure(busy, None));
            }
            new.close().map_err(|(_, why)| why)
        };
        copied().map_err(|why| file_error(to, why))
    }

    /// Hands each row of a query to `take`.
    pub(crate) fn rows<P: rusqlite::Params>(
        &self,
        text: &str,
        what: &Long,
        arguments: P,
        mut take: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let named = |why| file_error(&self.file.path, why);
        let conn = self.conn.as_ref().expect("a reader is asked one thing after the other");
        let mut statement = conn.prepare(text).map_err(named)?;
        let mut rows = statement.query(arguments).map_err(named)?;
        while let Some(row) = rows.next().map_err(named)? {
            take(&Row { cells: Cells::File(row), what })?;
        }
        Ok(())
    }
}

/// What SQLite says, with its place and remedy (sqlite.org/rescode.html).
fn file_error(file: &Path, why: rusqlite::Error) -> StoreError {
    let place = file.display().to_string();
    match why.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt) => StoreError::Damaged { place, detail: why.to_string() },
        Some(rusqlite::ErrorCode::NotADatabase) => StoreError::NotADatabase { file: file.to_owned() },
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            StoreError::Locked { place }
        }
        Some(_) | None => StoreError::Database(sqlx::Error::Io(std::io::Error::other(why))),
    }
}

impl Store {
    /// Someone who sees the database as it is when first asked.
    pub(crate) async fn reader(&self) -> Result<Reader> {
        match self.file() {
            Some(file) => Ok(Reader::File(FileReader::begin(file)?)),
            None => Ok(Reader::Server(self.read().await?)),
        }
    }

    /// `n` readers and a transaction that see the same of what the revision counts, with that revision; `None` if it changes too often for that.
    pub(crate) async fn readers_at_one_revision(
        &self,
        n: usize,
    ) -> Result<Option<(i64, Vec<Reader>, Transaction<'static, Any>)>> {
        for _ in 0..BEGIN_TRIES {
            let mut tx = self.read().await?;
            let revision = crate::directory::load_revision(&mut tx).await?;
            let mut readers = Vec::with_capacity(n);
            for _ in 0..n {
                let mut reader = self.reader().await?;
                let seen = reader.read(Revision::default()).await?;
                if seen.0 != Some(revision) {
                    break;
                }
                readers.push(reader);
            }
            if readers.len() == n {
                return Ok(Some((revision, readers, tx)));
            }
        }
        Ok(None)
    }
}

/// The revision of what is provisioned.
#[derive(Default)]
struct Revision(Option<i64>);

impl Collect for Revision {
    const WHAT: Long =
        Long { columns: &["revision"], n_keys: 1, from: "revisions WHERE one = 1", is_in_order: false };

    fn take(&mut self, row: &Row<'_>) -> Result<()> {
        self.0 = Some(row.int(0)?);
        Ok(())
    }
}
