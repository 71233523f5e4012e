-- The summaries of a block of targets ($1 to $2; of these the ones in $3, if that is not null) in ranges of days and
-- months, each of a span ($4), from ($5), to ($6). The phases only if $7.
select target_id, location_id, starts_at, summary, case when $7 then phases end as phases
from unnest($4, $5, $6) as ranges (span, starts_from, starts_to)
join summaries
    on summaries.span = ranges.span
    and summaries.starts_at >= ranges.starts_from
    and summaries.starts_at < ranges.starts_to
where target_id between $1 and $2
    and ($3::integer[] is null or target_id = any ($3))
