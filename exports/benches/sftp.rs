//! Download over SFTP, from this server and from OpenSSH's internal-sftp, by the same client with the same cipher in
//! the same run.
//!
//! `cargo bench -p exports --bench sftp`; needs Debian's openssh-client and openssh-server.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a program that measures"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use exports::sftp::{SftpConfig, SftpUser, new_client_key, serve};

const SSHD: &str = "/usr/sbin/sshd";
const LARGE_BYTES: u64 = 1 << 30;
const SMALL_FILES: usize = 1_000;
const ROUNDS: usize = 3;
/// Of the small files, which take a moment and are disturbed by a moment of somebody else's.
const SMALL_ROUNDS: usize = 9;

fn main() {
    if !Path::new(SSHD).exists() {
        println!("left out: {SSHD} is missing; install openssh-server");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("files");
    fs::create_dir_all(root.join("small")).unwrap();
    let block: Vec<u8> =
        (0..1_u32 << 20).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    let mut large = Vec::new();
    while (large.len() as u64) < LARGE_BYTES {
        large.extend_from_slice(&block);
    }
    fs::write(root.join("large"), &large).unwrap();
    for n in 0..SMALL_FILES {
        fs::write(root.join(format!("small/{n}")), &large[..10_000]).unwrap();
    }
    drop(large);

    let key = dir.path().join("key");
    let public = new_client_key(&key, "bench").unwrap();
    let ours = start_ours(dir.path(), &root, &public);
    let (mut sshd, theirs) = start_sshd(dir.path(), &public);
    let me = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();

    println!(
        "best of {ROUNDS} of the large file and of {SMALL_ROUNDS} of the small ones, alternating; client and server share the \
         machine. Behind it the server's own processor time for all rounds"
    );
    for cipher in ["aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"] {
        let mut best = [[Duration::MAX; 2]; 2];
        let mut spent = [[0; 2]; 2];
        for round in 0..SMALL_ROUNDS {
            for (which, (address, user, at)) in
                [(ours, "bench", String::new()), (theirs, me.trim(), format!("{}/", root.display()))]
                    .iter()
                    .enumerate()
            {
                let process = if which == 0 { std::process::id() } else { sshd.id() };
                let mut get = |what: usize, batch: String| {
                    let began = ticks_of(process, which == 1);
                    let taken = client(dir.path(), &key, cipher, *address, user, &batch);
                    best[which][what] = best[which][what].min(taken);
                    spent[which][what] += ticks_of(process, which == 1) - began;
                };
                if round < ROUNDS {
                    get(0, format!("get {at}large /dev/null\n"));
                }
                let _ = fs::remove_dir_all(dir.path().join("got"));
                get(1, format!("get -r {at}small got\n"));
            }
        }
        let rate = |time: Duration| LARGE_BYTES as f64 / 1e6 / time.as_secs_f64();
        println!(
            "{cipher:30} 1 GiB: ours {:>5.0} MB/s, internal-sftp {:>5.0} MB/s   {SMALL_FILES} files of 10 kB: ours {:.2} s, internal-sftp {:.2} s",
            rate(best[0][0]),
            rate(best[1][0]),
            best[0][1].as_secs_f64(),
            best[1][1].as_secs_f64()
        );
        let seconds = |ticks: u64| ticks as f64 / 100.0;
        println!(
            "{:30} 1 GiB: ours {:.2} s, internal-sftp {:.2} s   {SMALL_FILES} files: ours {:.3} s, internal-sftp {:.3} s",
            "  the server's processor time",
            seconds(spent[0][0]) / ROUNDS as f64,
            seconds(spent[1][0]) / ROUNDS as f64,
            seconds(spent[0][1]) / SMALL_ROUNDS as f64,
            seconds(spent[1][1]) / SMALL_ROUNDS as f64
        );
    }
    sshd.kill().unwrap();
    sshd.wait().unwrap();
}

/// Processor time of a process, with or without that of those it has waited for, in hundredths of a second (proc(5): 14 to 17,
/// counted here behind the name).
fn ticks_of(process: u32, with_children: bool) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<u64> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .skip(11)
        .take(4)
        .map(|n| n.parse().unwrap())
        .collect();
    fields[0] + fields[1] + if with_children { fields[2] + fields[3] } else { 0 }
}

fn start_ours(dir: &Path, root: &Path, public: &str) -> SocketAddr {
    let user = SftpUser {
        name: "bench".to_owned(),
        authorized_keys: vec![public.to_owned()],
        password_hash: None,
        networks: Vec::new(),
        root: root.to_owned(),
        exchange: None,
        deletable: false,
        renamable: false,
    };
    let config = SftpConfig { host_key: dir.join("host"), ..SftpConfig::default() };
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            let (trail, mut events) = tokio::sync::mpsc::channel(100);
            tokio::spawn(async move { while events.recv().await.is_some() {} });
            let users = move |name: &str| (name == "bench").then(|| user.clone());
            serve(config, users, trail, listener, std::future::pending()).await.unwrap();
        });
    });
    receiver.recv().unwrap()
}

fn start_sshd(dir: &Path, public: &str) -> (Child, SocketAddr) {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    new_client_key(&dir.join("sshd_key"), "sshd").unwrap();
    fs::write(dir.join("authorized_keys"), public).unwrap();
    let text = format!(
        "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n\
         AuthorizedKeysFile {}\nSubsystem sftp internal-sftp\n",
        address.port(),
        dir.join("sshd_key").display(),
        dir.join("authorized_keys").display()
    );
    fs::write(dir.join("sshd_config"), text).unwrap();
    // Where a daemon of the system would have made it.
    let _ = fs::create_dir_all("/run/sshd");
    let child = Command::new(SSHD)
        .args(["-D", "-e", "-f"])
        .arg(dir.join("sshd_config"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while std::net::TcpStream::connect(address).is_err() {
        std::thread::sleep(Duration::from_millis(50));
    }
    (child, address)
}

fn client(dir: &Path, key: &Path, cipher: &str, address: SocketAddr, user: &str, batch: &str) -> Duration {
    let file: PathBuf = dir.join("batch");
    fs::write(&file, batch).unwrap();
    let began = Instant::now();
    let output = Command::new("sftp")
        .args(["-q", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
        .args(["-o", "IdentitiesOnly=yes", "-o", &format!("Ciphers={cipher}")])
        .arg("-i")
        .arg(key)
        .arg("-b")
        .arg(&file)
        .args(["-P", &address.port().to_string(), &format!("{user}@127.0.0.1")])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    began.elapsed()
}
