-- One batch at a time changes target_urls, after those that rely on it. Fails if it is not of the version $1.
select 1 / (url_changes = $1)::integer
from horizon
for no key update
