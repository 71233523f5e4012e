-- Of a day and a block of targets all or nothing: what is left of a day could be sealed again for the whole of it.
delete from chunks
where chunks.hour < (select chunks_from from horizon)
    and not exists (
        select from unsealed
        where unsealed.span in (0, 1)
            and date_trunc('day', unsealed.starts_at, 'UTC') = date_trunc('day', chunks.hour, 'UTC')
            and unsealed.block = chunks.target_id >> 12
    )
