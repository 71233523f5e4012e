insert into chunks (hour, target_id, location_id, probes, samples, phases)
select $1, *
from unnest($2, $3, $4, $5, $6)
on conflict (target_id, hour, location_id) do update
set probes = excluded.probes, samples = excluded.samples, phases = excluded.phases
where (chunks.samples, chunks.phases) is distinct from (excluded.samples, excluded.phases)
