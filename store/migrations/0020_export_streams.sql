-- Everything that the bytes of a file depend on is kept with it, so that it can be made again: the description of its format, the
-- zone of its times, what its owner was called, the day its calls are of. A file of an earlier version has none of these.

CREATE TABLE export_formats (
    hash TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL
);

ALTER TABLE export_files ADD COLUMN format TEXT REFERENCES export_formats (hash);
ALTER TABLE export_files ADD COLUMN zone TEXT;
ALTER TABLE export_files ADD COLUMN owner_name TEXT;
ALTER TABLE export_files ADD COLUMN day BIGINT;
ALTER TABLE export_files ADD COLUMN sha256 TEXT;

-- When the files of a stream were last closed by the clock.
CREATE TABLE export_runs (
    stream TEXT PRIMARY KEY,
    ran_at BIGINT NOT NULL
);
