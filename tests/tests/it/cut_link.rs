//! The cable is pulled: carriers in network namespaces of their own, whose link goes down between two calls and during one.

use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

use crate::rig::{Installation, Running, eventually, have, printed};
use crate::sipp_call::{calls, dial};

/// A machine of its own, at the other end of a cable.
pub(crate) struct Namespace {
    name: String,
    cable: String,
    at: SocketAddr,
}

impl Namespace {
    /// Number `n` of this run; `None`: namespaces may not be made here, which is no excuse with `CI=true`.
    pub(crate) fn new(n: u8) -> Option<Self> {
        let name = format!("tb{}-{n}", std::process::id());
        let cable = format!("tb{}{n}", std::process::id() % 100_000);
        let far_end = format!("{cable}f");
        let may = Command::new("ip").args(["netns", "add", &name]).stderr(Stdio::null()).status().unwrap();
        if !may.success() {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "network namespaces may not be made here");
            eprintln!("left out: network namespaces may not be made here");
            return None;
        }
        let made = Self { name, cable, at: SocketAddr::from(([10, 231, n, 2], 5060)) };
        let ip = |args: &[&str]| {
            printed(Command::new("ip").args(args));
        };
        ip(&["link", "add", &made.cable, "type", "veth", "peer", "name", &far_end, "netns", &made.name]);
        ip(&["addr", "add", &format!("10.231.{n}.1/24"), "dev", &made.cable]);
        ip(&["link", "set", &made.cable, "up"]);
        ip(&["-n", &made.name, "addr", "add", &format!("10.231.{n}.2/24"), "dev", &far_end]);
        ip(&["-n", &made.name, "link", "set", &far_end, "up"]);
        Some(made)
    }

    fn gateway(&self) -> Running {
        Running::spawn(
            Command::new("ip")
                .args(["netns", "exec", &self.name, "sipp", "-sn", "uas", "-nostdin", "-i"])
                .args([&self.at.ip().to_string(), "-p", &self.at.port().to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )
    }

    pub(crate) fn pull_the_cable(&self) {
        printed(Command::new("ip").args(["link", "set", &self.cable, "down"]));
    }

    pub(crate) fn plug_the_cable(&self) {
        printed(Command::new("ip").args(["link", "set", &self.cable, "up"]));
    }

    /// Our end of the cable.
    pub(crate) fn near_end(&self) -> IpAddr {
        let SocketAddr::V4(far) = self.at else { panic!("it has an address of IPv4") };
        let [a, b, c, _] = far.ip().octets();
        IpAddr::from([a, b, c, 1])
    }

    /// What runs a program there.
    pub(crate) fn wrapper(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The cable goes with it.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

#[test]
fn calls_go_to_the_next_carrier_when_a_link_is_cut_and_the_one_that_was_up_is_ended() {
    if !["sipp", "ip", "ssh-keygen"].into_iter().all(have) {
        return;
    }
    let (Some(first), Some(second)) = (Namespace::new(1), Namespace::new(2)) else { return };
    // German calls go to the second carrier of the sample world, then to the first.
    let made = Installation::with_carriers([second.at, first.at]);
    made.reconfigure(
        &format!("listen = \"{}\"", made.sip),
        // Sides that know no session timer are asked every second whether they are there.
        &format!("listen = \"0.0.0.0:{}\"\nalive_seconds = 1\ncharge_tick_seconds = 1", made.sip.port()),
    );
    let (_at_first, _at_second) = (first.gateway(), second.gateway());
    let house = made.start();
    let call = || calls(&made, "customer_call.xml", "huber", "change-me-huber", "4930555123", 1, 200);
    call();
    let routes = || made.sql("select attempts, status, cause from calls order by init_at").join(" ");
    eventually("the first call has its record", || routes() == "1,ok,normal");
    let mut held = dial(&made, "customer_call.xml", "huber", "change-me-huber", "4930555123", 1, 50_000);
    let messages = made.path().join("held.log");
    held.arg("-trace_msg").arg("-message_file").arg(&messages);
    let held = Running::spawn(held.stdout(Stdio::null()).stderr(Stdio::null()));
    // The first ACK was for the challenge.
    let n_acks = || std::fs::read_to_string(&messages).unwrap_or_default().matches("\nACK sip:").count();
    eventually("a call is up", || n_acks() == 2);
    first.pull_the_cable();
    call();
    eventually("the next call went on to the other carrier", || routes().contains("2,ok,normal"));
    // Nobody answers on the cut side any more: 32 s after the question the call is ended, and billed.
    eventually("the call that was up is ended", || routes().contains("session_expired"));
    held.kill();
    house.stop();
}
