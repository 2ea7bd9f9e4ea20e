-- What partners put into `in/` and `ack/`, each version of a file once, and what became of it.

CREATE TABLE sftp_inbox (
    id IDENTITY_KEY,
    account TEXT NOT NULL,
    -- 'in' or 'ack'.
    folder TEXT NOT NULL,
    name TEXT NOT NULL,
    size BIGINT NOT NULL,
    modified BIGINT NOT NULL,
    -- 'acknowledgement', 'rate_deck', 'other' or 'unreadable'.
    kind TEXT NOT NULL,
    note TEXT NOT NULL,
    read_at BIGINT NOT NULL,
    UNIQUE (account, folder, name, size, modified)
);

-- What a partner says of a file of ours; its last word counts.
CREATE TABLE export_acks (
    file TEXT NOT NULL,
    account TEXT NOT NULL,
    -- 'accepted' or 'refused'.
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    inbox BIGINT NOT NULL REFERENCES sftp_inbox (id),
    at BIGINT NOT NULL,
    PRIMARY KEY (file, account)
);
