-- Commands ask a running house for a backup: only its process has the embedded event log open.
CREATE TABLE backup_orders (
    id IDENTITY_KEY,
    -- Where to, and the configuration that goes along; absolute paths.
    dir TEXT NOT NULL,
    config TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    taken_at BIGINT,
    -- What the house is at.
    said TEXT NOT NULL DEFAULT '',
    done_at BIGINT,
    -- Why nothing came of it; empty: something did.
    fault TEXT NOT NULL DEFAULT ''
);
