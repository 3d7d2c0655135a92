-- Upkeep: what a restore leaves in doubt, and the alerts.

-- Each restore with the instant of its backup: what happened between the two is forgotten here, but not at the vendors.
CREATE TABLE restored (
    at      INTEGER PRIMARY KEY,
    safe_at INTEGER NOT NULL
) STRICT;

-- Set where a forgotten history may have sent the effect: it did so after this instant. Such an effect is looked up
-- before it is sent.
ALTER TABLE effect ADD COLUMN doubt_since INTEGER;
CREATE INDEX effect_doubted ON effect (due_at) WHERE state = 'planned' AND doubt_since IS NOT NULL;

CREATE TABLE alert (
    key       TEXT PRIMARY KEY, -- what it is about, as `held/site-form`
    problem   TEXT NOT NULL,
    raised_at INTEGER NOT NULL,
    ended_at  INTEGER,
    told      TEXT CHECK (told IN ('raised', 'recovered')), -- the last notice that arrived
    told_at   INTEGER,
    CHECK ((told IS NULL) = (told_at IS NULL))
) STRICT, WITHOUT ROWID;
