-- Summaries of months that are sealed; so many at a time.
delete from summaries
where ctid = any (array(
    select summaries.ctid
    from summaries
    where summaries.starts_at < (select summaries_from from horizon)
        and not exists (
            select from unsealed
            where date_trunc('month', unsealed.starts_at, 'UTC') = date_trunc('month', summaries.starts_at, 'UTC')
                and unsealed.block = summaries.target_id >> 10
        )
    limit 100000
))
