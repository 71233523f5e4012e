copy probes (
    probed_at, record_id, scheduled_at, target_id, response_time_us,
    dns_us, connect_us, tls_us, first_byte_us, download_us,
    http_status_code, attempt, outcome, error_kind, location_id, error_message
) from stdin (format binary)
