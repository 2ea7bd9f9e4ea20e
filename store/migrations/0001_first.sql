-- The first schema. One text for both databases; two words are translated when it runs (src/schema.rs):
--   IDENTITY_KEY  a key that the database hands out, counting up
--   BYTES         a string of bytes
-- Money is millionths of a currency unit, times are microseconds since 1970 UTC, truth is 0 or 1: all BIGINT.
-- Provisioned rows refer to each other by foreign keys. Rows written by the pipeline have none: a record that
-- happened must not be refused because a row it names has gone.

CREATE TABLE revisions (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    revision BIGINT NOT NULL
);
INSERT INTO revisions (one, revision) VALUES (1, 0);

-- Provisioning.

CREATE TABLE contacts (
    id IDENTITY_KEY,
    name TEXT NOT NULL,
    street TEXT NOT NULL,
    postcode TEXT NOT NULL,
    city TEXT NOT NULL,
    country TEXT NOT NULL,
    email TEXT NOT NULL,
    vat_id TEXT NOT NULL,
    registration TEXT NOT NULL,
    iban TEXT NOT NULL
);

CREATE TABLE tenants (
    id IDENTITY_KEY,
    handle TEXT NOT NULL UNIQUE,
    contact BIGINT NOT NULL REFERENCES contacts (id),
    currency TEXT NOT NULL,
    timezone TEXT NOT NULL,
    revision BIGINT NOT NULL
);

CREATE TABLE accounts (
    id IDENTITY_KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    handle TEXT NOT NULL,
    kind TEXT NOT NULL,
    reseller BIGINT REFERENCES accounts (id),
    status TEXT NOT NULL,
    currency TEXT NOT NULL,
    timezone TEXT NOT NULL,
    contact BIGINT NOT NULL REFERENCES contacts (id),
    vat_percent TEXT NOT NULL,
    calls_max BIGINT,
    revision BIGINT NOT NULL,
    UNIQUE (tenant, handle)
);

CREATE TABLE fraud_limits (
    account BIGINT NOT NULL REFERENCES accounts (id),
    period TEXT NOT NULL,
    amount_micros BIGINT NOT NULL,
    lock_level TEXT NOT NULL,
    notify TEXT NOT NULL,
    PRIMARY KEY (account, period)
);

CREATE TABLE subscribers (
    id IDENTITY_KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    account BIGINT NOT NULL REFERENCES accounts (id),
    uuid TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL,
    domain TEXT NOT NULL,
    ha1_md5 TEXT NOT NULL,
    ha1_sha256 TEXT NOT NULL,
    cli BIGINT,
    calls_max BIGINT,
    revision BIGINT NOT NULL,
    UNIQUE (username, domain)
);

-- Who owned which number when. Rows are closed, never deleted.
CREATE TABLE numbers (
    id IDENTITY_KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    number BIGINT NOT NULL,
    subscriber BIGINT NOT NULL REFERENCES subscribers (id),
    valid_from BIGINT NOT NULL,
    valid_to BIGINT,
    revision BIGINT NOT NULL
);
CREATE UNIQUE INDEX numbers_owned_now ON numbers (number) WHERE valid_to IS NULL;
CREATE INDEX numbers_of_subscriber ON numbers (subscriber);

