-- The chunks of a block of targets (of these the ones in $5, if that is not null) within a span, one target after the other.
select targets.id as target_id, chunk.*
from targets
cross join lateral (
    select location_id, hour as starts_at, instants, samples, phases
    from chunks
    where chunks.target_id = targets.id and chunks.hour >= $3 and chunks.hour < $4
    offset 0
) as chunk
where targets.id between $1 and $2
    and ($5::integer[] is null or targets.id = any ($5))
order by targets.id
