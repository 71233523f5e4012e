-- Deletes all summaries of a month and a block of targets, or none, as with chunks.
with turn as materialized (select pg_try_advisory_xact_lock($1) as is_ours)
delete from summaries
where (select is_ours from turn)
    and summaries.starts_at < (select summaries_from from horizon)
    and not exists (
        select from unsealed
        where date_trunc('month', unsealed.starts_at, 'UTC') = date_trunc('month', summaries.starts_at, 'UTC')
            and unsealed.block = summaries.target_id >> 12
    )
