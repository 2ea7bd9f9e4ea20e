-- What calls cost, where thousands of postings come in one commit: packed by account and time, for a row of its own and its places in two
-- indexes are most of what a posting costs. Postings of small commits, and all that no call caused, stay rows of `postings`.
CREATE TABLE posting_packs (
    id IDENTITY_KEY,
    -- Of the accounts in it: the remainder of their ids by 64.
    bucket BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    n_postings BIGINT NOT NULL,
    payload BYTES NOT NULL
);
CREATE INDEX posting_packs_by_time ON posting_packs (bucket, first_at, id, last_at);
