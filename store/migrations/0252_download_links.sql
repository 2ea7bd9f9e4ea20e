-- Attachments that were too large for their mail, to be fetched by a signed link.

-- What the links of a tenant are signed with; tenant 0 is the house itself. A new key ends every link of the tenant.
CREATE TABLE download_keys (
    tenant BIGINT PRIMARY KEY,
    signing_key BYTES NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE download_links (
    id IDENTITY_KEY,
    tenant BIGINT NOT NULL,
    mail BIGINT NOT NULL REFERENCES mails (id),
    place BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    n_fetched BIGINT NOT NULL DEFAULT 0,
    fetched_at BIGINT,
    UNIQUE (mail, place)
);