CREATE TABLE trunks (
    id IDENTITY_KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    account BIGINT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL UNIQUE,
    address TEXT NOT NULL,
    transport TEXT NOT NULL,
    sources TEXT NOT NULL,
    tech_prefix TEXT NOT NULL,
    calls_max BIGINT,
    enabled BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

CREATE TABLE routes (
    id IDENTITY_KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    prefix TEXT NOT NULL,
    trunk BIGINT NOT NULL REFERENCES trunks (id),
    priority BIGINT NOT NULL,
    weight BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    UNIQUE (tenant, prefix, trunk)
);

-- Tariffs. A version and all below it never change once written.

CREATE TABLE billing_profiles (
    id IDENTITY_KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    handle TEXT NOT NULL,
    name TEXT NOT NULL,
    revision BIGINT NOT NULL,
    UNIQUE (tenant, handle)
);

CREATE TABLE profile_versions (
    id IDENTITY_KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    profile BIGINT NOT NULL REFERENCES billing_profiles (id),
    valid_from BIGINT NOT NULL,
    currency TEXT NOT NULL,
    timezone TEXT NOT NULL,
    prepaid BIGINT NOT NULL,
    rounding_mode TEXT NOT NULL,
    rounding_scale BIGINT NOT NULL,
    fee_match TEXT NOT NULL,
    peak_split TEXT NOT NULL,
    interval_charge TEXT NOT NULL,
    interval_free_seconds BIGINT NOT NULL,
    interval_free_cash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    UNIQUE (profile, valid_from)
);

CREATE TABLE zones (
    id IDENTITY_KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    zone TEXT NOT NULL,
    detail TEXT NOT NULL,
    UNIQUE (tenant, zone, detail)
);

CREATE TABLE fees (
    id IDENTITY_KEY,
    version BIGINT NOT NULL REFERENCES profile_versions (id),
    place BIGINT NOT NULL,
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    direction TEXT NOT NULL,
    match_mode TEXT NOT NULL,
    zone BIGINT NOT NULL REFERENCES zones (id),
    onpeak_init_price TEXT NOT NULL,
    onpeak_init_per BIGINT NOT NULL,
    onpeak_init_interval BIGINT NOT NULL,
    onpeak_follow_price TEXT NOT NULL,
    onpeak_follow_per BIGINT NOT NULL,
    onpeak_follow_interval BIGINT NOT NULL,
    offpeak_init_price TEXT NOT NULL,
    offpeak_init_per BIGINT NOT NULL,
    offpeak_init_interval BIGINT NOT NULL,
    offpeak_follow_price TEXT NOT NULL,
    offpeak_follow_per BIGINT NOT NULL,
    offpeak_follow_interval BIGINT NOT NULL,
    connection_fee TEXT NOT NULL,
    minimum_charge TEXT,
    maximum_charge TEXT,
    valid_from BIGINT,
    valid_to BIGINT,
    UNIQUE (version, place)
);

CREATE TABLE offpeak_weekdays (
    version BIGINT NOT NULL REFERENCES profile_versions (id),
    place BIGINT NOT NULL,
    day TEXT NOT NULL,
    start_time TEXT NOT NULL,
    end_time TEXT NOT NULL,
    PRIMARY KEY (version, place)
);

CREATE TABLE offpeak_specials (
    version BIGINT NOT NULL REFERENCES profile_versions (id),
    place BIGINT NOT NULL,
    start_time TEXT NOT NULL,
    end_time TEXT NOT NULL,
    PRIMARY KEY (version, place)
);

CREATE TABLE profile_mappings (
    account BIGINT NOT NULL REFERENCES accounts (id),
    valid_from BIGINT NOT NULL,
    profile BIGINT NOT NULL REFERENCES billing_profiles (id),
    revision BIGINT NOT NULL,
    PRIMARY KEY (account, valid_from)
);

-- Ledger. Postings are only ever added; a balance is their sum.

CREATE TABLE postings (
    id BYTES PRIMARY KEY,
    tenant BIGINT NOT NULL,
    account BIGINT NOT NULL,
    at BIGINT NOT NULL,
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    amount_micros BIGINT NOT NULL,
    currency TEXT NOT NULL,
    reason TEXT NOT NULL,
    cdr BYTES,
    reverses BYTES
);
CREATE INDEX postings_of_account ON postings (account, at);

CREATE TABLE balances (
    ledger_account TEXT NOT NULL,
    currency TEXT NOT NULL,
    micros BIGINT NOT NULL,
    PRIMARY KEY (ledger_account, currency)
);

-- Stages: where each lane is, what it has seen, what it remembers.

CREATE TABLE lanes (
    stage TEXT NOT NULL,
    part BIGINT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (stage, part)
);

CREATE TABLE watermarks (
    stage TEXT NOT NULL,
    part BIGINT NOT NULL,
    origin_stage TEXT NOT NULL,
    origin_part BIGINT NOT NULL,
    origin_offset BIGINT NOT NULL,
    origin_idx BIGINT NOT NULL,
    PRIMARY KEY (stage, part, origin_stage, origin_part)
);

CREATE TABLE stage_state (
    stage TEXT NOT NULL,
    part BIGINT NOT NULL,
    entry_key TEXT NOT NULL,
    entry_value BYTES NOT NULL,
    PRIMARY KEY (stage, part, entry_key)
);

CREATE TABLE suspense (
    id IDENTITY_KEY,
    stage TEXT NOT NULL,
    topic TEXT NOT NULL,
    part BIGINT NOT NULL,
    record_offset BIGINT NOT NULL,
    raw BYTES NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    retry TEXT NOT NULL,
    account BIGINT NOT NULL,
    cdr BYTES,
    created_at BIGINT NOT NULL,
    resolved_at BIGINT,
    -- The origin under which it goes in again.
    resubmit_seq BIGINT,
    discard_reason TEXT
);
CREATE INDEX suspense_open ON suspense (id) WHERE resolved_at IS NULL;
CREATE UNIQUE INDEX suspense_requested ON suspense (resubmit_seq);

-- The fraud desk.

CREATE TABLE locks (
    account BIGINT PRIMARY KEY,
    tenant BIGINT NOT NULL,
    level TEXT NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    alert BYTES,
    since BIGINT NOT NULL,
    until_at BIGINT
);

CREATE TABLE lock_history (
    id IDENTITY_KEY,
    account BIGINT NOT NULL,
    tenant BIGINT NOT NULL,
    level TEXT NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    alert BYTES,
    since BIGINT NOT NULL,
    until_at BIGINT
);
CREATE INDEX lock_history_of_account ON lock_history (account, id);

CREATE TABLE alerts (
    id BYTES PRIMARY KEY,
    tenant BIGINT NOT NULL,
    account BIGINT NOT NULL,
    rule TEXT NOT NULL,
    period TEXT NOT NULL,
    limit_micros BIGINT NOT NULL,
    value_micros BIGINT NOT NULL,
    limit_currency TEXT NOT NULL,
    value_currency TEXT NOT NULL,
    lock_level TEXT NOT NULL,
    notify TEXT NOT NULL,
    evidence TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX alerts_by_time ON alerts (at);

-- Invoices. A number is given inside the transaction that writes the invoice, so there are no gaps. Each seller counts for
-- itself: 0 is the tenant, any other the account of a reseller.

CREATE TABLE invoice_sequences (
    tenant BIGINT NOT NULL,
    seller BIGINT NOT NULL,
    year BIGINT NOT NULL,
    last_number BIGINT NOT NULL,
    PRIMARY KEY (tenant, seller, year)
);

CREATE TABLE invoices (
    id IDENTITY_KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    account BIGINT NOT NULL REFERENCES accounts (id),
    seller BIGINT NOT NULL,
    year BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    number TEXT NOT NULL,
    kind TEXT NOT NULL,
    period_start BIGINT NOT NULL,
    period_end BIGINT NOT NULL,
    currency TEXT NOT NULL,
    net_micros BIGINT NOT NULL,
    tax_micros BIGINT NOT NULL,
    gross_micros BIGINT NOT NULL,
    document TEXT NOT NULL,
    state TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    UNIQUE (tenant, seller, year, sequence),
    UNIQUE (tenant, number)
);
CREATE UNIQUE INDEX invoices_once_a_period ON invoices (account, period_start, period_end) WHERE kind = 'invoice';

CREATE TABLE invoice_pdfs (
    invoice BIGINT PRIMARY KEY REFERENCES invoices (id),
    pdf BYTES NOT NULL
);

-- CDR files for partners. A file is planned before it is written, so a crash writes the same file again.

CREATE TABLE export_sequences (
    owner TEXT PRIMARY KEY,
    last_number BIGINT NOT NULL
);

CREATE TABLE export_files (
    id IDENTITY_KEY,
    owner TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    name TEXT NOT NULL,
    n_rows BIGINT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    n_bytes BIGINT,
    md5 TEXT,
    UNIQUE (owner, sequence)
);
CREATE INDEX export_files_planned ON export_files (id) WHERE state = 'planned';

CREATE TABLE export_rows (
    id IDENTITY_KEY,
    owner TEXT NOT NULL,
    cdr BYTES NOT NULL,
    revision BIGINT NOT NULL,
    payload BYTES NOT NULL,
    file BIGINT REFERENCES export_files (id),
    UNIQUE (owner, cdr, revision)
);
CREATE INDEX export_rows_pending ON export_rows (owner, id) WHERE file IS NULL;
CREATE INDEX export_rows_of_file ON export_rows (file, id);

-- Outgoing mail.

CREATE TABLE mails (
    id IDENTITY_KEY,
    recipients TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    about TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_try_at BIGINT NOT NULL,
    last_error TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    sent_at BIGINT
);
CREATE INDEX mails_due ON mails (next_try_at, id) WHERE sent_at IS NULL;

CREATE TABLE mail_attachments (
    mail BIGINT NOT NULL REFERENCES mails (id),
    place BIGINT NOT NULL,
    name TEXT NOT NULL,
    mime TEXT NOT NULL,
    content BYTES NOT NULL,
    PRIMARY KEY (mail, place)
);

-- People.

CREATE TABLE users (
    id IDENTITY_KEY,
    name TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE sessions (
    token_hash TEXT PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE audit_log (
    id BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    before_text TEXT NOT NULL,
    after_text TEXT NOT NULL,
    hash TEXT NOT NULL
);

-- The end of the chain, kept apart so that cutting off the last entries is noticed.
CREATE TABLE audit_heads (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    last_id BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO audit_heads (one, last_id, hash) VALUES (1, 0, '');
