//! Points of SIP with a real peer on either side: each is what a phone does, what one or several gateways do, and the record of it. All
//! share one house, and one run of the program.

mod house;
mod points;
mod script;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::rig::{Installation, eventually, free_address, have, write_file};
use points::{POINTS, Point};
use script::{Role, scenario};

/// Where a point's peers are, and the number that leads there.
struct Place<'a> {
    point: &'a Point,
    number: String,
    caller: SocketAddr,
    gateways: Vec<SocketAddr>,
}

impl<'a> Place<'a> {
    fn of(n: usize, point: &'a Point) -> Self {
        // Each has an address of its own: trunks are known by theirs.
        let at = |host: usize| free_address(&format!("127.0.{}.{host}", n + 10));
        let gateways = (0..point.gateways.len()).map(|n| at(n + 2)).collect();
        let number = point.number.replace("NN", &format!("{n:02}"));
        Place { point, number, caller: at(1), gateways }
    }

    /// What the world has for this point.
    fn world(&self) -> String {
        let name = self.point.word();
        let mut world = String::new();
        let mut trunk = |name: &str, address: SocketAddr, account: &str, more: &str| {
            world.push_str(&format!(
                "[[trunks]]\naccount = \"{account}\"\nname = \"{name}\"\naddress = \"{address}\"\n{more}\n"
            ));
        };
        if let Some(calling) = self.point.caller_trunk {
            trunk(&format!("{name}-in"), self.caller, "pelagic", calling);
        }
        let trunks = || self.gateways.iter().enumerate().skip(self.point.phones);
        for (n, address) in trunks() {
            let more = self.point.trunks.get(n).copied().unwrap_or_default();
            trunk(&format!("{name}-{n}"), *address, "pelagic", more);
        }
        for (n, _) in trunks() {
            let stopper = if n + 1 == self.gateways.len() { "calling = { stopper = true }\n" } else { "" };
            let (prefix, priority) = (&self.number[..7], n + 1);
            world.push_str(&format!(
                "[[routes]]\nprefix = \"{prefix}\"\ntrunk = \"{name}-{n}\"\npriority = {priority}\n{stopper}\n"
            ));
        }
        let phones = self.gateways.iter().take(self.point.phones);
        let contacts: Vec<String> = phones.map(|at| format!("\"sip:phone@{at}\"")).collect();
        world + &self.filled(self.point.world).replace("CONTACTS", &contacts.join(", "))
    }

    fn filled(&self, text: &str) -> String {
        let target = format!("{}9", &self.number[..7]);
        text.replace("NUMBER", &self.number).replace("TARGET", &target)
    }

