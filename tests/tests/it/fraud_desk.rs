//! The fraud desk seen from outside: the second call is refused and the first is cut; a program is told, signed, once for each word; a rule
//! that is saved counts at once, and one that leaves an account alone does so.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use crate::rig::{Installation, eventually, have, printed, tollbook, write_file};
use crate::sipp_call::{calls, gateway};

const HOT: &str = "4930555123";
const ELSEWHERE: &str = "4940555123";

const LOCKS: &str = r#"
[[rule]]
name = "hot-locks"
version = 1
title = "Call to a number called for fraud"
key = "account"
window = "6s"
where = { hot_listed = true }
when = [{ measure = "attempts", at_least = 1 }]
action = ["end_calls", "lock", "tag"]
lock = "outgoing"
tag = "irsf"
cool_down = "1s"
"#;

fn installation(rules: &str) -> Installation {
    let made = Installation::new();
    write_file(&made.home(), "rules.toml", rules);
    write_file(&made.home(), "hot.txt", &format!("{HOT}\n"));
    let config = std::fs::read_to_string(made.config()).unwrap();
    let own = "[fraud]\npresets = \"off\"\nrules = [\"rules.toml\"]\nhot_lists = [\"hot.txt\"]\n\
               [webhooks]\nallow_private = true\nallow_http = true\n";
    std::fs::write(made.config(), format!("{config}\n{own}")).unwrap();
    made
}

/// Rounds of the measurement; more for figures worth publishing.
fn rounds() -> String {
    std::env::var("FRAUD_LATENCY_ROUNDS").unwrap_or_else(|_| "3".to_owned())
}

#[test]
fn call_after_the_crossing_one_is_refused_and_the_one_that_is_up_is_cut() {
    if !have("sipp") {
        return;
    }
    let made = installation(LOCKS);
    let house = made.start();
    let _gateways = made.carriers.map(gateway);
    let token = made.run_command(&["token", "add", "measure", "--role", "fraud"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("latency/fraud.py");
    let shown = printed(
        Command::new("/usr/bin/python3")
            .arg(script)
            .args([made.sip.to_string(), format!("http://{}", made.web), token.trim().to_owned()])
            .args(["huber", "change-me-huber", "baeckerei-huber", HOT, ELSEWHERE, &rounds()]),
    );
    // The figures are for people; that every round ended refused and cut is what is tested.
    eprintln!("{shown}");
    assert!(shown.contains("refused: ") && shown.contains("cut: "), "{shown}");
    let alerts = made.run_command(&["fraud", "alerts"]);
    assert!(alerts.contains("hot-locks") && alerts.contains("irsf"), "{alerts}");
    eventually("what was stopped is counted as saved", || {
        made.sql("select count(*) from alerts where n_stopped > 0 and tag = 'irsf'") != ["0"]
    });
    house.stop();
}

/// A receiver of webhooks: refuses the first request, takes all others; what it was sent comes out of the channel.
fn receiver() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/alerts", listener.local_addr().unwrap());
    let (heard, hears) = channel();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let request = request_of(&mut stream);
            let answer = if n == 0 { "HTTP/1.1 503 Busy\r\n\r\n" } else { "HTTP/1.1 204 No Content\r\n\r\n" };
            stream.write_all(answer.as_bytes()).unwrap();
            if heard.send(request).is_err() {
                return;
            }
        }
    });
    (url, hears)
}

fn request_of(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut bytes = [0; 8_192];
        let n = stream.read(&mut bytes).unwrap();
        text.push_str(std::str::from_utf8(&bytes[..n]).unwrap());
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        let said = header(&text, "content-length").parse::<usize>().ok();
        if n == 0 || body.zip(said).is_some_and(|(there, said)| there >= said) {
            return text;
        }
    }
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let line = request.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}: ")));
    line.map_or("", |line| line.split_once(": ").unwrap().1)
}

