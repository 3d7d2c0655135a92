-- Limits: which writes and records go first, what of a vendor's quota is spent, which endpoints rest, as
-- migrations/sqlite has them.

-- When the lead arrived that a write belongs to: fresh leads are written before a backlog.
ALTER TABLE effect ADD COLUMN received_at BIGINT NOT NULL DEFAULT 0;
UPDATE effect SET received_at = coalesce((SELECT l.received_at FROM lead l WHERE l.id = effect.lead), planned_at)
    WHERE ended_at IS NULL;
CREATE INDEX effect_fresh ON effect (connection, kind, received_at, seq, due_at) WHERE state = 'planned';

-- By connection, so that a flood through one does not stand in front of the others.
DROP INDEX record_fetched;
CREATE INDEX record_fetched ON record (connection, lane, received_at, seq, due_at) WHERE state = 'fetched';

-- Written rarely, read at the start.
CREATE TABLE quota (
    connection TEXT PRIMARY KEY,
    value      TEXT NOT NULL, -- json
    saved_at   BIGINT NOT NULL
);

-- An endpoint that is well has no row.
CREATE TABLE breaker (
    connection TEXT NOT NULL,
    direction  TEXT NOT NULL CHECK (direction IN ('pull', 'write')),
    since      BIGINT NOT NULL,
    probe_at   BIGINT NOT NULL,
    problem    TEXT NOT NULL,
    PRIMARY KEY (connection, direction)
);
