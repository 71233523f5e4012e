-- The days of a block of targets (of these the ones in $5, if that is not null) within a month, one target after the other.
select targets.id as target_id, day.*
from targets
cross join lateral (
    select location_id, starts_at, summary, phases
    from summaries
    where summaries.target_id = targets.id and span = 1 and starts_at >= $3 and starts_at < $4
    offset 0
) as day
where targets.id between $1 and $2
    and ($5::integer[] is null or targets.id = any ($5))
order by targets.id
