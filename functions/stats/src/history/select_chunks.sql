-- The chunks of a block of targets ($1 to $2; of these the ones in $3, if that is not null) of the hours from $4 to $5,
-- but for the hours in $6. The instants only of hours that do not lie from $7 to $8, which the window cuts; the phases
-- only if $9.
select
    target_id, hour, samples,
    case when hour < $7 or hour >= $8 then instants end as instants,
    case when $9 then phases end as phases,
    location_id
from chunks
where target_id between $1 and $2
    and ($3::integer[] is null or target_id = any ($3))
    and hour >= $4
    and hour < $5
    and hour <> all ($6)
