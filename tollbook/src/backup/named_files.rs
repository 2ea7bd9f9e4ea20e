//! Files that a configuration names beside those of its data: keys, certificates, formats, lists.

use std::path::{Component, Path, PathBuf};

use crate::config::Config;

/// Those at or below `base`, relative to it, and the others. Sorted, each once.
pub(super) fn named_files(config: &Config, base: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut named: Vec<&Path> = Vec::new();
    if let Some(tls) = &config.switch.tls {
        named.extend([tls.certificate.as_path(), &tls.key]);
        named.extend(tls.roots.as_deref());
    }
    named.extend(config.lake.pg_certificate.as_deref());
    named.extend(config.lake.pg_key.as_deref());
    if let Some(tls) = &config.bus.kafka.tls {
        named.extend([&tls.roots, &tls.certificate, &tls.key].into_iter().filter_map(|file| file.as_deref()));
    }
    named.extend(config.bus.kafka.sasl.as_ref().and_then(|sasl| sasl.password_file.as_deref()));
    named.extend(config.exports.streams.iter().map(|stream| Path::new(&stream.format)).filter(is_file_name));
    named.extend(config.sftp.users.iter().filter_map(|user| user.rate_deck.as_ref()?.mapping.as_deref()));
    for files in [&config.fraud.rules, &config.fraud.hot_lists, &config.fraud.never_originate] {
        named.extend(files.iter().map(PathBuf::as_path));
    }
    named.extend(config.mail.files());
    named.extend(config.webhooks.ca_file.as_deref());
    let mut all: Vec<PathBuf> = named.into_iter().map(|file| base.join(file)).collect();
    all.sort();
    all.dedup();
    let below = |file: &PathBuf| file.strip_prefix(base).is_ok_and(is_plain);
    let (inside, outside): (Vec<_>, Vec<_>) = all.into_iter().partition(below);
    let inside = inside.iter().filter_map(|file| file.strip_prefix(base).ok().map(Path::to_owned)).collect();
    (inside, outside)
}

/// Other streams have a format of the program's own.
fn is_file_name(format: &&Path) -> bool {
    format.extension().is_some_and(|extension| extension == "toml")
}

/// Without steps up.
fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}
