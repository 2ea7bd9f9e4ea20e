//! A fresh database for each case: a file, or a database on a server that this process starts and takes with it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use store::Store;
use tempfile::TempDir;

/// One database, its store opened.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) store: Store,
    /// Of SQLite; gone with the case.
    _dir: Option<TempDir>,
}

impl Database {
    /// A second way in, past the store.
    pub(crate) async fn connect(&self) -> AnyConnection {
        let url =
            self.url.strip_prefix("sqlite://").map_or(self.url.clone(), |path| format!("sqlite://{path}"));
        AnyConnection::connect(&url).await.unwrap()
    }

    /// Runs a statement behind the store's back.
    pub(crate) async fn meddle(&self, sql: &str) {
        let mut conn = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }

    /// As after a crash: the connections are gone, the database is opened again.
    pub(crate) async fn reopen(&mut self) {
        self.store.close().await;
        self.store = Store::open(&self.url).await.unwrap();
    }
}

pub(crate) async fn sqlite() -> Database {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("tollbook.db").display());
    let store = Store::open(&url).await.unwrap();
    Database { url, store, _dir: Some(dir) }
}

/// `None` where PostgreSQL is not installed.
pub(crate) async fn postgres() -> Option<Database> {
    static N_DATABASES: AtomicU32 = AtomicU32::new(0);
    // Starting takes seconds: not on a thread that runs other tasks.
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(Server::start).as_ref()).await.unwrap();
    let Some(server) = server else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "PostgreSQL is not installed: apt-get install postgresql"
        );
        return None;
    };
    let name = format!("case_{}", N_DATABASES.fetch_add(1, Ordering::Relaxed));
    sqlx::any::install_default_drivers();
    let mut admin = AnyConnection::connect(&server.url("postgres")).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
    admin.close().await.unwrap();
    let url = server.url(&name);
    let store = Store::open(&url).await.unwrap();
    Some(Database { url, store, _dir: None })
}

static SERVER: OnceLock<Option<Server>> = OnceLock::new();

struct Server {
    /// Where its socket is; it listens on no port.
    dir: PathBuf,
    /// A shell that ends the server and removes its directory when our end of its standard input closes: whatever
    /// becomes of this process, nothing stays behind.
    _keeper: Child,
}

impl Server {
    fn start() -> Option<Self> {
        let Some(bin) = binaries() else {
            // Written past the capture of the test runner, once.
            let _ = writeln!(
                std::io::stderr(),
                "left out: PostgreSQL is not installed (apt-get install postgresql)"
            );
            return None;
        };
        // Not below a private temporary directory: the server's own user must get there.
        let dir = std::env::temp_dir().join(format!("tollbook-postgres-{}", std::process::id()));
        let script = format!(
            "set -e; umask 077; mkdir {dir}; cd {dir}; \
             {bin}/initdb -D data -U postgres -A trust -E UTF8 --locale=C --no-sync > initdb.log 2>&1; \
             {bin}/postgres -D data -k {dir} -c listen_addresses= -c fsync=off -c synchronous_commit=off \
             -c full_page_writes=off > postgres.log 2>&1 & server=$!; \
             cat > /dev/null; kill -INT $server; wait $server || true; cd /; rm -rf {dir}",
            dir = dir.display(),
            bin = bin.display()
        );
        // PostgreSQL refuses to run as root; Debian's package brings a user for it.
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh", "-c", &script]);
            command
        } else {
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            command
        };
        let keeper =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { dir, _keeper: keeper };
        for _ in 0..300 {
            let ready =
                Command::new(bin.join("pg_isready")).arg("-q").arg("-h").arg(&server.dir).status().unwrap();
            if ready.success() {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("PostgreSQL did not start within 30 s; see {}", server.dir.join("postgres.log").display());
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.dir.display())
    }
}

/// The newest version that Debian's package has installed.
fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir(Path::new("/usr/lib/postgresql")).ok()?;
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}