#[test]
fn program_is_told_of_an_alert_again_under_the_same_id_until_it_takes_it() {
    if !have("sipp") {
        return;
    }
    let made =
        installation(&LOCKS.replace("\"end_calls\", \"lock\", ", "").replace("lock = \"outgoing\"\n", ""));
    let (url, hears) = receiver();
    let secret = made.run_command(&["webhook", "add", "desk", &url]).trim().to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    let listed = made.run_command(&["webhook", "list"]);
    assert!(listed.contains("desk") && !listed.contains("whsec_"), "{listed}");
    let house = made.start();
    let _gateways = made.carriers.map(gateway);
    calls(&made, "customer_call.xml", "huber", "change-me-huber", HOT, 1, 100);
    let first = hears.recv_timeout(crate::rig::PATIENCE).unwrap();
    let again = hears.recv_timeout(crate::rig::PATIENCE).unwrap();
    assert_eq!(header(&first, "webhook-id"), header(&again, "webhook-id"));
    assert!(header(&first, "webhook-id").starts_with("alert_"), "{first}");
    let body = |request: &str| request.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(body(&first), body(&again));
    for word in ["fraud.alert.opened", "hot-locks", "baeckerei-huber", "irsf", "attempts"] {
        assert!(body(&again).contains(word), "{word}: {again}");
    }
    // As a receiver would: by openssl, over what was sent.
    let key = printed(
        Command::new("sh")
            .arg("-c")
            .arg(format!("printf %s '{}' | base64 -d | od -An -v -tx1 | tr -d ' \\n'", &secret[6..])),
    );
    let signed =
        format!("{}.{}.{}", header(&again, "webhook-id"), header(&again, "webhook-timestamp"), body(&again));
    let file = write_file(made.path(), "signed.txt", &signed);
    let tag = printed(Command::new("sh").arg("-c").arg(format!(
        "openssl dgst -sha256 -mac HMAC -macopt hexkey:{} -binary '{}' | base64",
        key.trim(),
        file.display()
    )));
    assert_eq!(header(&again, "webhook-signature"), format!("v1,{}", tag.trim()));
    eventually("it is noted", || made.run_command(&["webhook", "deliveries"]).contains("sent"));
    assert!(made.run_command(&["webhook", "test", "desk"]).contains("answered 204"));
    assert!(made.run_command(&["webhook", "remove", "desk"]).contains("told nothing"));
    house.stop();
}

#[test]
fn saved_rule_counts_at_once_and_leaves_alone_whom_it_is_told_to() {
    if !have("sipp") {
        return;
    }
    let made = installation("");
    let house = made.start();
    let _gateways = made.carriers.map(gateway);
    let refusing = write_file(
        made.path(),
        "refuses.toml",
        "[[rule]]\nname = \"hot\"\nversion = 1\ntitle = \"Hot number\"\nkey = \"account\"\nwindow = \"1h\"\n\
         where = { hot_listed = true }\nwhen = [{ measure = \"attempts\", at_least = 1 }]\naction = [\"refuse\"]\n",
    );
    let (huber, hot) = ("change-me-huber", HOT);
    calls(&made, "customer_call.xml", "huber", huber, hot, 1, 50);
    let save = ["fraud", "save-rule", refusing.to_str().unwrap(), "--reason", "they call it again"];
    assert!(made.run_command(&save).contains("hot version 1"));
    std::thread::sleep(std::time::Duration::from_secs(2));
    calls(&made, "refused_call.xml", "huber", huber, hot, 1, 0);
    eventually("it is told", || made.run_command(&["fraud", "alerts"]).contains("hot"));
    let except = ["fraud", "except", "baeckerei-huber", "--rule", "hot", "--reason", "his supplier"];
    assert!(made.run_command(&except).contains("leaves baeckerei-huber alone"));
    assert!(made.run_command(&["fraud", "exceptions"]).contains("his supplier"));
    std::thread::sleep(std::time::Duration::from_secs(2));
    calls(&made, "customer_call.xml", "huber", huber, hot, 1, 50);
    assert!(
        made.run_command(&["fraud", "save-rule", refusing.to_str().unwrap(), "--reason", "over", "--off"])
            .contains("version 2")
    );
    assert!(made.run_command(&["fraud", "rule-versions"]).contains("they call it again"));
    std::thread::sleep(std::time::Duration::from_secs(2));
    calls(&made, "customer_call.xml", "voss", "change-me-voss", hot, 1, 50);
    house.stop();
}

const ONE_SOURCE: &str = r#"
[[rule]]
name = "one-source"
version = 1
title = "Many calls from one address, whoever pays"
key = "source"
window = "1h"
where = { flow = "outgoing" }
when = [{ measure = "attempts", at_least = 4 }]
action = ["lock", "tag"]
lock = "outgoing"
tag = "shared-pbx"

[[rule]]
name = "one-account"
version = 1
title = "Many calls of one account"
key = "account"
window = "1h"
where = { flow = "outgoing" }
when = [{ measure = "attempts", at_least = 4 }]
"#;

