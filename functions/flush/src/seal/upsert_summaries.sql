insert into summaries (span, starts_at, target_id, location_id, probes, summary, phases)
select $7, $1, *
from unnest($2, $3, $4, $5, $6)
on conflict (target_id, span, starts_at, location_id) do update
set probes = excluded.probes, summary = excluded.summary, phases = excluded.phases
where (summaries.summary, summaries.phases) is distinct from (excluded.summary, excluded.phases)
