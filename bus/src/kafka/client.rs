//! What the configuration means to the client library.

use rdkafka::ClientConfig;

use crate::{BusError, KafkaConfig};

/// What every client of `servers` has in common.
pub(super) fn common(config: &KafkaConfig, servers: &str) -> Result<ClientConfig, BusError> {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", servers)
        .set("client.id", "tollbook")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "2000")
        // Errors of brokers that come and go are told by those who wait for them.
        .set("log.connection.close", "false");
    let protocol = match (&config.tls, &config.sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    client.set("security.protocol", protocol);
    if let Some(tls) = &config.tls {
        for (key, file) in [
            ("ssl.ca.location", &tls.roots),
            ("ssl.certificate.location", &tls.certificate),
            ("ssl.key.location", &tls.key),
        ] {
            if let Some(file) = file {
                client.set(key, file.display().to_string());
            }
        }
    }
    if let Some(sasl) = &config.sasl {
        client
            .set("sasl.mechanism", sasl.mechanism.name())
            .set("sasl.username", &sasl.user)
            .set("sasl.password", sasl.password()?);
    }
    Ok(client)
}
