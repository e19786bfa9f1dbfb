-- Every statement of the account store. Addresses are canonical; times are seconds since the Unix epoch.

-- name: create_user
INSERT INTO users (
    address, created_at, password_set_at,
    argon2id, scram_salt, scram_iterations, scram_stored_key, scram_server_key
) VALUES (
    :address, :now, :now,
    :argon2id, :salt, :iterations, :stored_key, :server_key
) ON CONFLICT (address) DO NOTHING

-- name: user
SELECT address, created_at, password_set_at, disabled, last_login FROM users WHERE address = ?

-- name: users
SELECT address, created_at, password_set_at, disabled, last_login FROM users

-- name: password_record
SELECT argon2id, scram_salt, scram_iterations, scram_stored_key, scram_server_key
FROM users WHERE address = ? AND disabled = 0

-- name: replace_password
UPDATE users SET
    password_set_at = :now, argon2id = :argon2id, scram_salt = :salt, scram_iterations = :iterations,
    scram_stored_key = :stored_key, scram_server_key = :server_key
WHERE address = :address

-- name: rehash_password
UPDATE users SET
    argon2id = :argon2id, scram_salt = :salt, scram_iterations = :iterations,
    scram_stored_key = :stored_key, scram_server_key = :server_key
WHERE address = :address AND argon2id = :replacing

-- name: set_disabled
UPDATE users SET disabled = :disabled WHERE address = :address

-- name: last_login
SELECT last_login FROM users WHERE address = ?

-- name: record_login
UPDATE users SET last_login = :now WHERE address = :address

-- name: delete_user
DELETE FROM users WHERE address = ?

-- A user shows as position -1, the targets of an alias in their order.
-- name: entry
SELECT -1 AS position, '' AS target FROM users WHERE address = ?1
UNION ALL
SELECT position, target FROM aliases WHERE address = ?1
ORDER BY position

-- name: add_alias_target
INSERT INTO aliases (address, position, target) VALUES (?, ?, ?)

-- name: delete_alias
DELETE FROM aliases WHERE address = ?

-- name: aliases
SELECT address, target FROM aliases ORDER BY address, position

-- name: fact
SELECT value FROM facts WHERE name = ?

-- name: make_secret
INSERT INTO facts (name, value) VALUES ('secret', ?) ON CONFLICT (name) DO NOTHING
