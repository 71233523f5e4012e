-- Committed on its own, as targets are. What was said later counts, in whatever order the batches come. Tags are arrays of
-- JSON, since Postgres has no arrays of arrays of different lengths.
insert into target_settings (target_id, interval_ms, tags, since)
select target_id, interval_ms, array(select jsonb_array_elements_text(tags::jsonb)), since
from unnest($1, $2, $3, $4) as said (target_id, interval_ms, tags, since)
on conflict (target_id) do update
set interval_ms = excluded.interval_ms, tags = excluded.tags, since = excluded.since
where target_settings.since < excluded.since
    and (target_settings.interval_ms, target_settings.tags) is distinct from (excluded.interval_ms, excluded.tags)
