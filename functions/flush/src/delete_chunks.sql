-- Of a day and a block of targets all or nothing: what is left of a day could be sealed again for the whole of it. Nothing,
-- unless the lock $1 is ours: somebody else is at it.
with turn as materialized (select pg_try_advisory_xact_lock($1) as is_ours)
delete from chunks
where (select is_ours from turn)
    and chunks.hour < (select chunks_from from horizon)
    and not exists (
        select from unsealed
        where unsealed.span in (0, 1)
            and date_trunc('day', unsealed.starts_at, 'UTC') = date_trunc('day', chunks.hour, 'UTC')
            and unsealed.block = chunks.target_id >> 12
    )
