-- $1 URLs, $2 ids of monitors; null for all. $3 tags, of which they have one.
select id, url
from targets
join target_settings on target_settings.target_id = targets.id
where ($1::text[] is null or url = any ($1))
    and ($2::text[] is null or monitor = any ($2))
    and tags && $3