#[test]
fn accounts_of_two_lanes_trip_a_rule_on_their_common_address_together_also_after_a_kill() {
    if !have("sipp") {
        return;
    }
    let made = installation(ONE_SOURCE);
    let house = made.start();
    let _gateways = made.carriers.map(gateway);
    calls(&made, "customer_call.xml", "huber", "change-me-huber", ELSEWHERE, 2, 50);
    eventually("both calls of the one are in the lake", || {
        made.sql("select count(*) from calls where payer <> 0 and answered") == ["2"]
    });
    let alerts = made.run_command(&["fraud", "alerts"]);
    assert!(!alerts.contains("one-source"), "{alerts}");
    // What was counted by the address lies in a lane that neither account is in; it is there again after a crash.
    house.kill();
    let house = made.start();
    calls(&made, "customer_call.xml", "voss", "change-me-voss", ELSEWHERE, 2, 50);
    eventually("the address is told of", || made.run_command(&["fraud", "alerts"]).contains("one-source"));
    let alerts = made.run_command(&["fraud", "alerts"]);
    assert!(!alerts.contains("one-account"), "neither account would have: {alerts}");
    assert_eq!(alerts.matches("one-source").count(), 1, "{alerts}");
    eventually("who crossed it is locked", || made.run_command(&["fraud", "locks"]).contains("outgoing"));
    calls(&made, "refused_call.xml", "voss", "change-me-voss", ELSEWHERE, 1, 0);
    // The lock was set in the lane of the address; the lane of the payer has not heard of it, nor have provisioning data changed.
    eventually("the call that the lock refused is counted as saved", || {
        made.sql("select n_stopped from alerts where rule = 'one-source' and saved_amount > 0") == ["1"]
    });
    let payers = made.sql("select distinct payer from calls where payer <> 0 and answered order by payer");
    let lanes: std::collections::BTreeSet<u32> = payers
        .iter()
        .map(|payer| model::partition_of(model::AccountId(payer.parse().unwrap()), model::PARTITIONS_DEFAULT))
        .collect();
    assert_eq!((payers.len(), lanes.len()), (2, 2), "{payers:?}");
    // The mark is on the calls that showed it, those of the other account among them, and on what the locked one tried since.
    eventually("marks are in the lake", || {
        made.sql("select count(*) from call_marks where tag = 'shared-pbx' and because = 'shown'") == ["4"]
            && made.sql("select count(*) from call_marks where because = 'account'") != ["0"]
    });
    let id = made.sql("select alert_id from alerts where rule = 'one-source'").remove(0);
    made.run_command(&["fraud", "verdict", &id, "clean", "--note", "one office"]);
    eventually("a clean alert marks nothing", || made.sql("select count(*) from call_marks") == ["0"]);
    house.stop();
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds"), "{proof}");
}

#[test]
fn simulated_world_goes_through_the_whole_house_once_however_often_it_is_put_on_the_log() {
    let made = Installation::new();
    let put = |seed: &str| {
        let sizes = ["--customers", "12", "--days", "4", "--quiet-days", "1"];
        made.run_command(&[&["fraud", "simulate", "--to-log", "--seed", seed][..], &sizes].concat())
    };
    let n_calls = |told: &str| told.split_once(' ').unwrap().0.parse::<u64>().unwrap();
    let first = put("5");
    assert_eq!(put("5"), first);
    // Another world of the same accounts, behind all of that in their lanes.
    let wanted = n_calls(&first) + n_calls(&put("6"));
    let house = made.start();
    let records = || made.sql("select count(*) from (select distinct cdr_id, revision from calls)");
    eventually("every simulated call has its record", || records() == [wanted.to_string()]);
    eventually("rules have fired", || made.run_command(&["fraud", "alerts"]).contains("account-"));
    assert_ne!(made.sql("select count(*) from calls where customer_cost > 0"), ["0"]);
    house.stop();
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds"), "{proof}");
    let suspended = made.run_command(&["suspense"]);
    assert!(suspended.contains("nothing"), "{suspended}");
    assert_eq!(records(), [wanted.to_string()]);
}

#[test]
fn simulated_calls_are_not_put_beside_real_ones_unless_somebody_says_so() {
    if !have("sipp") {
        return;
    }
    let made = Installation::new();
    let house = made.start();
    let _gateways = made.carriers.map(gateway);
    calls(&made, "customer_call.xml", "huber", "change-me-huber", ELSEWHERE, 1, 50);
    house.stop();
    let words = [
        "fraud",
        "simulate",
        "--seed",
        "5",
        "--customers",
        "12",
        "--days",
        "4",
        "--quiet-days",
        "1",
        "--to-log",
    ];
    let config = made.config();
    let refused = tollbook(&[&words[..], &["--config", config.to_str().unwrap()]].concat());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("has real calls"), "{said}");
    assert!(!made.run_command(&["fraud", "alerts", "--all"]).contains("account-"));
    let told = made.run_command(&[&words[..], &["--beside-real-calls"]].concat());
    assert!(told.contains("calls in"), "{told}");
}
