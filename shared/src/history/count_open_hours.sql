-- How many samples there are in each of the hours $4 of a block of targets ($3; $1 to $2; of these the ones in $7, if that is not
-- null): the heads of its fragments' samples, which say how many there are in each, of all targets; the probes of its chunks;
-- its rows, where it has to be read from these. And how many targets there are in the block. $5 and $6 are bounds around the
-- hours, as in select_rows.sql.
select
    hours.hour,
    (
        select array_agg(substring(samples from 1 for 11))
        from fragments
        where fragments.block = $3 and fragments.hour = hours.hour
    ) as heads,
    (
        select coalesce(sum(chunk.probes), 0)
        from targets
        cross join lateral (
            select probes
            from chunks
            where chunks.target_id = targets.id and chunks.hour = hours.hour
            offset 0
        ) as chunk
        where targets.id between $1 and $2
            and ($7::integer[] is null or targets.id = any ($7))
    ) as sealed,
    (
        select case when bool_or(from_rows) then (
            select count(*)
            from probes
            where probed_at >= hours.hour
                and probed_at < hours.hour + interval '1 hour'
                and probed_at >= $5
                and probed_at < $6
                and target_id between $1 and $2
                and ($7::integer[] is null or target_id = any ($7))
        ) else 0 end
        from unsealed
        where span = 0 and unsealed.block = $3 and unsealed.starts_at = hours.hour
    ) as rows,
    (select count(*) from targets where id between $1 and $2) as targets
from unnest($4) as hours (hour)
order by hours.hour
