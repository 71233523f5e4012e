-- Committed on its own, as targets are. Settings hold until the next ones; those that are said again, and those that come
-- later than what they were followed by, change nothing. Tags are arrays of JSON, since Postgres has no arrays of arrays of
-- different lengths.
insert into target_settings (target_id, location_id, interval_ms, tags, since)
select said.target_id, said.location_id, said.interval_ms, array(select jsonb_array_elements_text(said.tags::jsonb)), said.since
from unnest($1, $2, $3, $4, $5) as said (target_id, location_id, interval_ms, tags, since)
left join lateral (
    select interval_ms, tags, since
    from target_settings
    where target_id = said.target_id and location_id = said.location_id
    order by since desc
    limit 1
) as last on true
where last.since is null
    or last.since < said.since
        and (last.interval_ms, last.tags)
            is distinct from (said.interval_ms, array(select jsonb_array_elements_text(said.tags::jsonb)))
on conflict (target_id, location_id, since) do nothing
