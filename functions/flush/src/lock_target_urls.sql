-- Lets one batch at a time change target_urls, after the batches that have passed their check.
select from horizon for no key update
