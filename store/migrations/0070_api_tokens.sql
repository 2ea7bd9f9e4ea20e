-- Tokens of programs that use the API. Only hashes are kept; a revoked token stays, for its name is in the trail of changes.
CREATE TABLE api_tokens (
    id IDENTITY_KEY,
    name TEXT NOT NULL UNIQUE,
    token_hash TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
