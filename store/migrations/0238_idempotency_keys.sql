-- Writes that programs gave a key, with what came of each, so that one sent twice is done once. Status 0: its outcome is not known yet.
CREATE TABLE idempotency_keys (
    actor TEXT NOT NULL,
    request_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status BIGINT NOT NULL,
    headers TEXT NOT NULL,
    body BYTES NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (actor, request_key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (at);
