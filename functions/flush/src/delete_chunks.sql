-- Deletes all chunks of a day and a block of targets, or none: sealing would take a part for the complete day. Deletes nothing
-- while another instance holds the lock $1.
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
