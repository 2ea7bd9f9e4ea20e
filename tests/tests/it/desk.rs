//! Changes of what is provisioned while everything runs: the switch knows at once, and files do not undo them.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::rig::{Installation, eventually, have, tollbook, write_file};
use crate::sipp_call::{calls, gateway};

/// The answer to a request of a program.
fn ask(made: &Installation, token: &str, request: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(made.web).unwrap();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        made.web,
        token.trim(),
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn subscriber_made_over_http_calls_at_once_and_a_file_does_not_undo_the_desk() {
    if !have("sipp") {
        return;
    }
    let made = Installation::new();
    let house = made.start();
    let _gateways = made.carriers.map(gateway);
    let token = made.run_command(&["token", "add", "desk", "--role", "operator"]);
    let object = r#"{"account": "baeckerei-huber", "username": "fresh", "domain": "sip.meridian.example",
        "password": "made-a-moment-ago", "numbers": ["43512900199"], "cli": "43512900199"}"#;
    let answer = ask(&made, &token, "POST /api/v1/subscribers", object);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    calls(&made, "customer_call.xml", "fresh", "made-a-moment-ago", "4930555123", 1, 200);
    eventually("its call is in the lake", || {
        made.sql("select count(*) from calls where source_number = '43512900199' and status = 'ok'") == ["1"]
    });
    let gone = ask(&made, &token, "DELETE /api/v1/subscribers/fresh@sip.meridian.example", "");
    assert!(gone.starts_with("HTTP/1.1 409"), "{gone}");

    let patch = r#"{"calls_max": 3}"#;
    let answer = ask(&made, &token, "PATCH /api/v1/accounts/baeckerei-huber", patch);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let world = made.home().join("world.toml");
    let config = made.config().display().to_string();
    let refused = tollbook(&["import", "--config", &config, &world.display().to_string()]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{words}");
    assert!(words.contains("baeckerei-huber") && words.contains("token:desk"), "{words}");
    // What the file does not name stays; what it says in the same way is no quarrel.
    let other = write_file(
        &made.home(),
        "other.toml",
        "[[networks]]\nname = \"office\"\nblocks = [\"192.0.2.0/24\"]\n",
    );
    made.run_command(&["import", &other.display().to_string()]);
    made.run_command(&["import", "--overwrite", &world.display().to_string()]);
    // The running house looks twice a second whether a command changed something.
    eventually("the file counts", || {
        ask(&made, &token, "GET /api/v1/accounts/baeckerei-huber", "").contains("\"calls_max\":500")
    });
    let history = ask(&made, &token, "GET /api/v1/accounts/baeckerei-huber/history", "");
    assert!(history.contains("\"import\"") && history.contains("token:desk"), "{history}");
    // The file has its say, and nothing more to object to.
    made.run_command(&["import", &world.display().to_string()]);
    house.stop();
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds"), "{proof}");
}
