-- The last failures of a target, which are few among its probes.
create index on probes (target_id, probed_at) where outcome >= 2;
