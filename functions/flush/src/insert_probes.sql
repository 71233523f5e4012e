-- One array per column, in the order of copy_probes.sql: one statement for any number of rows.
insert into probes (
    probed_at, record_id, scheduled_at, target_id, response_time_us,
    dns_us, connect_us, tls_us, first_byte_us, download_us,
    http_status_code, attempt, outcome, error_kind, location_id, error_message
)
select *
from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
on conflict do nothing
returning probed_at, target_id, record_id
