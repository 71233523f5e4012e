-- Which URLs monitors had: $3 from the probe that started at $4 up to the one at $5, without another URL in between. Stores
-- those that differ from the URL before them. Where probes of the URL before come after one of these, that one begins again
-- with the first of them: it was said by records that are stored already.
with said as (
    select
        *,
        lag(since) over owner as since_before,
        lag(url) over owner as url_before,
        lead(since, 1, 'infinity') over owner as next_since
    from unnest($1, $2, $3, $4, $5) as said (target_id, location_id, url, since, until)
    window owner as (partition by target_id, location_id order by since)
), changed as (
    select
        said.*,
        exists (
            select from target_urls as stored
            where stored.target_id = said.target_id and stored.location_id = said.location_id
        ) as is_known
    from said
    left join lateral (
        select url, since
        from target_urls as stored
        where stored.target_id = said.target_id and stored.location_id = said.location_id and stored.since <= said.since
        order by since desc
        limit 1
    ) as before on true
    where said.url is distinct from
        case when before.since > said.since_before then before.url else coalesce(said.url_before, before.url) end
), again as (
    select changed.target_id, changed.location_id, other.url, later.probed_at as since
    from changed
    cross join lateral (
        select probes.probed_at
        from probes
        where changed.is_known
            and probes.target_id = changed.target_id
            and probes.location_id = changed.location_id
            and probes.probed_at > changed.until
            and probes.probed_at < changed.next_since
        order by probes.probed_at
        limit 1
    ) as later
    cross join lateral (
        select url, since
        from target_urls as stored
        where stored.target_id = changed.target_id and stored.location_id = changed.location_id
            and stored.since <= later.probed_at
        order by since desc
        limit 1
    ) as other
    -- A URL that was stored for a time in between begins by itself.
    where other.since <= changed.until and other.url <> changed.url
), stored as (
    insert into target_urls (target_id, location_id, url, since)
    select target_id, location_id, url, since from changed
    union all
    select target_id, location_id, url, since from again
    on conflict (target_id, location_id, since) do update
    set url = excluded.url
    where target_urls.url <> excluded.url
    returning 1
)
update horizon
set url_changes = url_changes + 1
where exists (select from stored)
