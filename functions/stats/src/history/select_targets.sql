-- $1 URLs, $2 ids of monitors; null for all. A row for each thing that was said of a target, in the order of time, and one for
-- a target of which nothing was.
select targets.id, targets.url, targets.monitor, location_id, since, interval_ms, tags
from targets
left join target_settings on target_settings.target_id = targets.id
where ($1::text[] is null or targets.url = any ($1))
    and ($2::text[] is null or targets.monitor = any ($2))
order by since
