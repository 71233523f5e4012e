-- Chunks of days that are sealed; so many at a time.
delete from chunks
where ctid = any (array(
    select chunks.ctid
    from chunks
    where chunks.hour < (select chunks_from from horizon)
        and not exists (
            select from unsealed
            where unsealed.span in (0, 1)
                and date_trunc('day', unsealed.starts_at, 'UTC') = date_trunc('day', chunks.hour, 'UTC')
                and unsealed.block = chunks.target_id >> 10
        )
    limit 100000
))