    /// sipp with a script: it ends well when one call went exactly so.
    fn sipp(&self, dir: &Path, what: &str, script: &str, at: SocketAddr, to: Option<SocketAddr>) -> Command {
        let user = if what.starts_with("before") { self.point.phone } else { self.point.user };
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let text = scenario(script, &Role { user, password, number: &self.number });
        let file = write_file(dir, &format!("{}-{what}.xml", self.point.word()), &text);
        let mut command = Command::new("sipp");
        command.args(to.map(|to| to.to_string())).arg("-sf").arg(&file);
        command.args(["-i", &at.ip().to_string(), "-p", &at.port().to_string(), "-nostdin", "-m", "1"]);
        let errors = file.with_extension("errors");
        command.args(["-timeout", "110", "-timeout_error", "-trace_err", "-error_file"]).arg(errors);
        command.args(self.point.sipp.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// Waits for sipp. Out: what it complained about.
fn ended(mut child: Child, dir: &Path, place: &Place<'_>, what: &str) -> Result<(), String> {
    let status = child.wait().unwrap();
    if status.success() {
        return Ok(());
    }
    let name = format!("{}-{what}", place.point.word());
    let errors = std::fs::read_to_string(dir.join(format!("{name}.errors"))).unwrap_or_default();
    Err(format!("{name} ended with {status}: {}", errors.chars().take(2_500).collect::<String>()))
}

fn play(made: &Installation, place: &Place<'_>, gateways: Vec<Child>) -> Result<(), String> {
    let dir = made.path();
    for (n, script) in place.point.before.iter().enumerate() {
        let what = format!("before-{n}");
        let child = place.sipp(dir, &what, script, place.gateways[n], Some(made.sip)).spawn().unwrap();
        ended(child, dir, place, &what)?;
    }
    // Phones have registered from where they take calls.
    let gateways = if gateways.is_empty() { spawn_gateways(dir, place) } else { gateways };
    std::thread::sleep(std::time::Duration::from_millis(500));
    if !place.point.caller.is_empty() {
        let caller =
            place.sipp(dir, "caller", place.point.caller, place.caller, Some(made.sip)).spawn().unwrap();
        ended(caller, dir, place, "caller")?;
    }
    for (n, gateway) in gateways.into_iter().enumerate() {
        ended(gateway, dir, place, &format!("gateway-{n}"))?;
    }
    Ok(())
}

/// Whether a point's name begins like this.
pub(crate) fn has_point(name: &str) -> bool {
    POINTS.iter().any(|point| point.name.starts_with(name))
}

fn spawn_gateways(dir: &Path, place: &Place<'_>) -> Vec<Child> {
    let gateways = place.point.gateways.iter().zip(&place.gateways).enumerate();
    gateways
        .map(|(n, (script, at))| place.sipp(dir, &format!("gateway-{n}"), script, *at, None).spawn().unwrap())
        .collect()
}

#[test]
fn each_point_of_sip_holds_between_real_peers_and_has_its_record() {
    if !["sipp", "ssh-keygen"].into_iter().all(have) {
        return;
    }
    let only = std::env::var("SIP_POINT").unwrap_or_default();
    let made = Installation::new();
    let places: Vec<Place<'_>> = POINTS
        .iter()
        .enumerate()
        .filter(|(_, point)| point.name.contains(&only))
        .map(|(n, point)| Place::of(n, point))
        .collect();
    let world = made.home().join("world.toml");
    let mut text = std::fs::read_to_string(&world).unwrap();
    text.extend(places.iter().map(Place::world));
    std::fs::write(&world, text).unwrap();
    made.run_command(&["import", world.to_str().unwrap()]);
    // A question whether the other side is still there would be one message more than their scripts know.
    made.reconfigure("[switch]\n", "[switch]\nalive_seconds = 0\n");
    // Some of them wait for the switch from its first moment on.
    let gateways: Vec<Vec<Child>> = places
        .iter()
        .map(|place| if place.point.phones > 0 { Vec::new() } else { spawn_gateways(made.path(), place) })
        .collect();
    let house = made.start();
    let failed: Vec<String> = std::thread::scope(|scope| {
        let made = &made;
        let played: Vec<_> = places
            .iter()
            .zip(gateways)
            .map(|(place, gateways)| {
                // Not all at the same instant: each is to be seen alone in the trace.
                std::thread::sleep(std::time::Duration::from_millis(150));
                scope.spawn(move || play(made, place, gateways))
            })
            .collect();
        played.into_iter().filter_map(|point| point.join().unwrap().err()).collect()
    });
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), places.len(), failed.join("\n\n"));
    for place in &places {
        let (query, wanted) = place.point.record;
        if wanted.is_empty() {
            continue;
        }
        let query = place.filled(query);
        let mut seen = String::new();
        let mut is_so = || {
            seen = made.sql(&query).join("; ");
            seen.contains(wanted)
        };
        let mut n_left = 100;
        while !is_so() && n_left > 0 {
            n_left -= 1;
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        assert!(seen.contains(wanted), "{}: {wanted} is not in {seen:?}", place.point.name);
    }
    house.stop();
    eventually("the books agree", || made.run_command(&["audit"]).contains("all of it holds"));
}
