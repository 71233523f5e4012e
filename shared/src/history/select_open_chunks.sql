-- The chunks of the hours in $4 of a block of targets ($1 to $2; of these the ones in $3, if that is not null).
select targets.id as target_id, chunk.*
from targets
cross join lateral (
    select location_id, hour, instants, samples, phases
    from chunks
    where chunks.target_id = targets.id and chunks.hour = any ($4)
    offset 0
) as chunk
where targets.id between $1 and $2
    and ($3::integer[] is null or targets.id = any ($3))
