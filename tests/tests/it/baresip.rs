//! A phone that is not ours: baresip registers with digest, calls, and says itself how long it talked.

use std::process::Command;

use crate::rig::{Installation, eventually, free_address, have, printed, write_file};
use crate::sipp_call::gateway;

/// Ten seconds of silence, 8 kHz, 16 bit: what baresip sends as its voice.
fn silence() -> Vec<u8> {
    let n_bytes = 160_000_u32;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + n_bytes).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(8_000_u32.to_le_bytes());
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(n_bytes.to_le_bytes());
    wav.resize(44 + n_bytes as usize, 0);
    wav
}

#[test]
fn baresip_registers_and_its_call_is_as_long_as_it_says() {
    if !["baresip", "ssh-keygen"].into_iter().all(have) {
        return;
    }
    let made = Installation::new();
    // It gives up when a challenge names an algorithm that it does not know.
    made.reconfigure("digest_algorithms = [\"MD5\", \"SHA-256\"]", "digest_algorithms = [\"MD5\"]");
    let _gateways = made.carriers.map(gateway);
    let house = made.start();
    let home = made.path().join("baresip");
    std::fs::create_dir(&home).unwrap();
    let voice = home.join("voice.wav");
    std::fs::write(&voice, silence()).unwrap();
    let (own, voice) = (free_address("127.0.0.1"), voice.display());
    write_file(
        &home,
        "config",
        &format!(
            "sip_listen {own}\naudio_source aufile,{voice}\naudio_player aufile,{voice}.heard\naudio_alert aufile,{voice}\n\
             module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule aufile.so\nmodule_tmp account.so\nmodule_app menu.so\n"
        ),
    );
    write_file(
        &home,
        "accounts",
        &format!(
            "<sip:huber@sip.meridian.example>;auth_pass=change-me-huber;outbound=\"sip:{}\";regint=60\n",
            made.sip
        ),
    );
    let said = printed(Command::new("baresip").arg("-f").arg(&home).args([
        "-t",
        "6",
        "-e",
        "/dial sip:4930555123@sip.meridian.example",
    ]));
    assert!(said.contains("200 OK () [1 binding]"), "registered: {said}");
    assert!(said.contains("Call established"), "{said}");
    let talked = said.split_once("terminated (duration: ").and_then(|(_, rest)| rest.split_once(' '));
    let talked: f64 = talked.expect("it says how long").0.parse().unwrap();
    eventually("the call has its record", || {
        made.sql("select count(*) from calls where status = 'ok' and source_user_agent like 'baresip%'")
            == ["1"]
    });
    let billed: f64 = made.sql("select duration_seconds from calls where status = 'ok'")[0].parse().unwrap();
    // It counts whole seconds, by another clock.
    assert!((billed - talked).abs() < 2.0, "billed {billed} s, talked {talked} s");
    house.stop();
}
