-- Committed before anything is written into these hours. Without probes, an hour here does no harm, unless its history was
-- dropped: days of which only summaries are left would be looked for in chunks.
with announced as (
    insert into unsealed (span, starts_at, block)
    select 0, wanted.*
    from unnest($1, $2) as wanted (starts_at, block)
    where wanted.starts_at >= (select chunks_from from horizon)
    on conflict do nothing
)
select chunks_from from horizon
