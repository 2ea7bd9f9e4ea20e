//! Changes of provisioning data and locks become EDRs, each once, whether the installation runs or not.

use crate::rig::{Installation, eventually};

/// Rows of `tollbook edr` with this word in them.
fn rows(made: &Installation, kind: &str) -> Vec<String> {
    let shown = made.run_command(&["edr", "--limit", "10000", "--kind", kind]);
    shown.lines().filter(|line| line.contains(kind)).map(str::to_owned).collect()
}

/// Gives the first subscriber of the world another profile.
fn give_profile(made: &Installation, profile: &str) {
    let world = made.home().join("world.toml");
    let text = std::fs::read_to_string(&world).unwrap();
    let mut lines: Vec<String> =
        text.lines().filter(|line| !line.starts_with("profile = \"flat-")).map(str::to_owned).collect();
    let first = lines.iter().position(|line| line.trim() == "[[subscribers]]").unwrap();
    lines.insert(first + 1, format!("profile = \"{profile}\""));
    std::fs::write(&world, lines.join("\n")).unwrap();
    made.run_command(&["import", world.to_str().unwrap()]);
}

#[test]
fn profiles_numbers_and_locks_are_told_once_across_crashes() {
    let made = Installation::new();
    give_profile(&made, "flat-s");
    assert!(made.run_command(&["edr"]).contains("nothing has happened yet"), "nobody has read the log yet");

    let house = made.start();
    eventually("the first profile is told", || !rows(&made, "start_profile").is_empty());
    eventually("all owners of numbers are told", || {
        let n_numbers = rows(&made, "number_assigned").len();
        n_numbers > 1 && n_numbers == rows(&made, "number_assigned").len()
    });
    let (n_profiles, n_numbers) = (rows(&made, "start_profile").len(), rows(&made, "number_assigned").len());

    give_profile(&made, "flat-l");
    let handle = "baeckerei-huber";
    assert!(rows(&made, "start_profile")[0].contains(handle));
    made.run_command(&["fraud", "lock", handle, "--level", "outgoing", "--reason", "stolen phone"]);
    // Perhaps before, perhaps after it has gone to the log.
    house.kill();

    let house = made.start();
    eventually("the other profile is told", || !rows(&made, "update_profile").is_empty());
    eventually("the lock is told", || !rows(&made, "lock_changed").is_empty());
    made.run_command(&["fraud", "unlock", handle, "--reason", "found again"]);
    eventually("its end is told", || rows(&made, "lock_changed").len() == 2);
    let updated = rows(&made, "update_profile");
    assert_eq!(updated.len(), n_profiles, "once for each number: {updated:?}");
    assert!(updated[0].contains("flat-s") && updated[0].contains("flat-l"), "{updated:?}");
    let locked = rows(&made, "lock_changed");
    assert!(locked[0].contains("stolen phone") && locked[1].contains("found again"), "{locked:?}");
    assert_eq!(rows(&made, "start_profile").len(), n_profiles);
    assert_eq!(rows(&made, "number_assigned").len(), n_numbers);
    house.stop();
    assert!(made.run_command(&["audit"]).contains("all of it holds"));
}
