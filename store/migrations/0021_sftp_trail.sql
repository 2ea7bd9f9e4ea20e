-- What the users of the SFTP server did: who fetched which file, when, and how much of it.

CREATE TABLE sftp_trail (
    id IDENTITY_KEY,
    at BIGINT NOT NULL,
    peer TEXT NOT NULL,
    account TEXT NOT NULL,
    action TEXT NOT NULL,
    -- As the user saw it.
    path TEXT,
    -- Name of the export file it is, as in export_files.
    file TEXT,
    size BIGINT,
    -- Of a fetched file: first byte, the one after the last, and how many different ones in between.
    range_from BIGINT,
    range_to BIGINT,
    n_bytes BIGINT,
    detail TEXT NOT NULL
);
CREATE INDEX sftp_trail_of_file ON sftp_trail (file, id) WHERE file IS NOT NULL;
CREATE INDEX sftp_trail_of_account ON sftp_trail (account, id);
CREATE INDEX sftp_trail_renamed ON sftp_trail (account, detail) WHERE action = 'renamed';
CREATE INDEX sftp_trail_in_time ON sftp_trail (at);

-- Files whose reader has been missed, so that nobody is told twice.
CREATE TABLE sftp_alarms (
    account TEXT NOT NULL,
    file TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (account, file)
);
