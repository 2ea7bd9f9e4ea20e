//! Calls by IPv6, and between IPv6 and IPv4, over each transport: sipp calls and answers, and checks every message of the whole call.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::rig::{Installation, Running, eventually, free_address, have, printed, scenario, write_file};

/// A certificate for `name` that is its own root, made by OpenSSL.
fn certificate(dir: &Path, name: &str) -> [String; 2] {
    let [certificate, key] =
        ["pem", "key"].map(|end| dir.join(format!("{name}.{end}")).to_str().unwrap().to_owned());
    printed(Command::new("openssl").args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        &format!("/CN={name}"),
        "-addext",
        &format!("subjectAltName=DNS:{name}"),
        "-keyout",
        &key,
        "-out",
        &certificate,
    ]));
    [certificate, key]
}

fn gateway(at: SocketAddr, transport: &[&str]) -> Running {
    Running::spawn(
        Command::new("sipp")
            .args(["-sn", "uas", "-nostdin", "-i", &at.ip().to_string(), "-p", &at.port().to_string()])
            .args(transport)
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )
}

/// What comes in at `near` goes on to `far` by TLS: Debian's sipp knows none.
fn tunnel(near: SocketAddr, far: &str) -> Running {
    let listen = format!("TCP-LISTEN:{},bind={},fork,reuseaddr", near.port(), near.ip());
    let running = Running::spawn(
        Command::new("socat")
            .args([&listen, &format!("OPENSSL:{far},verify=0,snihost=sip.meridian.example")]),
    );
    eventually("the tunnel is open", || std::net::TcpStream::connect(near).is_ok());
    running
}

/// One call from `ip` to the switch at `to`; sipp fails on any message out of place.
fn call(made: &Installation, ip: &str, to: SocketAddr, transport: &[&str]) {
    let fields = write_file(
        made.path(),
        "caller.csv",
        "SEQUENTIAL\nhuber;4930555123;[authentication username=huber password=change-me-huber]\n",
    );
    let local = free_address(ip);
    printed(
        Command::new("sipp")
            .arg(to.to_string())
            .arg("-sf")
            .arg(scenario("customer_call.xml"))
            .arg("-inf")
            .arg(fields)
            .args(["-i", ip, "-p", &local.port().to_string(), "-nostdin", "-timeout", "50", "-timeout_error"])
            .args(["-m", "1", "-d", "300"])
            .args(transport),
    );
}

/// A switch for both families whose German calls go to `carrier`.
fn installation(carrier: SocketAddr) -> Installation {
    let made = Installation::with_carriers([free_address("127.0.0.3"), carrier]);
    made.reconfigure(
        &format!("listen = \"{}\"", made.sip),
        &format!(
            "listen = \"[::]:{}\"\nadvertise = \"{}\"\nadvertise_v6 = \"[::1]:{}\"",
            made.sip.port(),
            made.sip,
            made.sip.port()
        ),
    );
    made
}

/// How many calls were answered, from which addresses.
fn answered(made: &Installation, from: &str) -> String {
    made.sql(&format!("select count(*) from calls where status = 'ok' and source_ip = '{from}'")).join("")
}

#[test]
fn calls_cross_between_the_families_by_udp_and_tcp() {
    if !["sipp", "ssh-keygen"].into_iter().all(have) {
        return;
    }
    for carrier in ["::1", "127.0.0.2"] {
        let carrier = free_address(carrier);
        let made = installation(carrier);
        let _gateway = gateway(carrier, &[]);
        let house = made.start();
        let v6 = SocketAddr::new("::1".parse().unwrap(), made.sip.port());
        call(&made, "::1", v6, &[]);
        call(&made, "127.0.0.1", made.sip, &[]);
        call(&made, "::1", v6, &["-t", "t1"]);
        call(&made, "127.0.0.1", made.sip, &["-t", "t1"]);
        eventually("two calls of each family have their records", || {
            answered(&made, "::1") == "2" && answered(&made, "127.0.0.1") == "2"
        });
        house.stop();
    }
}

#[test]
fn calls_by_tls_over_ipv6_and_ipv4_reach_a_trunk_by_tcp() {
    if !["sipp", "openssl", "socat", "ssh-keygen"].into_iter().all(have) {
        return;
    }
    // Who connects from the address of a trunk by TCP is the trunk.
    let carrier = free_address("127.0.0.3");
    let made = installation(carrier);
    let world = made.home().join("world.toml");
    let text = std::fs::read_to_string(&world).unwrap();
    std::fs::write(
        &world,
        text.replace("name = \"pelagic-1\"\n", "name = \"pelagic-1\"\ntransport = \"tcp\"\n"),
    )
    .unwrap();
    made.run_command(&["import", world.to_str().unwrap()]);
    let [certificate, key] = certificate(made.path(), "sip.meridian.example");
    let tls = free_address("127.0.0.1").port();
    made.configure(&format!(
        "[switch.tls]\nlisten = \"[::]:{tls}\"\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n"
    ));
    let _gateway = gateway(carrier, &["-t", "t1"]);
    let house = made.start();
    let is_open = |ip: &str| std::net::TcpStream::connect(format!("{ip}:{tls}")).is_ok();
    eventually("the switch takes TLS", || is_open("[::1]") && is_open("127.0.0.1"));
    for ip in ["[::1]", "127.0.0.1"] {
        let (near, far) = (free_address("127.0.0.1"), format!("{ip}:{tls}"));
        let _tunnel = tunnel(near, &far);
        call(&made, "127.0.0.1", near, &["-t", "t1"]);
    }
    eventually("both have their records", || {
        answered(&made, "::1") == "1" && answered(&made, "127.0.0.1") == "1"
    });
    house.stop();
}
