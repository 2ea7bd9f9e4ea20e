-- Mails in the words of a tenant. What an event may say is in the program.

-- Whose customers it goes to; NULL for what the house tells its own people.
ALTER TABLE mails ADD COLUMN tenant BIGINT;
-- NULL: made of the text.
ALTER TABLE mails ADD COLUMN html TEXT;
-- JSON of the event and its values. NULL: it is not about an event that can be worded otherwise.
ALTER TABLE mails ADD COLUMN fill TEXT;
-- When it got its last words, which every attempt sends.
ALTER TABLE mails ADD COLUMN worded_at BIGINT;

-- Versions of a tenant's own words for an event, checked before they got here. The newest that is not retired is used; an older one
-- where that fails. `language` is empty for all languages.
CREATE TABLE mail_templates (
    id IDENTITY_KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id),
    event TEXT NOT NULL,
    language TEXT NOT NULL,
    body TEXT NOT NULL,
    html TEXT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    is_retired BIGINT NOT NULL DEFAULT 0,
    last_fault TEXT NOT NULL DEFAULT '',
    failed_at BIGINT
);
CREATE INDEX mail_templates_of_event ON mail_templates (tenant, event, language, id);
