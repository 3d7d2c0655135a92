-- Upkeep: what a restore leaves in doubt, and the alerts, as migrations/sqlite has them.

-- Each restore with the instant of its backup: what happened between the two is forgotten here, but not at the vendors.
CREATE TABLE restored (
    at      BIGINT PRIMARY KEY,
    safe_at BIGINT NOT NULL
);

ALTER TABLE effect ADD COLUMN doubt_since BIGINT;
CREATE INDEX effect_doubted ON effect (due_at) WHERE state = 'planned' AND doubt_since IS NOT NULL;

CREATE TABLE alert (
    key       TEXT PRIMARY KEY, -- what it is about, as `held/site-form`
    problem   TEXT NOT NULL,
    raised_at BIGINT NOT NULL,
    ended_at  BIGINT,
    told      TEXT CHECK (told IN ('raised', 'recovered')), -- the last notice that arrived
    told_at   BIGINT,
    CHECK ((told IS NULL) = (told_at IS NULL))
);
