-- The memory of greylisting, version 1: triplets, and client networks that are no strangers.

CREATE TABLE triplets (
    key         BLOB NOT NULL PRIMARY KEY,  -- 16 octets, made of the whole triplet
    network     TEXT NOT NULL,              -- as 192.0.2.0/24
    sender      TEXT NOT NULL,              -- cut, for people to read; empty for the null path
    recipient   TEXT NOT NULL,
    first_seen  REAL NOT NULL,              -- seconds since the Unix epoch
    passed_at   REAL,                       -- NULL while it waits
    seen_at     REAL NOT NULL,
    expires_at  REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX triplets_expiry ON triplets (expires_at);

CREATE TABLE networks (
    network     TEXT    NOT NULL PRIMARY KEY,
    passes      INTEGER NOT NULL,
    allowed     INTEGER NOT NULL CHECK (allowed IN (0, 1)),  -- by the operator: never forgotten by itself
    seen_at     REAL    NOT NULL,
    expires_at  REAL    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX networks_expiry ON networks (expires_at) WHERE allowed = 0;

CREATE TABLE facts (
    name   TEXT    NOT NULL PRIMARY KEY,
    value  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How many rows there are: counting a million of them would take too long to do it for every stranger.
INSERT INTO facts (name, value) VALUES ('rows', 0);

CREATE TRIGGER triplets_added AFTER INSERT ON triplets BEGIN
    UPDATE facts SET value = value + 1 WHERE name = 'rows';
END;

CREATE TRIGGER triplets_deleted AFTER DELETE ON triplets BEGIN
    UPDATE facts SET value = value - 1 WHERE name = 'rows';
END;

CREATE TRIGGER networks_added AFTER INSERT ON networks BEGIN
    UPDATE facts SET value = value + 1 WHERE name = 'rows';
END;

CREATE TRIGGER networks_deleted AFTER DELETE ON networks BEGIN
    UPDATE facts SET value = value - 1 WHERE name = 'rows';
END;
