-- The second thing that proves who signs in (RFC 6238), with codes for whoever has lost it. Without `confirmed_at` it is being set up. A code of `last_step` or
-- an earlier one opens nothing any more.
CREATE TABLE second_factors (
    user_id BIGINT PRIMARY KEY REFERENCES users (id),
    secret TEXT NOT NULL,
    confirmed_at BIGINT,
    last_step BIGINT NOT NULL
);
CREATE TABLE recovery_codes (
    user_id BIGINT NOT NULL REFERENCES users (id),
    code_hash TEXT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (user_id, code_hash)
);
-- What a session waits for before it opens anything: `code`, `enrol`, or nothing.
ALTER TABLE sessions ADD COLUMN waits_for TEXT NOT NULL DEFAULT '';
