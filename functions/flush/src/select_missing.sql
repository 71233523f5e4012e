-- The places of the keys that are not there.
select wanted.place
from unnest($1, $2, $3) with ordinality as wanted (probed_at, target_id, record_id, place)
where not exists (
    select from probes
    where probes.probed_at = wanted.probed_at
        and probes.target_id = wanted.target_id
        and probes.record_id = wanted.record_id
    offset 0
)
