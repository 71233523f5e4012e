-- $1 URLs, $2 ids of monitors, $3 tags, $4 tags of which they must have one as well; null for all. With what was said of
-- them: tags last, and intervals location by location in the order of time.
select targets.id, targets.url, targets.monitor, latest.tags, said.locations, said.since, said.intervals
from targets
left join lateral (
    select tags from target_settings where target_id = targets.id order by since desc limit 1
) as latest on true
left join lateral (
    select
        array_agg(location_id order by location_id, since) as locations,
        array_agg(since order by location_id, since) as since,
        array_agg(interval_ms order by location_id, since) as intervals
    from target_settings
    where target_id = targets.id
) as said on true
where ($1::text[] is null or targets.url = any ($1))
    and ($2::text[] is null or targets.monitor = any ($2))
    and ($3::text[] is null or latest.tags && $3)
    and ($4::text[] is null or latest.tags && $4)
