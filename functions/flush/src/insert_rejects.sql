-- Rejects delivered again are there already.
insert into rejects (topic, partition, "offset", content_hash, key, value, reason, timestamp_ms, more)
select *
from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict do nothing
