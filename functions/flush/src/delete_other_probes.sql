-- Rows that have no partition which could be dropped, once their hour is sealed; so many at a time.
delete from probes_other
where ctid = any (array(
    select probes_other.ctid
    from probes_other
    where probes_other.probed_at < $1
        and not exists (
            select from unsealed
            where unsealed.span = 0
                and unsealed.starts_at = date_trunc('hour', probes_other.probed_at, 'UTC')
                and unsealed.block = probes_other.target_id >> 12
        )
    limit 100000
))
