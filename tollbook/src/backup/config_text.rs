//! The configuration of a restored installation: the same text, with everything of its own below its own `data`.

use serde::Deserialize;
use toml::Spanned;

/// Places in the text of a configuration that say where its data is; all else is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Places {
    data: Option<Spanned<toml::Value>>,
    store: Store,
    lake: Dir,
    exports: Exports,
    sftp: Sftp,
    mail: Mail,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Store {
    url: Option<Spanned<toml::Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Dir {
    dir: Option<Spanned<toml::Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Exports {
    dir: Option<Spanned<toml::Value>>,
    archive: Option<Spanned<toml::Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sftp {
    exchange_dir: Option<Spanned<toml::Value>>,
    server: SftpServer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SftpServer {
    host_key: Option<Spanned<toml::Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Mail {
    outbox_dir: Option<Spanned<toml::Value>>,
}

/// `text` with the places of the data changed to where [`super::restore`] puts it; `store_url` is the address of the database.
pub(super) fn moved(text: &str, store_url: &str) -> Result<String, toml::de::Error> {
    let places: Places = toml::from_str(text)?;
    let changes = [
        (places.data, "data"),
        (places.store.url, store_url),
        (places.lake.dir, "lake"),
        (places.exports.dir, "exports"),
        (places.exports.archive, "export-archive"),
        (places.sftp.exchange_dir, "sftp"),
        (places.sftp.server.host_key, super::HOST_KEY),
        (places.mail.outbox_dir, "outbox"),
    ];
    let mut changes: Vec<_> = changes
        .into_iter()
        .filter_map(|(place, value)| Some((place?.span(), toml::Value::String(value.to_owned()).to_string())))
        .collect();
    // From the end on, so that those before stay where they are.
    changes.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut moved = text.to_owned();
    for (span, value) in changes {
        moved.replace_range(span, &value);
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn only_the_places_of_the_data_change() {
        let text = r#"
data = "/var/lib/tollbook" # big disk
[store]
url = "postgres://old@db/tollbook"
[switch]
listen = "192.0.2.1:5060"
[lake]
dir = '/srv/lake'   # shared
pg_listen = "127.0.0.1:5432"
[sftp.server]
host_key = "/etc/key"
"#;
        expect![[r#"

            data = "data" # big disk
            [store]
            url = "postgres://new@db2/tollbook"
            [switch]
            listen = "192.0.2.1:5060"
            [lake]
            dir = "lake"   # shared
            pg_listen = "127.0.0.1:5432"
            [sftp.server]
            host_key = "sftp_host_key"
        "#]]
        .assert_eq(&moved(text, "postgres://new@db2/tollbook").unwrap());
        assert_eq!(moved("", "sqlite").unwrap(), "");
    }
}
