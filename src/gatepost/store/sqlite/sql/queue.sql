-- The queue's statements. Positional parameters, in the order in which they stand.
-- `state IN ('queued', 'deferred')` is written the same way everywhere: it names the partial indexes.

-- Enqueue -------------------------------------------------------------------------------------------------------------

-- name: take_numbers
UPDATE counter SET next = next + ? WHERE name = 'message' RETURNING next

-- name: insert_message
INSERT INTO message (
    sequence, id, received_at, sender, size, origin, smtputf8, eightbit, ret, envid, hold,
    body_file, body_length, body_sha256, body
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_recipient
INSERT INTO recipient (
    message, position, state, next_attempt, destination, kind, address, original, notify, orcpt, attempts, warned
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)

-- name: known
SELECT 1 FROM message WHERE id = ?

-- Lease ---------------------------------------------------------------------------------------------------------------

-- name: due
SELECT message, position, destination FROM recipient
WHERE state IN ('queued', 'deferred') AND next_attempt <= ?
ORDER BY next_attempt, destination
LIMIT ?

-- name: due_at_destination
SELECT message, position, destination FROM recipient
WHERE state IN ('queued', 'deferred') AND destination = ? AND next_attempt <= ?
ORDER BY next_attempt
LIMIT ?

-- name: destination_after
SELECT min(destination) FROM recipient
WHERE state IN ('queued', 'deferred') AND destination > ?

-- name: first_due
SELECT min(next_attempt) FROM recipient
WHERE state IN ('queued', 'deferred')

-- name: first_expiry
SELECT min(expires) FROM recipient
WHERE state = 'leased'

-- name: load
SELECT address, kind, notify, orcpt, original, attempts, warned,
    sequence, id, received_at, sender, size, origin, smtputf8, eightbit, ret, envid,
    body_file, body_length, body_sha256, body
FROM recipient JOIN message ON sequence = message WHERE message = ? AND position = ?

-- name: load_recipient
SELECT address, kind, notify, orcpt, original, attempts, warned
FROM recipient WHERE message = ? AND position = ?

-- name: take
UPDATE recipient SET state = 'leased', owner = ?, expires = ?, attempts = attempts + 1
WHERE message = ? AND position = ?

-- name: renew
UPDATE recipient SET expires = ?
WHERE message = ? AND position = ? AND state = 'leased' AND owner = ? AND attempts = ?

-- Leases that come back -----------------------------------------------------------------------------------------------

-- name: return_expired
UPDATE recipient
SET state = CASE (SELECT hold FROM message WHERE sequence = recipient.message) WHEN 1 THEN 'held' ELSE 'queued' END,
    next_attempt = ?, owner = NULL, expires = NULL
WHERE state = 'leased' AND expires <= ?

-- name: attempts_brought_forward
UPDATE recipient SET next_attempt = ?
WHERE state IN ('queued', 'deferred') AND next_attempt > ?

-- name: leases_brought_forward
UPDATE recipient
SET state = CASE (SELECT hold FROM message WHERE sequence = recipient.message) WHEN 1 THEN 'held' ELSE 'queued' END,
    next_attempt = ?, owner = NULL, expires = NULL
WHERE state = 'leased' AND expires > ?

-- name: return_of_owner
UPDATE recipient
SET state = CASE (SELECT hold FROM message WHERE sequence = recipient.message) WHEN 1 THEN 'held' ELSE 'queued' END,
    next_attempt = ?, owner = NULL, expires = NULL
WHERE state = 'leased' AND owner = ?

-- name: give_back
UPDATE recipient
SET state = CASE (SELECT hold FROM message WHERE sequence = recipient.message) WHEN 1 THEN 'held' ELSE 'queued' END,
    next_attempt = ?, owner = NULL, expires = NULL, attempts = attempts - 1
WHERE message = ? AND position = ? AND state = 'leased' AND owner = ? AND attempts = ?

-- Settle --------------------------------------------------------------------------------------------------------------

-- name: settle_delivered
DELETE FROM recipient WHERE message = ? AND position = ?

-- name: settle_failed
DELETE FROM recipient
WHERE message = ? AND position = ? AND state = 'leased' AND owner = ? AND attempts = ?

-- name: settle_deferred
UPDATE recipient
SET state = CASE (SELECT hold FROM message WHERE sequence = recipient.message) WHEN 1 THEN 'held' ELSE 'deferred' END,
    next_attempt = ?, warned = max(warned, ?), reply = ?, remote = ?, tls = ?, owner = NULL, expires = NULL
WHERE message = ? AND position = ? AND state = 'leased' AND owner = ? AND attempts = ?

-- name: still_leased
SELECT 1 FROM recipient
WHERE message = ? AND position = ? AND state = 'leased' AND owner = ? AND attempts = ?

-- name: remove_finished
DELETE FROM message
WHERE sequence = ? AND NOT EXISTS (SELECT 1 FROM recipient WHERE recipient.message = message.sequence)

-- The operator --------------------------------------------------------------------------------------------------------

-- name: select_by_id
SELECT sequence FROM message WHERE id = ?

-- name: select_after
SELECT sequence FROM message WHERE sequence > ? ORDER BY sequence LIMIT ?

-- name: select_of_destination_after
SELECT DISTINCT message FROM recipient WHERE message > ? AND destination = ? ORDER BY message LIMIT ?

-- name: hold_message
UPDATE message SET hold = ? WHERE sequence = ? AND hold <> ?

-- name: hold_recipients
UPDATE recipient SET state = 'held' WHERE message = ? AND state IN ('queued', 'deferred')

-- name: release_recipients
UPDATE recipient SET state = 'queued', next_attempt = ? WHERE message = ? AND state = 'held'

-- name: retry_recipients
UPDATE recipient SET state = 'queued', next_attempt = ? WHERE message = ? AND state IN ('queued', 'deferred')

-- name: drop_recipients
DELETE FROM recipient WHERE message = ?

-- name: drop_message
DELETE FROM message WHERE sequence = ?

-- name: body_file
SELECT body_file FROM message WHERE sequence = ?

-- name: list_after
SELECT sequence, id, received_at, sender, size, origin, hold, body_file, body_length, body_sha256
FROM message WHERE sequence > ? ORDER BY sequence LIMIT ?

-- name: show_message
SELECT sequence, id, received_at, sender, size, origin, hold, body_file, body_length, body_sha256
FROM message WHERE id = ?

-- name: show_body
SELECT body_file, body_length, body_sha256, body FROM message WHERE id = ?

-- name: show_recipients
SELECT position, address, destination, original, state, next_attempt, attempts, owner, expires, reply, remote, tls
FROM recipient WHERE message = ? ORDER BY position

-- name: count_messages
SELECT count(*) FROM message

-- name: oldest_message
SELECT received_at FROM message ORDER BY sequence LIMIT 1

-- name: count_waiting
SELECT state, count(*) FROM recipient WHERE state IN ('queued', 'deferred') GROUP BY state

-- name: count_leased
SELECT count(*) FROM recipient WHERE state = 'leased'

-- name: count_held
SELECT count(*) FROM recipient WHERE state = 'held'

-- Bodies in files -----------------------------------------------------------------------------------------------------

-- name: return_all
UPDATE recipient
SET state = CASE (SELECT hold FROM message WHERE sequence = recipient.message) WHEN 1 THEN 'held' ELSE 'queued' END,
    owner = NULL, expires = NULL
WHERE state = 'leased'

-- name: body_is_named
SELECT 1 FROM message WHERE body_file = ?

-- name: named_bodies
SELECT sequence, id, body_file, body_length, body_sha256 FROM message WHERE body_file IS NOT NULL ORDER BY sequence

-- name: messages_without_recipients
SELECT id FROM message WHERE NOT EXISTS (SELECT 1 FROM recipient WHERE recipient.message = message.sequence)

-- name: recipients_without_message
SELECT message, address FROM recipient
WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.sequence = recipient.message)
