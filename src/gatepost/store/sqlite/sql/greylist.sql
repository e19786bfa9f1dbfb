-- Every statement of the memory of greylisting. Times are seconds since the Unix epoch.

-- name: triplet
SELECT first_seen, passed_at, seen_at FROM triplets WHERE key = ?

-- name: network
SELECT network, passes, allowed, seen_at FROM networks WHERE network = ?

-- name: rows
SELECT value FROM facts WHERE name = 'rows'

-- name: remember
INSERT INTO triplets (key, network, sender, recipient, first_seen, passed_at, seen_at, expires_at)
VALUES (:key, :network, :sender, :recipient, :first_seen, :passed_at, :seen_at, :expires_at)
ON CONFLICT (key) DO UPDATE SET
    first_seen = excluded.first_seen, passed_at = excluded.passed_at,
    seen_at = excluded.seen_at, expires_at = excluded.expires_at

-- name: count_pass
INSERT INTO networks (network, passes, allowed, seen_at, expires_at)
VALUES (:network, 1, 0, :now, :expires_at)
ON CONFLICT (network) DO UPDATE SET passes = CASE WHEN expires_at < :now THEN 1 ELSE passes + 1 END, seen_at = excluded.seen_at, expires_at = excluded.expires_at

-- name: refresh_network
UPDATE networks SET seen_at = :now, expires_at = :expires_at WHERE network = :network

-- name: expire_triplets
DELETE FROM triplets WHERE key IN (
    SELECT key FROM triplets WHERE expires_at > :low AND expires_at < :high ORDER BY expires_at LIMIT :limit
)

-- name: expire_networks
DELETE FROM networks WHERE network IN (
    SELECT network FROM networks
    WHERE allowed = 0 AND expires_at > :low AND expires_at < :high ORDER BY expires_at LIMIT :limit
)

-- name: may_expire
SELECT EXISTS (SELECT 1 FROM triplets WHERE expires_at > :low AND expires_at < :high)
    OR EXISTS (SELECT 1 FROM networks WHERE allowed = 0 AND expires_at > :low AND expires_at < :high)

-- name: allow
INSERT INTO networks (network, passes, allowed, seen_at, expires_at) VALUES (:network, 0, 1, :now, :now)
ON CONFLICT (network) DO UPDATE SET allowed = 1

-- name: forget
DELETE FROM triplets WHERE key IN (
    SELECT key FROM triplets
    WHERE (:network = '' OR network = :network) AND (:sender = '' OR sender = :sender)
        AND (:recipient = '' OR recipient = :recipient)
    LIMIT :limit
)

-- name: forget_network
DELETE FROM networks WHERE network = ?

-- name: forget_networks
DELETE FROM networks WHERE network IN (SELECT network FROM networks LIMIT ?)

-- name: triplets
SELECT hex(key), network, sender, recipient, first_seen, passed_at, seen_at FROM triplets
WHERE (:network = '' OR network = :network) AND (:sender = '' OR sender = :sender)
    AND (:recipient = '' OR recipient = :recipient)
    AND (:state = '' OR (:state = 'waiting') = (passed_at IS NULL))
ORDER BY max(first_seen, coalesce(passed_at, 0), seen_at) DESC LIMIT :limit

-- name: networks
SELECT network, passes, allowed, seen_at FROM networks ORDER BY allowed DESC, passes DESC, network LIMIT ?

-- name: totals
SELECT
    (SELECT count(*) FROM triplets WHERE passed_at IS NULL), (SELECT count(*) FROM triplets WHERE passed_at IS NOT NULL),
    (SELECT count(*) FROM networks), (SELECT count(*) FROM networks WHERE allowed = 1)
