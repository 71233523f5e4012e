-- One batch at a time changes target_urls, after those that rely on it.
select from horizon for no key update
