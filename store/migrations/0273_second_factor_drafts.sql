-- A second factor that is being set up belongs to the session that began it, and to no other of the user: what somebody else was shown
-- is never confirmed. Whatever was being set up before is begun again.
CREATE TABLE second_factor_drafts (
    session TEXT PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id),
    secret TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
DELETE FROM second_factors WHERE confirmed_at IS NULL;
