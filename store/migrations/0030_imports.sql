-- Records of other systems: how far each file was taken in, the keys seen, and what waits to be put on the bus.

CREATE TABLE imports (
    id IDENTITY_KEY,
    source TEXT NOT NULL,
    file_name TEXT NOT NULL,
    -- SHA-256 of the whole file: the same file again goes on where it stopped.
    digest TEXT NOT NULL,
    lines_done BIGINT NOT NULL,
    bytes_done BIGINT NOT NULL,
    n_imported BIGINT NOT NULL,
    n_duplicates BIGINT NOT NULL,
    n_suspended BIGINT NOT NULL,
    n_passed_over BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT
);

CREATE UNIQUE INDEX imports_file ON imports (source, digest);

CREATE TABLE import_keys (
    source TEXT NOT NULL,
    record_key TEXT NOT NULL,
    PRIMARY KEY (source, record_key)
);

-- Numbered without reuse: the number is the origin under which a record goes in.
CREATE TABLE import_heads (
    one BIGINT PRIMARY KEY,
    last_seq BIGINT NOT NULL
);

INSERT INTO import_heads (one, last_seq) VALUES (1, 0);

CREATE TABLE import_rows (
    seq BIGINT PRIMARY KEY,
    payer BIGINT NOT NULL,
    record BYTES NOT NULL
);
