//! An installation whose lake is in a bucket, on a real server: while that is down, nothing but the lake waits.

use std::process::Command;

use crate::gateway::{BUCKET, Bucket, Gateway};
use crate::rig::{Installation, eventually, have, printed, tollbook_path, write_file};
use crate::sipp_call::{calls, gateway};

fn said(made: &Installation, asked: &[&str]) -> String {
    let output =
        Command::new(tollbook_path()).args(asked).arg("--config").arg(made.config()).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn outage_of_the_store_holds_up_nothing_but_the_lake_which_catches_up() {
    let (true, Some(mut store)) = (have("sipp"), Gateway::start()) else { return };
    let made = Installation::new();
    write_file(&made.home(), "s3-keys", &Bucket::keys());
    let endpoint = store.bucket().endpoint;
    made.configure(&format!(
        "[lake]\nurl = \"s3://{BUCKET}/house\"\n[lake.s3]\nendpoint = \"{endpoint}\"\npath_style = true\nallow_http = true\ncredentials = \"s3-keys\"\n"
    ));
    let house = made.start();
    let _gateways = made.carriers.map(gateway);
    let call = || calls(&made, "customer_call.xml", "huber", "change-me-huber", "4930555123", 1, 200);
    let count = || made.sql("SELECT count(*) FROM calls WHERE customer_cost > 0");
    call();
    eventually("the call is in the lake", || count() == ["1"]);

    let owed = || said(&made, &["balance", "baeckerei-huber"]);
    let before = owed();
    store.stop();
    // Switched, rated and billed as ever.
    call();
    eventually("the call is billed", || owed() != before);
    let told = said(&made, &["sql", "SELECT count(*) FROM calls"]);
    assert!(told.contains("error: ") && told.contains("does not answer as it should"), "{told}");
    assert!(!told.contains("test-secret"), "{told}");
    call();
    store.go_on();
    eventually("the lake has caught up", || count() == ["3"]);

    // Killed, it opens its lake again at once, and nobody else's commands get in between.
    house.kill();
    let house = made.start();
    call();
    eventually("the fourth call is in the lake", || count() == ["4"]);
    let erased = made.run_command(&["lake", "erase", "4930555123", "--reason", "asked on paper"]);
    assert!(erased.contains("was taken out of 4 rows"), "{erased}");
    assert!(erased.contains(&format!("proof s3://{BUCKET}/house/proofs/g")), "{erased}");
    assert_eq!(made.sql("SELECT DISTINCT destination_number FROM calls"), ["4930…"]);
    house.stop();
    made.run_command(&["audit"]);
    // Whoever reads the bucket reads it as it is.
    let files = store.bucket().files.join("house");
    let shown = printed(Command::new("find").arg(&files).args(["-name", ".tmp-*"]));
    assert_eq!(shown, "", "hidden files stay behind");
}
