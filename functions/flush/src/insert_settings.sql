-- Stores settings that start at the instants $5 and hold until the next ones. Settings equal to those before them add no row.
-- A null interval leaves the interval as it was. Tags are JSON arrays, because Postgres has no arrays of arrays of different
-- lengths.
with said as (
    select
        target_id, location_id, interval_ms, array(select jsonb_array_elements_text(tags::jsonb)) as tags, since,
        lag(since) over (partition by target_id, location_id order by since) as since_before
    from unnest($1, $2, $3, $4, $5) as said (target_id, location_id, interval_ms, tags, since)
)
insert into target_settings (target_id, location_id, interval_ms, tags, since)
select said.target_id, said.location_id, said.interval_ms, said.tags, said.since
from said
left join lateral (
    select interval_ms, tags, since
    from target_settings as stored
    where stored.target_id = said.target_id and stored.location_id = said.location_id and stored.since <= said.since
    order by since desc
    limit 1
) as before on true
where (before.interval_ms, before.tags) is distinct from (coalesce(said.interval_ms, before.interval_ms), said.tags)
    or before.since is null
    -- The batch itself has other settings between the stored ones and these.
    or said.since_before > before.since
on conflict (target_id, location_id, since) do update
set interval_ms = coalesce(excluded.interval_ms, target_settings.interval_ms), tags = excluded.tags
