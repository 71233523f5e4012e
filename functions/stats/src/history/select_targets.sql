-- $1 URLs, $2 ids of monitors, $3 tags; null for all.
select id, url
from targets
left join target_settings on target_settings.target_id = targets.id
where ($1::text[] is null or url = any ($1))
    and ($2::text[] is null or monitor = any ($2))
    and ($3::text[] is null or tags && $3)
