-- The chunks of a block of targets ($1 to $2; of these the ones in $3, if that is not null) of the hours from $4 to $5,
-- but for the hours in $6. The phases only if $7.
select target_id, hour, location_id, samples, case when $7 then phases end as phases
from chunks
where target_id between $1 and $2
    and ($3::integer[] is null or target_id = any ($3))
    and hour >= $4
    and hour < $5
    and hour <> all ($6)
