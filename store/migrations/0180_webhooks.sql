-- Webhooks: who is told of alerts over HTTP, and what waits to be sent.

CREATE TABLE webhooks (
    id IDENTITY_KEY,
    name TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    is_off BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE webhook_deliveries (
    id IDENTITY_KEY,
    webhook BIGINT NOT NULL,
    message_id TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    next_try_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_error TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    sent_at BIGINT,
    UNIQUE (webhook, message_id)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, state, next_try_at);
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (created_at);
