//! The stub resolver against dnsmasq, which answers for a zone of its own.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use model::Transport;

use super::find;
use crate::{NameAnswer, NameQuestion, NamedServer};

const DNSMASQ: &str = "/usr/sbin/dnsmasq";

struct NameServer {
    process: Child,
    address: String,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// dnsmasq with these records; `None`: it is not installed, which is no excuse with `CI=true`.
async fn name_server(records: &[&str]) -> Option<NameServer> {
    if !std::path::Path::new(DNSMASQ).exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{DNSMASQ} is not installed");
        return None;
    }
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process = Command::new(DNSMASQ)
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"])
        .args(["--pid-file", "--bind-interfaces", "--listen-address=127.0.0.1", "--local=/example/"])
        .args(["--local-ttl=77", &format!("--port={port}")])
        .args(records)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = NameServer { process, address: format!("127.0.0.1:{port}") };
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(&server.address).await.is_ok() {
            return Some(server);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("dnsmasq does not come up");
}

async fn ask(server: &NameServer, host: &str, port: Option<u16>, by_naptr: &[Transport]) -> NameAnswer {
    let question =
        NameQuestion { host: host.into(), port, transport: Transport::Udp, by_naptr: by_naptr.to_vec() };
    find(question, std::slice::from_ref(&server.address)).await
}

fn server(rank: u16, (priority, weight): (u16, u16), transport: Transport, at: &[&str]) -> NamedServer {
    let addresses = at.iter().map(|at| at.parse::<SocketAddr>().unwrap()).collect();
    NamedServer { rank, priority, weight, transport, addresses }
}

#[tokio::test]
async fn services_hosts_and_both_families_are_found() {
    let Some(dns) = name_server(&[
        "--srv-host=_sip._udp.carrier.example,gw1.carrier.example,5062,10,60",
        "--srv-host=_sip._udp.carrier.example,gw2.carrier.example,5064,20,5",
        "--srv-host=_sip._tcp.carrier.example,gw2.carrier.example,5070,1,1",
        "--srv-host=_sip._udp.elsewhere.example",
        "--host-record=gw1.carrier.example,192.0.2.1,2001:db8::1",
        "--host-record=gw2.carrier.example,192.0.2.2",
        "--host-record=gw2.carrier.example,192.0.2.3",
        "--host-record=plain.example,192.0.2.9",
        "--cname=alias.example,plain.example",
        "--naptr-record=carrier.example,20,10,s,SIP+D2U,,_sip._udp.carrier.example",
        "--naptr-record=carrier.example,10,10,s,SIP+D2T,,_sip._tcp.carrier.example",
        "--naptr-record=carrier.example,5,10,s,SIPS+D2T,,_sips._tcp.carrier.example",
        "--naptr-record=carrier.example,1,10,u,E2U+sip,!^.*$!sip:x@y!,.",
    ])
    .await
    else {
        return;
    };
    let mut found = ask(&dns, "carrier.example", None, &[]).await;
    let servers = found.servers.as_mut().unwrap();
    servers.sort_by_key(|server| server.priority);
    for server in servers.iter_mut() {
        server.addresses.sort_unstable_by_key(|address| (address.is_ipv4(), *address));
    }
    assert_eq!(
        *servers,
        [
            server(0, (10, 60), Transport::Udp, &["[2001:db8::1]:5062", "192.0.2.1:5062"]),
            server(0, (20, 5), Transport::Udp, &["192.0.2.2:5064", "192.0.2.3:5064"]),
        ]
    );
    assert_eq!(found.seconds, 77);

    // NAPTR: TCP is preferred, and TLS is none of ours.
    let found = ask(&dns, "carrier.example", None, &[Transport::Udp, Transport::Tcp]).await;
    let ranks: Vec<(u16, Transport)> =
        found.servers.unwrap().iter().map(|server| (server.rank, server.transport)).collect();
    assert_eq!(ranks, [(0, Transport::Tcp), (1, Transport::Udp), (1, Transport::Udp)]);

    // With a port, and without services: addresses, by an alias too.
    let found = ask(&dns, "alias.example", Some(5099), &[Transport::Udp]).await;
    assert_eq!(found.servers, Some(vec![server(0, (0, 0), Transport::Udp, &["192.0.2.9:5099"])]));
    let found = ask(&dns, "plain.example", None, &[Transport::Udp]).await;
    assert_eq!(found.servers, Some(vec![server(0, (0, 0), Transport::Udp, &["192.0.2.9:5060"])]));

    // A service that is not offered, and a name that does not exist.
    for host in ["elsewhere.example", "nobody.example"] {
        let found = ask(&dns, host, None, &[]).await;
        assert_eq!((found.servers, found.seconds), (Some(Vec::new()), 30), "{host}");
    }
}

#[tokio::test]
async fn answer_too_long_for_a_datagram_comes_by_tcp() {
    let records: Vec<String> = (0..30)
        .flat_map(|n| {
            let host = format!("a-rather-long-name-of-a-gateway-{n}.carrier.example");
            [
                format!("--srv-host=_sip._udp.carrier.example,{host},5060,{n},1"),
                format!("--host-record={host},192.0.2.{n}"),
            ]
        })
        .collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let Some(dns) = name_server(&records).await else { return };
    let found = ask(&dns, "carrier.example", None, &[]).await;
    assert_eq!(found.servers.unwrap().len(), 30);
}

#[tokio::test]
async fn server_that_refuses_and_one_that_is_not_there_leave_what_was_known() {
    let Some(dns) = name_server(&[]).await else { return };
    // It answers for no other zone than its own.
    let found = ask(&dns, "somewhere.test", Some(5060), &[]).await;
    assert_eq!((found.servers, found.seconds), (None, 30));
    let nobody = NameServer { process: Command::new("true").spawn().unwrap(), address: "127.0.0.1:9".into() };
    let found = ask(&nobody, "carrier.example", None, &[]).await;
    assert_eq!(found.servers, None);
}

/// Says of `_sip._udp.carrier.example` that it is at two hosts, of `half.example` that it has no IPv6 address, and nothing of any IPv4 address.
async fn half_a_name_server() -> NameServer {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut buffer = [0; 4_096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let mut answer = buffer[..length].to_vec();
            // The question ends with its type and class, before additional records.
            let end = 12 + answer[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
            let wanted = u16::from_be_bytes([answer[end - 4], answer[end - 3]]);
            answer.truncate(end);
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
            if wanted == 1 {
                continue;
            }
            if wanted == 33 {
                answer[7] = 1;
                let target = b"\x04half\x07example\0";
                let length = u8::try_from(6 + target.len()).unwrap();
                answer.extend_from_slice(&[0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 99, 0, length]);
                answer.extend_from_slice(&[0, 10, 0, 1, 0x13, 0xc4]);
                answer.extend_from_slice(target);
            }
            let _ = socket.send_to(&answer, from).await;
        }
    });
    NameServer { process: Command::new("true").spawn().unwrap(), address }
}

#[tokio::test]
async fn half_an_answer_is_none_and_what_was_known_stays() {
    let dns = half_a_name_server().await;
    let (host, service) =
        tokio::join!(ask(&dns, "half.example", Some(5060), &[]), ask(&dns, "carrier.example", None, &[]));
    assert_eq!((host.servers, host.seconds), (None, 30), "no IPv6 address, and nobody knows of IPv4");
    assert_eq!((service.servers, service.seconds), (None, 30), "a service whose host cannot be found");
}
