//! A real Kafka cluster on this machine: brokers in KRaft mode on ports of their own, from the jars in `target/kafka`.
//!
//! `./test` puts the jars there. The brokers die with the process that started them, however it ends.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// Where the jars are.
fn jars() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kafka")
}

/// Whether tests with a broker can run. Where not they pass with a word, unless `CI` is `true`.
pub(crate) fn at_hand() -> bool {
    let there = fs::read_dir(jars()).is_ok_and(|mut files| files.next().is_some());
    if !there {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "target/kafka has no jars: run ./test");
        println!("left out: target/kafka has no jars of a Kafka broker, ./test fetches them");
    }
    there
}

/// How clients come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Anybody, in the clear.
    Open,
    /// Over TLS, with a SCRAM password.
    Locked,
}

/// User and password of a [`Door::Locked`].
pub(crate) const USER: &str = "tollbook";
pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// Some brokers.
pub(crate) struct Cluster {
    dir: PathBuf,
    door: Door,
    /// Where clients come in.
    ip: IpAddr,
    nodes: Vec<Node>,
}

struct Node {
    port: u16,
    process: Mutex<Option<Arc<Mutex<Child>>>>,
}

impl Cluster {
    /// `n` new brokers with their files in `dir`, up and ready.
    pub(crate) fn start(dir: &Path, n: usize, door: Door) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), dir, n, door)
    }

    /// The same, on an address of this machine that others may reach.
    pub(crate) fn start_at(ip: IpAddr, dir: &Path, n: usize, door: Door) -> Self {
        let ports = free_ports(2 * n);
        let nodes = ports[..n].iter().map(|port| Node { port: *port, process: Mutex::new(None) }).collect();
        let cluster = Self { dir: dir.to_owned(), door, ip, nodes };
        if door == Door::Locked {
            cluster.make_certificate();
        }
        let voters: Vec<String> =
            ports[n..].iter().enumerate().map(|(idx, port)| format!("{idx}@127.0.0.1:{port}")).collect();
        for idx in 0..n {
            cluster.format(idx, ports[n + idx], &voters.join(","));
        }
        for idx in 0..n {
            cluster.launch(idx);
        }
        for idx in 0..n {
            cluster.await_port(idx);
        }
        cluster
    }

    /// For `bus.url`.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("{}:{}", self.ip, node.port)).collect();
        format!("kafka://{}", hosts.join(","))
    }

    /// The certificate that clients of a [`Door::Locked`] have to believe.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.join("broker.crt")
    }

    /// `kill -9`.
    pub(crate) fn kill(&self, idx: usize) {
        if let Some(process) = self.nodes[idx].process.lock().unwrap().take() {
            let mut child = process.lock().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts a killed broker again, and waits until it listens.
    pub(crate) fn restart(&self, idx: usize) {
        self.launch(idx);
        self.await_port(idx);
    }

    fn home(&self, idx: usize) -> PathBuf {
        self.dir.join(format!("broker-{idx}"))
    }

    fn format(&self, idx: usize, controller_port: u16, voters: &str) {
        let home = self.home(idx);
        fs::create_dir_all(&home).unwrap();
        let copies = self.nodes.len().min(3);
        let protocol = match self.door {
            Door::Open => "PLAINTEXT",
            Door::Locked => "SASL_SSL",
        };
        let (ip, port) = (self.ip, self.nodes[idx].port);
        let mut text = format!(
            "process.roles=broker,controller\nnode.id={idx}\ncontroller.quorum.voters={voters}\n\
             listeners=CLIENTS://{ip}:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
             advertised.listeners=CLIENTS://{ip}:{port}\ncontroller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=CLIENTS\n\
             listener.security.protocol.map=CLIENTS:{protocol},CONTROLLER:PLAINTEXT\n\
             log.dirs={}\noffsets.topic.replication.factor={copies}\nauto.create.topics.enable=false\n\
             group.initial.rebalance.delay.ms=0\nbroker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n\
             log.retention.check.interval.ms=1000\n",
            home.join("data").display(),
        );
        if self.door == Door::Locked {
            let pem = |name: &str| fs::read_to_string(self.dir.join(name)).unwrap().replace('\n', "\\n");
            write!(
                text,
                "sasl.enabled.mechanisms=SCRAM-SHA-512\nsasl.mechanism.inter.broker.protocol=SCRAM-SHA-512\n\
                 ssl.keystore.type=PEM\nssl.keystore.certificate.chain={cert}\nssl.keystore.key={key}\n\
                 ssl.truststore.type=PEM\nssl.truststore.certificates={cert}\n\
                 ssl.endpoint.identification.algorithm=\n\
                 listener.name.clients.scram-sha-512.sasl.jaas.config=\
                 org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{USER}\" \
                 password=\"{PASSWORD}\";\n",
                cert = pem("broker.crt"),
                key = pem("broker.key"),
            )
            .unwrap();
        }
        fs::write(home.join("server.properties"), text).unwrap();
        let mut format = java("kafka.tools.StorageTool");
        format.args(["format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c"]).arg(home.join("server.properties"));
        if self.door == Door::Locked {
            format.args(["--add-scram", &format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]")]);
        }
        let done = format.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn make_certificate(&self) {
        let done = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=127.0.0.1"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .arg("-keyout")
            .arg(self.dir.join("broker.key"))
            .arg("-out")
            .arg(self.dir.join("broker.crt"))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn launch(&self, idx: usize) {
        let home = self.home(idx);
        let log = fs::File::options().create(true).append(true).open(home.join("log")).unwrap();
        // Killed with the thread that started it, so that thread stays until the process ends.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "java", "-Xmx384m", "-Xms64m", "-XX:+UseSerialGC", "-cp"])
            .arg(jars().join("*"))
            .arg("kafka.Kafka")
            .arg(home.join("server.properties"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let (sender, started) = mpsc::channel();
        thread::spawn(move || {
            sender.send(command.spawn()).unwrap();
            loop {
                thread::park();
            }
        });
        let child = started.recv().unwrap().unwrap();
        *self.nodes[idx].process.lock().unwrap() = Some(Arc::new(Mutex::new(child)));
    }

    fn await_port(&self, idx: usize) {
        for _ in 0..600 {
            if TcpStream::connect((self.ip, self.nodes[idx].port)).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        let log = fs::read_to_string(self.home(idx).join("log")).unwrap_or_default();
        panic!("broker {idx} does not listen:\n{}", &log[log.len().saturating_sub(3_000)..]);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for idx in 0..self.nodes.len() {
            self.kill(idx);
        }
    }
}

fn java(class: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-XX:+UseSerialGC", "-cp"]).arg(jars().join("*")).arg(class);
    command
}

/// Ports that nobody has at the moment.
fn free_ports(n: usize) -> Vec<u16> {
    let held: Vec<TcpListener> = (0..n).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}
