-- The chunks of a block of targets ($1 to $2; of these the ones in $3, if that is not null) of the hours from $4 to $5,
-- which are arrays, but for the hours in $6.
select targets.id as target_id, chunk.hour, chunk.samples
from targets
cross join unnest($4, $5) as ranges (starts_at, ends_at)
cross join lateral (
    select hour, location_id, samples, phases
    from chunks
    where chunks.target_id = targets.id
        and chunks.hour >= ranges.starts_at
        and chunks.hour < ranges.ends_at
        and chunks.hour <> all ($6)
    offset 0
) as chunk
where targets.id between $1 and $2 and ($3::integer[] is null or targets.id = any ($3))
