//! Carriers that are known by name: dnsmasq answers for the DNS, sipp for their gateways, and one of them is cut off.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::rig::{Installation, Running, eventually, free_address, have};
use crate::sipp_call::{calls, gateway};

/// A name server that knows `carrier.example`: its service at each host and port by priority.
fn name_server(at: SocketAddr, log: &Path, hosts: &[(u16, &str, SocketAddr)]) -> Running {
    let mut command = Command::new("/usr/sbin/dnsmasq");
    command
        .args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--pid-file",
        ])
        .args(["--bind-interfaces", "--local=/carrier.example/", "--local-ttl=5"])
        .args([&format!("--listen-address={}", at.ip()), &format!("--port={}", at.port())]);
    command.args(["--log-queries", &format!("--log-facility={}", log.display())]);
    for (priority, host, address) in hosts {
        command.arg(format!(
            "--srv-host=_sip._udp.carrier.example,{host}.carrier.example,{},{priority},10",
            address.port()
        ));
        command.arg(format!("--host-record={host}.carrier.example,{}", address.ip()));
    }
    Running::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// An installation whose German calls go to the servers of `carrier.example`.
fn installation(name_server: SocketAddr) -> Installation {
    let made = Installation::new();
    let world = made.home().join("world.toml");
    let text = std::fs::read_to_string(&world).unwrap();
    let named = text.replace(
        "name = \"pelagic-1\"\n",
        "name = \"pelagic-1\"\ncalling = { host = \"carrier.example\" }\n",
    );
    assert_ne!(named, text, "the sample world has a trunk pelagic-1");
    std::fs::write(&world, named).unwrap();
    made.run_command(&["import", world.to_str().unwrap()]);
    made.reconfigure("[switch]\n", &format!("[switch]\ndns_servers = [\"{name_server}\"]\n"));
    made
}

/// Calls answered over the trunk, by how many tries.
fn answered(made: &Installation) -> String {
    made.sql("select coalesce(string_agg(cast(attempts as varchar), ',' order by start_at), '') from calls where status = 'ok'")
        .join("")
        .replace('"', "")
}

#[test]
fn carrier_known_by_name_is_reached_at_its_next_server_when_the_first_is_cut_off() {
    if !["sipp", "/usr/sbin/dnsmasq", "ssh-keygen"].into_iter().all(have) {
        return;
    }
    let dns = free_address("127.0.0.1");
    let made = installation(dns);
    let [first, second] = [free_address("127.0.0.4"), free_address("127.0.0.5")];
    let log = made.path().join("dns.log");
    let names = name_server(dns, &log, &[(10, "gw1", first), (20, "gw2", second)]);
    let (at_first, _at_second) = (gateway(first), gateway(second));
    // The address of the trunk is never needed: nobody is there.
    let house = made.start();
    let asked_for = |what: &str| std::fs::read_to_string(&log).unwrap_or_default().contains(what);
    eventually("the switch has asked for both hosts", || {
        asked_for("config gw1.carrier.example is") && asked_for("config gw2.carrier.example is")
    });
    let call = || calls(&made, "customer_call.xml", "huber", "change-me-huber", "4930555123", 1, 200);
    call();
    eventually("the call at the first server has its record", || answered(&made) == "1");
    at_first.kill();
    call();
    eventually("the call went on to the second server", || answered(&made) == "1,2");
    // It is remembered: nobody waits for the silent one again.
    call();
    eventually("the next call goes to the second server at once", || answered(&made) == "1,2,1");
    // The carrier moves: its name leads elsewhere, and within its time to live calls follow.
    names.kill();
    let moved = free_address("127.0.0.6");
    let _names = name_server(dns, &log, &[(10, "gw3", moved)]);
    let messages = made.path().join("third.log");
    let mut at_third = Command::new("sipp");
    at_third.args(["-sn", "uas", "-nostdin", "-i", &moved.ip().to_string(), "-p", &moved.port().to_string()]);
    at_third.arg("-trace_msg").arg("-message_file").arg(&messages);
    let _at_third = Running::spawn(at_third.stdout(Stdio::null()).stderr(Stdio::null()));
    eventually("calls go where the name leads now", || {
        call();
        std::fs::read_to_string(&messages).unwrap_or_default().contains("INVITE sip:")
    });
    house.stop();
}
