-- The next rejects after a place in their order, of those whose reason is like $5.
select topic, partition, "offset", content_hash, timestamp_ms, key, value, more
from rejects
where (topic, partition, "offset", content_hash) > ($1, $2, $3, $4) and reason like $5
order by topic, partition, "offset", content_hash
limit 1000
