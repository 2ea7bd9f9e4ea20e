//! The DNS, asked for the servers of a name as RFC 3263 says: NAPTR, SRV, then addresses.
//!
//! A stub resolver: it asks the machine's name servers (or those of `switch.dns_servers`), which do the searching and keep what they found.
//! In: a [`NameQuestion`]. Out: a [`NameAnswer`]. Each question goes out from a port of its own under a number nobody can guess, and an answer
//! must repeat it.

#[cfg(test)]
mod real_server;
mod wire;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use model::{HostPort, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tracing::{debug, warn};

use crate::{NameAnswer, NameQuestion, NamedServer};
use wire::{Answer, Data, RecordType};

/// How long one server may take, and how often all of them are asked.
const PATIENCE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
/// Between two rounds: a server that is being started refuses at once.
const PAUSE: Duration = Duration::from_millis(500);
/// A name that cannot be found, or nobody to ask, is asked for again after so many seconds.
const AGAIN_SECONDS: u32 = 30;
/// A look-up that takes longer is given up, and so is one host of several.
const PATIENCE_ALL: Duration = Duration::from_secs(10);
const PATIENCE_HOST: Duration = Duration::from_secs(5);
/// Services and hosts looked up for one name at most.
const SERVICES_MAX: usize = 8;
const HOSTS_MAX: usize = 32;

/// Nobody could say.
#[derive(Debug)]
struct Unanswered;

/// Finds the servers of a name.
pub(super) async fn find(question: NameQuestion, servers: &[String]) -> NameAnswer {
    let resolver = Resolver { servers: name_servers(servers).into() };
    let mut seconds = u32::MAX;
    let found = tokio::time::timeout(PATIENCE_ALL, resolver.servers_of(&question, &mut seconds)).await;
    match found.unwrap_or(Err(Unanswered)) {
        Ok(found) => {
            if found.is_empty() {
                warn!(host = question.host, "the DNS knows no SIP server of that name");
            }
            let seconds = if found.is_empty() { AGAIN_SECONDS } else { seconds };
            NameAnswer { question, servers: Some(found), seconds }
        }
        Err(Unanswered) => {
            warn!(host = question.host, "no name server has answered; what was known of the name stays");
            NameAnswer { question, servers: None, seconds: AGAIN_SECONDS }
        }
    }
}

/// Those of the configuration, else those of the machine.
fn name_servers(configured: &[String]) -> Vec<SocketAddr> {
    let parse = |text: &str| match text.parse::<HostPort>() {
        Ok(HostPort::Address(address)) => {
            let port = if text.parse::<SocketAddr>().is_ok() { address.port() } else { 53 };
            Some(SocketAddr::new(address.ip(), port))
        }
        Ok(HostPort::Name { .. }) | Err(_) => None,
    };
    if !configured.is_empty() {
        return configured.iter().filter_map(|text| parse(text)).collect();
    }
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let found: Vec<SocketAddr> = named.filter_map(|address| parse(address.trim())).take(3).collect();
    // As the system's own resolver does (resolv.conf(5)).
    if found.is_empty() { vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 53))] } else { found }
}

#[derive(Clone)]
struct Resolver {
    servers: Arc<[SocketAddr]>,
}

