-- What each webhook is told of: words of `WordKind`, with commas. Those of before were told of alerts.
ALTER TABLE webhooks ADD COLUMN kinds TEXT NOT NULL DEFAULT 'alert';
