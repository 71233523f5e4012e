-- About how many samples there are in each of the hours $4 of a block of targets ($3; $1 to $2), and how many targets there are in
-- the block. The keys of a fragment, whose length is known without reading it, take one to four bytes a sample. $5 and $6 are
-- bounds around the hours, as in select_rows.sql.
select
    hours.hour,
    (
        (
            select coalesce(sum(octet_length(keys)), 0)
            from fragments
            where fragments.block = $3 and fragments.hour = hours.hour
        )
        + (
            select coalesce(sum(chunk.probes), 0)
            from targets
            cross join lateral (
                select probes
                from chunks
                where chunks.target_id = targets.id and chunks.hour = hours.hour
                offset 0
            ) as chunk
            where targets.id between $1 and $2
        )
        + (
            select case when bool_or(from_rows) then (
                select count(*)
                from probes
                where probed_at >= hours.hour
                    and probed_at < hours.hour + interval '1 hour'
                    and probed_at >= $5
                    and probed_at < $6
                    and target_id between $1 and $2
            ) else 0 end
            from unsealed
            where span = 0 and unsealed.block = $3 and unsealed.starts_at = hours.hour
        )
    )::bigint as weight,
    (select count(*) from targets where id between $1 and $2) as targets
from unnest($4) as hours (hour)
order by hours.hour
