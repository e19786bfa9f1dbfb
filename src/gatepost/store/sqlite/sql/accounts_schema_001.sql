-- Accounts, version 1: users with their verifiers, aliases, and what the store knows about itself.

CREATE TABLE users (
    address           TEXT    NOT NULL PRIMARY KEY,  -- canonical local@domain
    created_at        REAL    NOT NULL,              -- seconds since the Unix epoch
    password_set_at   REAL    NOT NULL,
    disabled          INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    last_login        REAL,
    argon2id          TEXT    NOT NULL,              -- encoded hash, with parameters and salt
    scram_salt        BLOB    NOT NULL,              -- SCRAM-SHA-256, RFC 5802 section 3
    scram_iterations  INTEGER NOT NULL CHECK (scram_iterations >= 4096),
    scram_stored_key  BLOB    NOT NULL,
    scram_server_key  BLOB    NOT NULL
) STRICT;

CREATE TABLE aliases (
    address   TEXT    NOT NULL,                      -- canonical local@domain, or @domain for the rest of a domain
    position  INTEGER NOT NULL,                      -- the order in which the targets were given
    target    TEXT    NOT NULL,
    PRIMARY KEY (address, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE facts (
    name   TEXT NOT NULL PRIMARY KEY,
    value  ANY  NOT NULL
) STRICT, WITHOUT ROWID;

-- The generation counts every change that alters where an address leads; a login or a new password does not.
INSERT INTO facts (name, value) VALUES ('generation', 1);

CREATE TRIGGER users_added AFTER INSERT ON users BEGIN
    UPDATE facts SET value = value + 1 WHERE name = 'generation';
END;

CREATE TRIGGER users_deleted AFTER DELETE ON users BEGIN
    UPDATE facts SET value = value + 1 WHERE name = 'generation';
END;

CREATE TRIGGER aliases_added AFTER INSERT ON aliases BEGIN
    UPDATE facts SET value = value + 1 WHERE name = 'generation';
END;

CREATE TRIGGER aliases_deleted AFTER DELETE ON aliases BEGIN
    UPDATE facts SET value = value + 1 WHERE name = 'generation';
END;
