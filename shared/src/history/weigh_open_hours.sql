-- About how many samples there are in the hours $4 of a block of targets ($3; $1 to $2). The keys of a fragment, whose length is
-- known without reading it, take one to four bytes a sample. $5 and $6 are bounds around the hours, as in select_rows.sql.
select (
    (
        select coalesce(sum(octet_length(keys)), 0)
        from fragments
        where block = $3 and hour = any ($4)
    )
    + (
        select coalesce(sum(chunk.probes), 0)
        from targets
        cross join lateral (
            select probes
            from chunks
            where chunks.target_id = targets.id and chunks.hour = any ($4)
            offset 0
        ) as chunk
        where targets.id between $1 and $2
    )
    + (
        select coalesce(sum(in_hour.rows), 0)
        from unsealed
        cross join lateral (
            select count(*) as rows
            from probes
            where probed_at >= unsealed.starts_at
                and probed_at < unsealed.starts_at + interval '1 hour'
                and probed_at >= $5
                and probed_at < $6
                and target_id between $1 and $2
        ) as in_hour
        where unsealed.span = 0
            and unsealed.block = $3
            and unsealed.starts_at = any ($4)
            and unsealed.from_rows
    )
)::bigint
