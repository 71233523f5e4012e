-- Since when each probe of the window $2 to $3 still has a row, if some of what came before, of targets ($1), is in chunks or
-- summaries alone: the first of the days with a partition that follow each other up to the newest. Others are of late records.
with days as (
    select to_date(substr(relname, 8), 'YYYYMMDD') as day
    from pg_inherits
    join pg_class on pg_class.oid = inhrelid
    where inhparent = 'probes'::regclass and relname ~ '^probes_[0-9]{8}$'
), runs as (
    select day, day + row_number() over (order by day desc)::integer as run from days
), oldest as (
    select least(min(day)::timestamp at time zone 'UTC', $3) as rows_from
    from runs
    where run = (select run from runs order by day desc limit 1)
)
select rows_from
from oldest
where exists (
        select from chunks where target_id = any ($1) and hour < rows_from and hour > $2 - interval '1 hour'
    )
    or exists (
        select from summaries
        where target_id = any ($1) and span = 1 and starts_at < rows_from and starts_at > $2 - interval '1 day'
    )
