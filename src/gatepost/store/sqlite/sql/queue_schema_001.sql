-- The queue, version 1. Plain SQL: WITHOUT ROWID is the one word that another database leaves out.

-- A block of message numbers is taken from here for each group. Numbers are never used again, so a late report about
-- a message that is gone cannot touch another one.
CREATE TABLE counter (
    name TEXT NOT NULL PRIMARY KEY,
    next INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO counter (name, next) VALUES ('message', 1);

CREATE TABLE message (
    sequence INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    received_at REAL NOT NULL,
    sender TEXT NOT NULL,
    size INTEGER NOT NULL,
    origin TEXT NOT NULL,
    smtputf8 INTEGER NOT NULL,
    eightbit TEXT NOT NULL,
    ret TEXT,
    envid TEXT,
    hold INTEGER NOT NULL,
    -- Either the body itself, or the name, length and SHA-256 of its file.
    body_file TEXT,
    body_length INTEGER NOT NULL,
    body_sha256 TEXT,
    body BLOB
);

-- Which bodies are files: for sweeping and for the backup.
CREATE INDEX message_body_file ON message (body_file)
    WHERE body_file IS NOT NULL;

-- One row for each recipient that is not final. See queue/states.py for the states and what changes them.
CREATE TABLE recipient (
    message INTEGER NOT NULL,
    position INTEGER NOT NULL,
    state TEXT NOT NULL,
    next_attempt REAL NOT NULL,
    destination TEXT NOT NULL,
    kind TEXT NOT NULL,
    address TEXT NOT NULL,
    original TEXT,
    notify TEXT,
    orcpt TEXT,
    attempts INTEGER NOT NULL,
    warned INTEGER NOT NULL,
    owner TEXT,
    expires REAL,
    reply TEXT,
    remote TEXT,
    tls TEXT,
    PRIMARY KEY (message, position)
) WITHOUT ROWID;

-- Who is due, oldest first: what a lease looks at. The state is there for counting.
CREATE INDEX recipient_due ON recipient (next_attempt, destination, state)
    WHERE state IN ('queued', 'deferred');

-- Who is due at one destination: how a lease passes by a destination with a great backlog.
CREATE INDEX recipient_destination ON recipient (destination, next_attempt)
    WHERE state IN ('queued', 'deferred');

-- Whose lease has expired.
CREATE INDEX recipient_leased ON recipient (expires)
    WHERE state = 'leased';

-- Who is held: for counting.
CREATE INDEX recipient_held ON recipient (destination)
    WHERE state = 'held';
