insert into chunks (hour, target_id, location_id, probes, instants, samples, phases)
select $1, *
from unnest($2, $3, $4, $5, $6, $7)
on conflict (target_id, hour, location_id) do update
set
    probes = excluded.probes, instants = excluded.instants, samples = excluded.samples, phases = excluded.phases
where (chunks.instants, chunks.samples, chunks.phases)
    is distinct from (excluded.instants, excluded.samples, excluded.phases)
