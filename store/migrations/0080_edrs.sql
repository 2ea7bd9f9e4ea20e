-- Event detail records, what of them waits for files, and changes of provisioning data on their way to the log.

-- Which profile a subscriber has had when. Rows are closed, never deleted.
CREATE TABLE subscriber_profiles (
    id IDENTITY_KEY,
    subscriber BIGINT NOT NULL REFERENCES subscribers (id),
    profile TEXT NOT NULL,
    valid_from BIGINT NOT NULL,
    valid_to BIGINT,
    revision BIGINT NOT NULL
);
CREATE UNIQUE INDEX subscriber_profiles_now ON subscriber_profiles (subscriber) WHERE valid_to IS NULL;

-- Whether the end of a lock that lifts itself has been told.
ALTER TABLE locks ADD COLUMN lapse_told BIGINT NOT NULL DEFAULT 0;

-- Numbered without reuse: the number is the origin under which a change goes to the log.
CREATE TABLE provisioning_heads (
    one BIGINT PRIMARY KEY,
    last_seq BIGINT NOT NULL
);
INSERT INTO provisioning_heads (one, last_seq) VALUES (1, 0);

CREATE TABLE provisioning_events (
    seq BIGINT PRIMARY KEY,
    account BIGINT NOT NULL,
    record BYTES NOT NULL
);

CREATE TABLE edrs (
    seq IDENTITY_KEY,
    id TEXT NOT NULL UNIQUE,
    tenant BIGINT NOT NULL,
    account BIGINT NOT NULL,
    reseller BIGINT NOT NULL,
    subscriber BIGINT,
    uuid TEXT NOT NULL,
    number BIGINT,
    kind TEXT NOT NULL,
    old_status TEXT NOT NULL,
    new_status TEXT NOT NULL,
    detail TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX edrs_of_account ON edrs (account, seq);

-- What of them waits for the file of whom.
CREATE TABLE edr_rows (
    id IDENTITY_KEY,
    owner TEXT NOT NULL,
    edr TEXT NOT NULL,
    file BIGINT REFERENCES export_files (id),
    is_filtered BIGINT NOT NULL DEFAULT 0,
    UNIQUE (owner, edr)
);
CREATE INDEX edr_rows_pending ON edr_rows (owner, id) WHERE file IS NULL AND is_filtered = 0;
CREATE INDEX edr_rows_of_file ON edr_rows (file, id);
