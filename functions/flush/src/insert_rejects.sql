-- Rejects delivered again are there already.
insert into rejects (topic, partition, "offset", content_hash, key, value, reason)
select *
from unnest($1, $2, $3, $4, $5, $6, $7)
on conflict do nothing