impl Resolver {
    /// RFC 3263, 4.1 and 4.2.
    async fn servers_of(
        &self,
        question: &NameQuestion,
        seconds: &mut u32,
    ) -> Result<Vec<NamedServer>, Unanswered> {
        let host = question.host.as_str();
        if let Some(port) = question.port {
            let addresses = self.addresses_of(host, port, seconds).await?;
            return Ok(server(0, (0, 0), question.transport, addresses));
        }
        let mut found = Vec::new();
        if !question.by_naptr.is_empty() {
            let services = self.services_of(host, &question.by_naptr, seconds).await?;
            for (rank, (transport, service)) in (0..).zip(services) {
                found.extend(self.hosts_of(&service, rank, transport, seconds).await?.unwrap_or_default());
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let service = format!("{}.{host}", service_label(question.transport));
        if let Some(found) = self.hosts_of(&service, 0, question.transport, seconds).await? {
            return Ok(found);
        }
        let port = if question.transport == Transport::Tls { 5061 } else { 5060 };
        let addresses = self.addresses_of(host, port, seconds).await?;
        Ok(server(0, (0, 0), question.transport, addresses))
    }

    /// The services that NAPTR records offer over `wanted`, best first.
    async fn services_of(
        &self,
        host: &str,
        wanted: &[Transport],
        seconds: &mut u32,
    ) -> Result<Vec<(Transport, String)>, Unanswered> {
        let mut services = Vec::new();
        for data in self.ask(host, RecordType::Naptr, seconds).await? {
            let Data::Naptr { order, preference, flags, service, replacement } = data else { continue };
            let transport = match service.to_ascii_uppercase().as_str() {
                "SIP+D2U" => Transport::Udp,
                "SIP+D2T" => Transport::Tcp,
                "SIPS+D2T" => Transport::Tls,
                _ => continue,
            };
            // Only these lead to SRV records (RFC 3263, 4.1).
            if flags.eq_ignore_ascii_case("s") && wanted.contains(&transport) {
                services.push(((order, preference), transport, replacement));
            }
        }
        services.sort_by_key(|(place, ..)| *place);
        services.truncate(SERVICES_MAX);
        Ok(services.into_iter().map(|(_, transport, service)| (transport, service)).collect())
    }

    /// The hosts of a service; `None`: there is no such service. One whose target is the root is not offered there (RFC 2782).
    async fn hosts_of(
        &self,
        service: &str,
        rank: u16,
        transport: Transport,
        seconds: &mut u32,
    ) -> Result<Option<Vec<NamedServer>>, Unanswered> {
        let records = self.ask(service, RecordType::Srv, seconds).await?;
        if records.is_empty() {
            return Ok(None);
        }
        let mut asking = tokio::task::JoinSet::new();
        for (place, data) in records.into_iter().take(HOSTS_MAX).enumerate() {
            let Data::Srv { priority, weight, port, target } = data else { continue };
            if target.is_empty() || port == 0 {
                continue;
            }
            let resolver = self.clone();
            asking.spawn(async move {
                let mut seconds = u32::MAX;
                let asked = resolver.addresses_of(&target, port, &mut seconds);
                let addresses = tokio::time::timeout(PATIENCE_HOST, asked).await.unwrap_or(Err(Unanswered));
                if addresses.is_err() {
                    debug!(target, "no address of a server");
                }
                let addresses = addresses.map(|addresses| (addresses, seconds));
                (place, addresses.map(|(all, life)| (server(rank, (priority, weight), transport, all), life)))
            });
        }
        let mut hosts = asking.join_all().await;
        hosts.sort_by_key(|(place, _)| *place);
        let mut found = Vec::new();
        let mut is_whole = true;
        for (_, host) in hosts {
            match host {
                Ok((servers, life)) => {
                    found.extend(servers);
                    *seconds = (*seconds).min(life);
                }
                // The others may do, until it can be asked for again.
                Err(Unanswered) => is_whole = false,
            }
        }
        if !is_whole {
            if found.is_empty() {
                return Err(Unanswered);
            }
            *seconds = (*seconds).min(AGAIN_SECONDS);
        }
        Ok(Some(found))
    }

    /// IPv6 first, as RFC 6724 has it; whether we have any is for the switch to know.
    async fn addresses_of(
        &self,
        host: &str,
        port: u16,
        seconds: &mut u32,
    ) -> Result<Vec<SocketAddr>, Unanswered> {
        let mut addresses = Vec::new();
        let (mut v6_seconds, mut v4_seconds) = (u32::MAX, u32::MAX);
        let (v6, v4) = tokio::join!(
            self.ask(host, RecordType::Aaaa, &mut v6_seconds),
            self.ask(host, RecordType::A, &mut v4_seconds)
        );
        let is_whole = v6.is_ok() && v4.is_ok();
        *seconds = (*seconds).min(v6_seconds).min(v4_seconds);
        for data in v6.into_iter().flatten().chain(v4.into_iter().flatten()) {
            if let Data::Address(address) = data {
                addresses.push(SocketAddr::new(address, port));
            }
        }
        if !is_whole {
            // That there is nothing of one family says nothing of the other.
            if addresses.is_empty() {
                return Err(Unanswered);
            }
            *seconds = (*seconds).min(AGAIN_SECONDS);
        }
        Ok(addresses)
    }

    /// The records of one name. `seconds` becomes the shortest life of all that was asked.
    async fn ask(&self, name: &str, wanted: RecordType, seconds: &mut u32) -> Result<Vec<Data>, Unanswered> {
        for round in 0..ROUNDS {
            if round > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            for server in self.servers.iter() {
                let said = match tokio::time::timeout(PATIENCE, ask_udp(*server, name, wanted)).await {
                    Ok(Ok(Answer::Truncated)) => {
                        tokio::time::timeout(PATIENCE, ask_tcp(*server, name, wanted)).await
                    }
                    said => said,
                };
                match said {
                    Ok(Ok(Answer::Records(records, life))) => {
                        if !records.is_empty() {
                            *seconds = (*seconds).min(life);
                        }
                        return Ok(records);
                    }
                    Ok(Ok(Answer::Failed(code))) => debug!(%server, name, code, "name server cannot say"),
                    Ok(Ok(Answer::Truncated)) => debug!(%server, name, "answer cut even by TCP"),
                    Ok(Err(error)) => debug!(%server, name, %error, "name server cannot be asked"),
                    Err(_elapsed) => debug!(%server, name, "name server does not answer"),
                }
            }
        }
        Err(Unanswered)
    }
}

fn server(
    rank: u16,
    (priority, weight): (u16, u16),
    transport: Transport,
    addresses: Vec<SocketAddr>,
) -> Vec<NamedServer> {
    if addresses.is_empty() {
        return Vec::new();
    }
    vec![NamedServer { rank, priority, weight, transport, addresses }]
}

const fn service_label(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
    }
}

fn unaskable() -> std::io::Error {
    std::io::Error::other("the name is too long to be asked for")
}

async fn ask_udp(server: SocketAddr, name: &str, wanted: RecordType) -> std::io::Result<Answer> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A port of the system's choosing: it draws them.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let id: u16 = rand::random();
    socket.send(&wire::question(id, name, wanted).ok_or_else(unaskable)?).await?;
    let mut buffer = [0; 4_096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Anything else is somebody else's, or a forgery.
        if let Some(answer) = wire::answer(&buffer[..length], id, name, wanted) {
            return Ok(answer);
        }
    }
}

/// RFC 7766: each message after its length.
async fn ask_tcp(server: SocketAddr, name: &str, wanted: RecordType) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let id: u16 = rand::random();
    let question = wire::question(id, name, wanted).ok_or_else(unaskable)?;
    let mut out = u16::try_from(question.len()).map_err(std::io::Error::other)?.to_be_bytes().to_vec();
    out.extend_from_slice(&question);
    stream.write_all(&out).await?;
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await?;
    wire::answer(&bytes, id, name, wanted).ok_or_else(|| std::io::Error::other("no answer to the question"))
}
