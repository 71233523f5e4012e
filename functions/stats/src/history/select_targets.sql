-- $1 URLs, $2 ids of monitors; null for all.
select id, url
from targets
where ($1::text[] is null or url = any ($1))
    and ($2::text[] is null or monitor = any ($2))
