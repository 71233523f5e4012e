-- Keeps other instances from changing target_urls until this transaction ends.
select from horizon for share
