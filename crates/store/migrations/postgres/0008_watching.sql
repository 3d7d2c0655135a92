-- What people did at the CRM to what leads hang on, and who touched each lead first, as migrations/sqlite has it.

-- An event counts for every lead that it is about.
CREATE TABLE happening (
    lead       TEXT NOT NULL,
    connection TEXT NOT NULL,
    event      TEXT NOT NULL, -- the connection's name of it
    at         BIGINT NOT NULL,
    stored_at  BIGINT NOT NULL,
    outcome    TEXT CHECK (outcome IN ('won', 'lost', 'disqualified', 'reopened')),
    body       TEXT NOT NULL, -- json
    PRIMARY KEY (lead, connection, event)
);

-- Moves back when an earlier touch is entered late.
CREATE TABLE first_touch (
    lead       TEXT PRIMARY KEY,
    arrived_at BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    how        TEXT NOT NULL,
    owner      TEXT -- the CRM's id of who touched it
);

-- How objects that leads hang on looked when last seen.
CREATE TABLE sight (
    connection  TEXT NOT NULL,
    object      TEXT NOT NULL,
    external_id TEXT NOT NULL,
    owner       TEXT,
    print       TEXT NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (connection, object, external_id)
);
