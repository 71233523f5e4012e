-- Since when each probe of the window $2 to $3 still has a row, if some of what came before, of targets ($1), is in chunks or
-- summaries alone: the day of the oldest partition.
with oldest as (
    select min(to_date(substr(relname, 8), 'YYYYMMDD')::timestamp at time zone 'UTC') as day
    from pg_inherits
    join pg_class on pg_class.oid = inhrelid
    where inhparent = 'probes'::regclass and relname ~ '^probes_[0-9]{8}$'
)
select least(coalesce(day, $3), $3) as rows_from
from oldest
where exists (
        select from chunks
        where target_id = any ($1) and hour < least(coalesce(day, $3), $3) and hour > $2 - interval '1 hour'
    )
    or exists (
        select from summaries
        where target_id = any ($1) and span = 1
            and starts_at < least(coalesce(day, $3), $3) and starts_at > $2 - interval '1 day'
    )
