-- Targets whose URL is in $1, or was from $3 to $4, and whose monitor is in $2; null for all. A row for each thing that was
-- said of a target, in the order of time, and one for a target of which nothing was.
select targets.id, targets.url, targets.monitor, location_id, since, interval_ms, tags, targets.has_moved
from targets
left join target_settings on target_settings.target_id = targets.id
where (
        $1::text[] is null
        or targets.url = any ($1)
        or targets.id in (
            select named.target_id
            from target_urls as named
            where named.url = any ($1)
                and named.since < $4
                and not exists (
                    select from target_urls as next
                    where next.target_id = named.target_id
                        and next.location_id = named.location_id
                        and next.since > named.since
                        and next.since <= $3
                )
        )
    )
    and ($2::text[] is null or targets.monitor = any ($2))
order by since
