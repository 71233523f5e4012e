-- Fails if the URLs of monitors ($2) have changed since the version $1.
select 1 / (not exists (select from target_urls where version > $1 and target_id = any ($2)))::integer
