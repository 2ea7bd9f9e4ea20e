//! A rule of the watch bars a range of numbers: the second call to it never leaves, whoever is next; the rest of the account's calls do.

use crate::rig::{Installation, eventually, have, write_file};
use crate::sipp_call::{calls, gateway};

const RULES: &str = r#"
[[rule]]
name = "dear-range"
version = 1
title = "Calls to numbers called for fraud"
key = "account"
window = "1h"
where = { hot_listed = true }
when = [{ measure = "attempts", at_least = 1 }]
action = ["block_range"]
block_for = "12h"
"#;

/// On the list; its neighbour; neither of them.
const HOT: &str = "4930555123";
const BESIDE: &str = "4930555999";
const ELSEWHERE: &str = "4940555123";

/// An installation with rules of its own, and a hot list of one number.
fn installation(rules: &str) -> Installation {
    let made = Installation::new();
    write_file(&made.home(), "rules.toml", rules);
    write_file(&made.home(), "hot.txt", &format!("{HOT}\n"));
    let config = std::fs::read_to_string(made.config()).unwrap();
    let own = "presets = \"off\"\nrules = [\"rules.toml\"]\nhot_lists = [\"hot.txt\"]\n";
    let config = match config.split_once("[fraud]\n") {
        Some((before, after)) => format!("{before}[fraud]\n{own}{after}"),
        None => format!("{config}\n[fraud]\n{own}"),
    };
    std::fs::write(made.config(), config).unwrap();
    made
}

#[test]
fn call_to_a_listed_number_never_leaves_and_is_told() {
    if !have("sipp") {
        return;
    }
    let made = installation(
        "[[rule]]\nname = \"hot\"\nversion = 1\ntitle = \"Hot number\"\nkey = \"account\"\nwindow = \"1h\"\n\
         where = { hot_listed = true }\nwhen = [{ measure = \"attempts\", at_least = 1 }]\naction = [\"refuse\"]\n",
    );
    let house = made.start();
    let _gateways = made.carriers.map(gateway);
    calls(&made, "refused_call.xml", "huber", "change-me-huber", HOT, 1, 0);
    calls(&made, "customer_call.xml", "huber", "change-me-huber", BESIDE, 1, 200);
    eventually("both have their records", || {
        made.sql("select cause, code, attempts from calls order by code")
            == ["normal,200,1", "locked_out,403,0"]
    });
    eventually("it is told", || made.run_command(&["fraud", "alerts"]).contains("hot"));
    house.stop();
}

#[test]
fn second_call_to_a_barred_range_is_refused_and_every_other_goes_through() {
    if !have("sipp") {
        return;
    }
    let made = installation(RULES);
    let house = made.start();
    let _gateways = made.carriers.map(gateway);
    let by = |user: &str, scenario: &str, number: &str| {
        calls(&made, scenario, user, &format!("change-me-{user}"), number, 1, 200);
    };

    by("huber", "customer_call.xml", HOT);
    let listed = || made.run_command(&["fraud", "barrings"]);
    eventually("the range is barred", || listed().contains("493055*"));
    assert!(listed().contains("baeckerei-huber") && listed().contains("dear-range"), "{}", listed());
    by("huber", "refused_call.xml", BESIDE);
    by("huber", "customer_call.xml", ELSEWHERE);
    // It is the baker who is barred.
    by("voss", "customer_call.xml", BESIDE);
    eventually("the refusal has its record", || {
        made.sql("select cause, code from calls where status <> 'ok'") == ["locked_out,403"]
    });
    let alert = made.run_command(&["fraud", "alerts"]);
    assert!(alert.contains("dear-range"), "{alert}");

    // A barring outlives the process.
    house.kill();
    let house = made.start();
    by("huber", "refused_call.xml", BESIDE);
    let lift = ["fraud", "unbar", "493055", "--account", "baeckerei-huber", "--reason", "his supplier"];
    assert!(made.run_command(&lift).contains("go through again"));
    assert!(listed().contains("no numbers are barred"), "{}", listed());
    std::thread::sleep(std::time::Duration::from_secs(1));
    by("huber", "customer_call.xml", BESIDE);

    // And by hand, for everybody of the tenant.
    let bar = ["fraud", "bar", "+49405", "--reason", "a fraud ring", "--tenant", "meridian", "--for", "1h"];
    assert!(made.run_command(&bar).contains("everybody of meridian"));
    std::thread::sleep(std::time::Duration::from_secs(1));
    by("voss", "refused_call.xml", ELSEWHERE);
    house.stop();
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds"), "{proof}");
}

#[test]
fn source_that_is_shut_out_by_hand_gets_no_answer_until_it_is_let_in() {
    let made = Installation::new();
    let house = made.start();
    let phone = std::net::UdpSocket::bind("127.0.0.9:0").unwrap();
    phone.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    let mut n_asked = 0;
    let mut is_answered = || {
        n_asked += 1;
        let options = format!(
            "OPTIONS sip:x@sip.meridian.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.9;branch=z9hG4bK{n_asked};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\nCall-ID: {n_asked}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        phone.send_to(options.as_bytes(), made.sip).unwrap();
        phone.recv(&mut [0; 2_048]).is_ok()
    };
    eventually("it is answered", &mut is_answered);
    made.run_command(&["ban", "add", "127.0.0.8/31", "--for", "12h", "--reason", "scans us"]);
    eventually("it gets no answer any more", || !is_answered());
    let listed = made.run_command(&["ban", "list"]);
    assert!(listed.contains("127.0.0.8/31") && listed.contains("scans us"), "{listed}");
    made.run_command(&["ban", "remove", "127.0.0.8/31"]);
    eventually("it is answered again", &mut is_answered);
    house.stop();
}
