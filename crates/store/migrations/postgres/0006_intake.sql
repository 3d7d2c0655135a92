-- Merges followed, the standing of each connection's streams and webhooks, as migrations/sqlite has them.

CREATE TABLE merge (
    connection TEXT NOT NULL,
    object     TEXT NOT NULL,
    loser      TEXT NOT NULL,
    winner     TEXT NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (connection, object, loser)
);

CREATE TABLE trouble (
    connection TEXT NOT NULL,
    topic      TEXT NOT NULL,
    since      BIGINT NOT NULL,
    problem    TEXT NOT NULL,
    PRIMARY KEY (connection, topic)
);

CREATE TABLE recount (
    connection TEXT NOT NULL,
    stream     TEXT NOT NULL,
    at         BIGINT NOT NULL,
    seen       BIGINT NOT NULL,
    missed     BIGINT NOT NULL,
    gone       BIGINT NOT NULL,
    PRIMARY KEY (connection, stream)
);

CREATE TABLE hook (
    connection TEXT PRIMARY KEY,
    heard_at   BIGINT,
    refused    BIGINT NOT NULL,
    refused_at BIGINT,
    reason     TEXT
);

CREATE INDEX slot_external ON slot (external_id, connection) WHERE kind = 'person';
CREATE INDEX link_person ON link (person);
